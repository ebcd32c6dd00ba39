#define _GNU_SOURCE
#include "ring.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

ssize_t feed(int fd, const uint8_t *bytes, uint32_t length) {
    for (;;) {
        ssize_t written = write(fd, bytes, length);
        if (written >= 0) return written;
        if (errno == EAGAIN) return 0;
        if (errno != EINTR) return -1;
    }
}

bool ring_keep(struct ring *ring, const uint8_t *bytes, uint32_t length) {
    if (ring->bytes == NULL) {
        void *made = mmap(NULL, ring->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (made == MAP_FAILED) return false;
        ring->bytes = made;
    }
    uint32_t at = (ring->start + ring->held) % ring->size;
    uint32_t first = length < ring->size - at ? length : ring->size - at;
    memcpy(ring->bytes + at, bytes, first);
    memcpy(ring->bytes, bytes + first, length - first);
    ring->held += length;
    return true;
}

ssize_t ring_feed(struct ring *ring, int fd) {
    uint32_t length = ring->held < ring->size - ring->start ? ring->held : ring->size - ring->start;
    ssize_t written = feed(fd, ring->bytes + ring->start, length);
    if (written > 0) {
        ring->start = (ring->start + (uint32_t)written) % ring->size;
        ring->held -= (uint32_t)written;
    }
    return written;
}

void ring_free(struct ring *ring) {
    if (ring->bytes != NULL) munmap(ring->bytes, ring->size);
    ring->bytes = NULL;
    ring->start = 0;
    ring->held = 0;
}
