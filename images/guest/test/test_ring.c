/* The ring: what goes in comes out in order, at every position of its ends, and no byte of it stays behind. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "../src/ring.h"
#include "check.h"

enum { SIZE = 4096, PIPE = 65536 };

static void comes_out_in_order(void) {
    int ends[2];
    uint8_t out[SIZE], in[SIZE], next_in = 0, next_out = 0;
    struct ring ring = {.size = SIZE};
    CHECK(pipe2(ends, O_NONBLOCK) == 0);
    for (uint32_t round = 1; round < 2000; round++) {
        uint32_t length = round * 37 % (SIZE - ring.held + 1);
        for (uint32_t i = 0; i < length; i++) in[i] = next_in++;
        CHECK(ring_keep(&ring, in, length));
        uint32_t held = ring.held;
        ssize_t written = ring_feed(&ring, ends[1]);
        CHECK(written >= 0 && ring.held == held - (uint32_t)written);
        while (written > 0) {
            ssize_t got = read(ends[0], out, sizeof out);
            CHECK(got > 0);
            for (ssize_t i = 0; i < got; i++) CHECK(out[i] == next_out++);
            written -= got;
        }
    }
    ring_free(&ring);
    CHECK(ring.bytes == NULL && ring.held == 0);
    close(ends[0]);
    close(ends[1]);
}

static void full_and_gone(void) {
    int ends[2];
    static uint8_t much[PIPE];
    struct ring ring = {.size = SIZE};
    CHECK(pipe2(ends, O_NONBLOCK) == 0);
    CHECK(feed(ends[1], much, sizeof much) == PIPE);
    CHECK(feed(ends[1], much, 1) == 0);
    CHECK(ring_keep(&ring, much, SIZE) && ring.held == SIZE);
    CHECK(ring_feed(&ring, ends[1]) == 0 && ring.held == SIZE);
    close(ends[0]);
    CHECK(ring_feed(&ring, ends[1]) < 0);
    ring_free(&ring);
    ring_free(&ring);
    close(ends[1]);
}

int main(void) {
    signal(SIGPIPE, SIG_IGN);
    comes_out_in_order();
    full_and_gone();
    puts("test_ring: ok");
    return 0;
}
