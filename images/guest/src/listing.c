#define _GNU_SOURCE
#include "listing.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "directory.h"
#include "frame.h"

int listing_open(struct listing *listing, const struct place *place) {
    listing->entries = 0;
    listing->folder =
        openat(place->folder, place->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    return listing->folder < 0 ? errno : 0;
}

void listing_close(struct listing *listing) {
    close(listing->folder);
}

static uint8_t kind_of(mode_t mode) {
    return S_ISREG(mode) ? 1 : S_ISDIR(mode) ? 2 : S_ISLNK(mode) ? 3 : 4;
}

uint8_t *put_stat(uint8_t *at, const struct stat *info) {
    at = put_u8(at, kind_of(info->st_mode));
    at = put_u32(at, (uint32_t)info->st_mode & 07777);
    at = put_u64(at, (uint64_t)info->st_size);
    return put_u64(at, (uint64_t)((int64_t)info->st_mtim.tv_sec * 1000 + info->st_mtim.tv_nsec / 1000000));
}

static uint8_t *put_entry(uint8_t *at, const struct stat *info, const char *name) {
    size_t length = strlen(name);
    at = put_u16(put_stat(at, info), (uint16_t)length);
    memcpy(at, name, length);
    return at + length;
}

int listing_next(struct listing *listing, uint8_t *bytes, uint32_t *length) {
    char buffer[LISTING_BYTES] __attribute__((aligned(8)));
    uint8_t *at = bytes;
    /* A read may bring nothing but the folder's own two names, or entries that went away meanwhile. */
    while (at == bytes) {
        long got = syscall(SYS_getdents64, listing->folder, buffer, sizeof buffer);
        if (got < 0) return errno;
        if (got == 0) break;
        for (const struct directory_entry *entry = first_entry(buffer); (const char *)entry < buffer + got;
             entry = next_entry(entry)) {
            struct stat info;
            if (is_own_entry(entry)) continue;
            if (fstatat(listing->folder, entry->name, &info, AT_SYMLINK_NOFOLLOW) < 0) continue;
            if (++listing->entries > MAX_ENTRIES) return EOVERFLOW;
            at = put_entry(at, &info, entry->name);
        }
    }
    *length = (uint32_t)(at - bytes);
    return 0;
}
