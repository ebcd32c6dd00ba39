/* What a folder holds, as entries packed into data frames; and one entry's facts. */
#ifndef GUEST_LISTING_H
#define GUEST_LISTING_H

#include "path.h"

#include <stdint.h>
#include <sys/stat.h>

enum {
    /* type u8, mode u32, size u64, mtime in ms i64 */
    STAT_BYTES = 21,
    MAX_ENTRIES = 10000,
    LISTING_BYTES = 16 * 1024,
    /* One read of the folder, as large as it gets on the wire, fits under this credit. */
    LISTING_CREDIT = 2 * LISTING_BYTES,
};

struct listing {
    int folder;
    uint32_t entries;
};

/* The place stays the caller's. Zero or an errno. */
int listing_open(struct listing *listing, const struct place *place);
/* The next entries; none when the folder is over. EOVERFLOW above MAX_ENTRIES. */
int listing_next(struct listing *listing, uint8_t *bytes, uint32_t *length);
void listing_close(struct listing *listing);

uint8_t *put_stat(uint8_t *at, const struct stat *info);

#endif
