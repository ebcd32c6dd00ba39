/* One file on its way in: written under a name of its own and moved into place once whole. */
#ifndef GUEST_PUT_H
#define GUEST_PUT_H

#include "path.h"

#include <stdint.h>

struct put {
    struct place place;
    char temporary[40];
    int fd;
    uint32_t mode;
    uint32_t credit;
    uint32_t owed;
};

/* Only a regular file is replaced. The place stays the caller's. Zero or an errno. */
int put_open(struct put *put, const struct place *place, uint32_t mode);
/* EPROTO when the host broke its credit; `credit` is what it may send again. */
int put_data(struct put *put, const uint8_t *bytes, uint32_t length, uint32_t *credit);
int put_finish(struct put *put);
/* Leaves nothing behind unless the put was finished. */
void put_close(struct put *put);

#endif
