/* The file calls: puts and gets that go on for a while, and the ones answered at once. */
#ifndef GUEST_FILES_H
#define GUEST_FILES_H

#include "frame.h"

/* Begins or answers the file call of the frame; false when the frame breaks the protocol. */
bool files_start(const struct frame *frame);

/* True while a file call goes by this id. */
bool files_known(uint32_t id);

/* A later frame about a known call; false when it breaks the protocol. */
bool files_frame(const struct frame *frame);

/* Goes on with one bounded step of each open call; true when there is more to do at once. Bytes leave only when it may. */
bool files_work(bool may_send);

#endif
