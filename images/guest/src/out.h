/*
 * Everything the guest says. One data frame and a bounded queue of control frames stand before stdout, written without
 * ever blocking. A data frame is begun only when nothing waits, so control waits behind one frame at most and frames
 * leave in the order they were made.
 */
#ifndef GUEST_OUT_H
#define GUEST_OUT_H

#include "frame.h"

/* Queues a small frame. */
void out_control(uint8_t type, uint32_t id, const uint8_t *payload, uint32_t length);
void out_failed(uint32_t id, enum stage stage, int error);
void out_credit(uint32_t id, uint32_t bytes);

/* True when nothing waits: only then may `out_slot` be filled (DATA_PAYLOAD bytes) and sent. */
bool out_idle(void);
uint8_t *out_slot(void);
void out_send_slot(uint8_t type, uint32_t id, uint32_t length);

/* True while the host takes so little that no more may be asked of it. */
bool out_crowded(void);
/* Writes what stdout takes; false when the reader is gone. */
bool out_flush(void);

/* A bounded line on stderr: "guest: what (code)". */
void diagnose(const char *what, int code);

#endif
