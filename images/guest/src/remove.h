/*
 * Removes a file, a link or a whole folder, a bounded step at a time. One folder is open at a time whatever the depth;
 * the way back up is checked against the folders that were come down through, so moving a folder meanwhile stops the
 * removal instead of leading it elsewhere.
 */
#ifndef GUEST_REMOVE_H
#define GUEST_REMOVE_H

#include "path.h"

#include <stdint.h>

struct remove_level;

struct removal {
    struct place place;
    /* The folder being emptied, -1 before and after */
    int folder;
    uint32_t depth;
    struct remove_level *levels;
    uint64_t steps;
};

/* Takes over the place when something is there; else ENOENT or why it cannot be seen. */
int remove_open(struct removal *removal, const struct place *place);
/* Zero: gone; EINPROGRESS: call again; else why not. */
int remove_step(struct removal *removal);
void remove_close(struct removal *removal);

#endif
