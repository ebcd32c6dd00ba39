/* Bytes that wait for a descriptor that takes no more: in memory only while some do. */
#ifndef GUEST_RING_H
#define GUEST_RING_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct ring {
    /* NULL until the first byte has to wait */
    uint8_t *bytes;
    uint32_t size;
    uint32_t start;
    uint32_t held;
};

/* What `fd` takes of `bytes`: 0 when it is full, -1 with errno when it will take no more. */
ssize_t feed(int fd, const uint8_t *bytes, uint32_t length);

/* Keeps bytes, which must have room; false when there is no memory. */
bool ring_keep(struct ring *ring, const uint8_t *bytes, uint32_t length);
/* Feeds what waits, as `feed` does. */
ssize_t ring_feed(struct ring *ring, int fd);
/* Forgets what waits and gives the memory back. */
void ring_free(struct ring *ring);

#endif
