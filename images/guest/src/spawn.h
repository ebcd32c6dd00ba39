/* Makes the process of an exec with its ends of the pipes or terminal, and nothing else of ours. */
#ifndef GUEST_SPAWN_H
#define GUEST_SPAWN_H

#include <sys/types.h>

#include "spec.h"
#include "tree.h"

struct spawned {
    pid_t pid;
    /* Write end of stdin, or -1 */
    int input;
    /* Read ends; with a terminal the second is -1 */
    int output[2];
    /* Identity of the program's ends, to find who still holds them */
    struct end ends[2];
    /* End of file once the program runs; before that a stage and an errno when it cannot */
    int status;
};

/* Zero, or an errno with nothing left behind. */
int spawn(const struct spec *spec, struct spawned *spawned);

#endif
