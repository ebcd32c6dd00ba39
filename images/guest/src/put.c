#define _GNU_SOURCE
#include "put.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "frame.h"

enum { CREDIT_BATCH = INPUT_WINDOW / 4 };

static void name_temporary(char *name) {
    uint8_t random[8] = {0};
    if (getrandom(random, sizeof random, GRND_NONBLOCK) < 0) random[0] = (uint8_t)getpid();
    name = stpcpy(name, ".sallyport-");
    for (size_t i = 0; i < sizeof random; i++) {
        *name++ = "0123456789abcdef"[random[i] >> 4];
        *name++ = "0123456789abcdef"[random[i] & 15];
    }
    *name = '\0';
}

/* Zero when the name is free or a regular file stands there. */
static int may_replace(const struct place *place) {
    struct stat info;
    if (place_is_root(place)) return EISDIR;
    if (fstatat(place->folder, place->name, &info, AT_SYMLINK_NOFOLLOW) < 0) return errno == ENOENT ? 0 : errno;
    if (S_ISREG(info.st_mode)) return 0;
    return S_ISDIR(info.st_mode) ? EISDIR : S_ISLNK(info.st_mode) ? ELOOP : EINVAL;
}

int put_open(struct put *put, const struct place *place, uint32_t mode) {
    int error = may_replace(place);
    if (error != 0) return error;
    put->place = *place;
    put->place.folder = fcntl(place->folder, F_DUPFD_CLOEXEC, 0);
    if (put->place.folder < 0) return errno;
    name_temporary(put->temporary);
    put->fd = openat(put->place.folder, put->temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (put->fd < 0) {
        error = errno;
        place_close(&put->place);
        return error;
    }
    put->mode = mode & 0777;
    put->credit = INPUT_WINDOW;
    put->owed = 0;
    return 0;
}

int put_data(struct put *put, const uint8_t *bytes, uint32_t length, uint32_t *credit) {
    if (length > put->credit) return EPROTO;
    put->credit -= length;
    put->owed += length;
    while (length > 0) {
        ssize_t written = write(put->fd, bytes, length);
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) return errno;
        bytes += written;
        length -= (uint32_t)written;
    }
    if (put->owed < CREDIT_BATCH) return 0;
    *credit = put->owed;
    put->credit += put->owed;
    put->owed = 0;
    return 0;
}

int put_finish(struct put *put) {
    int error = may_replace(&put->place);
    if (error != 0) return error;
    if (fchmod(put->fd, put->mode) < 0) return errno;
    if (renameat(put->place.folder, put->temporary, put->place.folder, put->place.name) < 0) return errno;
    put->temporary[0] = '\0';
    return 0;
}

void put_close(struct put *put) {
    if (put->temporary[0] != '\0') unlinkat(put->place.folder, put->temporary, 0);
    close(put->fd);
    place_close(&put->place);
}
