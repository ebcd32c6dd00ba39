/* Entries as getdents64 leaves them in a buffer. */
#ifndef GUEST_DIRECTORY_H
#define GUEST_DIRECTORY_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct directory_entry {
    uint64_t inode;
    int64_t offset;
    uint16_t length;
    uint8_t type;
    char name[];
};

static inline const struct directory_entry *first_entry(const char *buffer) {
    return (const void *)buffer;
}

static inline const struct directory_entry *next_entry(const struct directory_entry *entry) {
    return (const void *)((const char *)entry + entry->length);
}

/* True for "." and "..". */
static inline bool is_own_entry(const struct directory_entry *entry) {
    return strcmp(entry->name, ".") == 0 || strcmp(entry->name, "..") == 0;
}

#endif
