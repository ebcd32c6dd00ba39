#define _GNU_SOURCE
#include "input.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "out.h"

enum { CREDIT_BATCH = INPUT_WINDOW / 4, TTY_END = 4, RING_BYTES = INPUT_WINDOW + 4096 };

static void input_ready(struct source *source, uint32_t events);

void input_open(struct input *input, uint32_t id, int fd, bool tty) {
    *input = (struct input){.source = {fd, input_ready}, .id = id, .tty = tty, .credit = INPUT_WINDOW};
    input->closed = fd < 0;
    /* No event is asked for: that the reader went away is always told. */
    if (fd >= 0) loop_add(SET_MAIN, &input->source, 0);
}

void input_release(struct input *input) {
    loop_close(&input->source);
    if (input->ring != NULL) munmap(input->ring, RING_BYTES);
    input->ring = NULL;
    input->held = 0;
    input->closed = true;
}

static void reader_gone(struct input *input) {
    if (!input->ended || input->held > 0) out_control(GUEST_INPUT_CLOSED, input->id, NULL, 0);
    input_release(input);
}

/* Bytes the program took, or -1 when it will take no more. */
static ssize_t feed(struct input *input, const uint8_t *bytes, uint32_t length) {
    for (;;) {
        ssize_t written = write(input->source.fd, bytes, length);
        if (written >= 0) return written;
        if (errno == EAGAIN) return 0;
        if (errno != EINTR) return -1;
    }
}

static void give_back(struct input *input, uint32_t bytes) {
    input->owed += bytes;
    if (input->owed < CREDIT_BATCH) return;
    out_credit(input->id, input->owed);
    input->credit += input->owed;
    input->owed = 0;
}

static bool keep(struct input *input, const uint8_t *bytes, uint32_t length) {
    if (input->ring == NULL) {
        void *made = mmap(NULL, RING_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (made == MAP_FAILED) return false;
        input->ring = made;
    }
    if (input->held == 0) loop_change(SET_MAIN, &input->source, EPOLLOUT);
    uint32_t at = (input->start + input->held) % RING_BYTES;
    uint32_t first = length < RING_BYTES - at ? length : RING_BYTES - at;
    memcpy(input->ring + at, bytes, first);
    memcpy(input->ring, bytes + first, length - first);
    input->held += length;
    return true;
}

bool input_data(struct input *input, const uint8_t *bytes, uint32_t length) {
    if (input->ended) return false;
    if (input->closed) return true;
    if (length > input->credit) return false;
    input->credit -= length;
    ssize_t written = input->held == 0 ? feed(input, bytes, length) : 0;
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
    if (!input->closed && input->held == 0) input_release(input);
    return true;
}

static void input_ready(struct source *source, uint32_t events) {
    struct input *input = OWNER(source, struct input, source);
    if ((events & (EPOLLERR | EPOLLHUP)) != 0) {
        reader_gone(input);
        return;
    }
    uint32_t length = input->held < RING_BYTES - input->start ? input->held : RING_BYTES - input->start;
    ssize_t written = feed(input, input->ring + input->start, length);
    if (written < 0) {
        reader_gone(input);
        return;
    }
    input->start = (input->start + (uint32_t)written) % RING_BYTES;
    input->held -= (uint32_t)written;
    give_back(input, (uint32_t)written);
    if (input->held > 0) return;
    loop_change(SET_MAIN, &input->source, 0);
    if (input->ended && !input->tty) input_release(input);
}
