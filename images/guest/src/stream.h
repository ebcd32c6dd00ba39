/* TCP connections on the sandbox's loopback, each a stream to the host with credit both ways. */
#ifndef GUEST_STREAM_H
#define GUEST_STREAM_H

#include "frame.h"

/* Connects to a port for the host, or answers why not; false when the frame breaks the protocol. */
bool stream_connect(const struct frame *frame);

/* True while there is a place for one more connection of a program. */
bool stream_room(void);

/* Takes over what was accepted at `port` and tells the host, which gave it `credit`; needs room. */
void stream_accepted(int fd, uint16_t port, uint32_t credit);

/* True when this id, which is one of the guest's own, was ever given. */
bool stream_given(uint32_t id);

/* True while a stream goes by this id. */
bool stream_known(uint32_t id);

/* A later frame about a known stream; false when it breaks the protocol. */
bool stream_frame(const struct frame *frame);

#endif
