/* Every exec of this sandbox: how it starts, what it prints, how it ends. */
#ifndef GUEST_EXEC_H
#define GUEST_EXEC_H

#include "frame.h"

/* Starts what the frame asks for, or answers why not; false when the frame breaks the protocol. */
bool exec_start(const struct frame *frame, char *const *base_env);

/* True while an exec goes by this id. */
bool exec_known(uint32_t id);

/* A later frame about a known exec; false when it breaks the protocol. */
bool exec_frame(const struct frame *frame);

/* Takes every ended child, ours or orphaned. */
void exec_reap(void);

/* Goes on with trees being killed; says in how many ms to come again, -1 for never. */
int exec_tick(void);

#endif
