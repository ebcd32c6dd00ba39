/*
 * Finds and kills processes by reading /proc. An exec's tree is its session, whoever holds a write end of its output, and
 * all their descendants. What left the session, lost its parent and holds no output is out of reach here: only killing
 * everything, or the end of the sandbox, ends it.
 */
#ifndef GUEST_TREE_H
#define GUEST_TREE_H

#include <stdbool.h>
#include <sys/types.h>

struct end {
    dev_t dev;
    ino_t ino;
};

struct tree {
    /* Session and first process; 0 when its number may belong to somebody else by now */
    pid_t leader;
    struct end ends[2];
};

/* One pass: sends SIGKILL to everybody live of its session and their descendants, and says how many there were. */
int tree_kill(const struct tree *tree);

/* The same for those who hold its output, a longer look, during which everything below the guest stands still. */
int tree_kill_holders(const struct tree *tree);

/* Kills every process but the guest, as often as it takes. */
void kill_everything(void);

#endif
