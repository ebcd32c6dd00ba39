#define _GNU_SOURCE
#include "input.h"

#include <stddef.h>

#include "out.h"

enum { CREDIT_BATCH = INPUT_WINDOW / 4, TTY_END = 4, RING_BYTES = INPUT_WINDOW + 4096 };

static void input_ready(struct source *source, uint32_t events);

void input_open(struct input *input, uint32_t id, int fd, bool tty) {
    *input = (struct input){.source = {fd, input_ready}, .id = id, .tty = tty, .credit = INPUT_WINDOW};
    input->ring.size = RING_BYTES;
    input->closed = fd < 0;
    /* No event is asked for: that the reader went away is always told. */
    if (fd >= 0) loop_add(SET_MAIN, &input->source, 0);
}

void input_release(struct input *input) {
    loop_close(&input->source);
    ring_free(&input->ring);
    input->closed = true;
}

static void reader_gone(struct input *input) {
    if (!input->ended || input->ring.held > 0) out_control(GUEST_INPUT_CLOSED, input->id, NULL, 0);
    input_release(input);
}

static void give_back(struct input *input, uint32_t bytes) {
    input->owed += bytes;
    if (input->owed < CREDIT_BATCH) return;
    out_credit(input->id, input->owed);
    input->credit += input->owed;
    input->owed = 0;
}

static bool keep(struct input *input, const uint8_t *bytes, uint32_t length) {
    if (input->ring.held == 0) loop_change(SET_MAIN, &input->source, EPOLLOUT);
    return ring_keep(&input->ring, bytes, length);
}

bool input_data(struct input *input, const uint8_t *bytes, uint32_t length) {
    if (input->ended) return false;
    if (input->closed) return true;
    if (length > input->credit) return false;
    input->credit -= length;
    ssize_t written = input->ring.held == 0 ? feed(input->source.fd, bytes, length) : 0;
    if (written < 0) {
        reader_gone(input);
        return true;
    }
    uint32_t rest = length - (uint32_t)written;
    give_back(input, (uint32_t)written);
    if (rest > 0 && !keep(input, bytes + written, rest)) reader_gone(input);
    return true;
}

bool input_end(struct input *input) {
    if (input->ended) return false;
    if (!input->closed && input->tty) {
        const uint8_t end = TTY_END;
        /* A terminal has no end of its own: the line discipline makes one from this character. */
        input->credit += 1;
        input_data(input, &end, 1);
        input->ended = true;
        return true;
    }
    input->ended = true;
    if (!input->closed && input->ring.held == 0) input_release(input);
    return true;
}

static void input_ready(struct source *source, uint32_t events) {
    struct input *input = OWNER(source, struct input, source);
    if ((events & (EPOLLERR | EPOLLHUP)) != 0) {
        reader_gone(input);
        return;
    }
    ssize_t written = ring_feed(&input->ring, source->fd);
    if (written < 0) {
        reader_gone(input);
        return;
    }
    give_back(input, (uint32_t)written);
    if (input->ring.held > 0) return;
    loop_change(SET_MAIN, &input->source, 0);
    if (input->ended && !input->tty) input_release(input);
}
