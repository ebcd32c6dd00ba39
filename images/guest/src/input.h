/* The standard input of one exec: bytes the host sent under credit, on their way into a pipe or a terminal. */
#ifndef GUEST_INPUT_H
#define GUEST_INPUT_H

#include "frame.h"
#include "loop.h"
#include "ring.h"

struct input {
    struct source source;
    uint32_t id;
    bool tty;
    /* The program no longer reads; what still comes is dropped. */
    bool closed;
    /* The host said there is no more. */
    bool ended;
    /* What the host may still send, and what it has not been given back yet. */
    uint32_t credit;
    uint32_t owed;
    /* Room for every byte under credit, made when the program first falls behind. */
    struct ring ring;
};

/* Takes over `fd`, which is non-blocking; -1 makes an input that is closed from the start. */
void input_open(struct input *input, uint32_t id, int fd, bool tty);
void input_release(struct input *input);

/* False when the host broke its credit or sent bytes after the end. */
bool input_data(struct input *input, const uint8_t *bytes, uint32_t length);
bool input_end(struct input *input);

#endif
