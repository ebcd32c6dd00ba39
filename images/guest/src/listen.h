/* The ports of the sandbox's loopback whose connections become streams to the host. */
#ifndef GUEST_LISTEN_H
#define GUEST_LISTEN_H

#include "frame.h"

/* Listens on every port of the frame, or on none and answers why; false when the frame breaks the protocol. */
bool listen_start(const struct frame *frame);

/* A place or a descriptor may be free again: goes on accepting. */
void listen_resume(void);

/* Tries again where descriptors had run out; says in how many ms to come again, -1 for never. */
int listen_tick(void);

#endif
