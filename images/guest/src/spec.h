/* What an exec frame asks for, read in place: every text points into the frame. */
#ifndef GUEST_SPEC_H
#define GUEST_SPEC_H

#include "frame.h"

enum { SPEC_STDIN_PIPE = 1, SPEC_TTY = 2, MAX_ARGS = 16384, MAX_ENV = 4096 };

struct spec {
    bool stdin_pipe;
    bool tty;
    uint16_t cols;
    uint16_t rows;
    uint32_t credit;
    const char *cwd;
    /* Both end with NULL; `env` is the base environment with the frame's entries over it. */
    char *argv[MAX_ARGS + 1];
    char *env[2 * MAX_ENV + 1];
};

/* False when the payload breaks the protocol. `base` ends with NULL. */
bool spec_read(const struct frame *frame, char *const *base, struct spec *spec);

/* The value of `name` in `env`, or NULL. */
const char *env_value(char *const *env, const char *name);

#endif
