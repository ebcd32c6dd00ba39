#define _GNU_SOURCE
#include "remove.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "directory.h"

enum { MAX_DEPTH = 8192, ENTRIES_PER_STEP = 256, MAX_STEPS = 100000, DIRECTORY_BYTES = 4096 };

struct remove_level {
    dev_t dev;
    ino_t ino;
};

int remove_open(struct removal *removal, const struct place *place) {
    struct stat info;
    if (fstatat(place->folder, place->name, &info, AT_SYMLINK_NOFOLLOW) < 0) return errno;
    *removal = (struct removal){.place = *place, .folder = -1};
    return 0;
}

void remove_close(struct removal *removal) {
    if (removal->folder >= 0) close(removal->folder);
    if (removal->levels != NULL) munmap(removal->levels, MAX_DEPTH * sizeof(struct remove_level));
    place_close(&removal->place);
    removal->folder = -1;
    removal->levels = NULL;
}

/* Zero when gone, ENOTEMPTY for a folder to go down into. */
static int remove_one(int folder, const char *name) {
    if (unlinkat(folder, name, 0) == 0 || errno == ENOENT) return 0;
    if (errno != EISDIR && errno != EPERM) return errno;
    if (unlinkat(folder, name, AT_REMOVEDIR) == 0 || errno == ENOENT) return 0;
    return errno == EEXIST ? ENOTEMPTY : errno;
}

static int go_down(struct removal *removal, int parent, const char *name) {
    const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK;
    struct stat info;
    if (removal->depth == MAX_DEPTH) return ENAMETOOLONG;
    int folder = openat(parent, name, flags);
    /* A folder without permissions for its owner is ours to empty all the same. */
    if (folder < 0 && errno == EACCES && fchmodat(parent, name, 0700, 0) == 0) folder = openat(parent, name, flags);
    if (folder < 0) return errno;
    if (fstat(folder, &info) < 0 || ((info.st_mode & 0300) != 0300 && fchmod(folder, 0700) < 0)) {
        int error = errno;
        close(folder);
        return error;
    }
    removal->levels[removal->depth++] = (struct remove_level){info.st_dev, info.st_ino};
    if (removal->folder >= 0) close(removal->folder);
    removal->folder = folder;
    return 0;
}

static int go_up(struct removal *removal) {
    struct stat info;
    removal->depth -= 1;
    int parent = -1;
    if (removal->depth > 0) {
        const struct remove_level *level = &removal->levels[removal->depth - 1];
        parent = openat(removal->folder, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (parent < 0) return errno;
        if (fstat(parent, &info) < 0 || info.st_dev != level->dev || info.st_ino != level->ino) {
            close(parent);
            return EBUSY;
        }
    }
    close(removal->folder);
    removal->folder = parent;
    return 0;
}

/* Removes what one read of the open folder brings, as far as the first folder that is not empty. */
static int empty_some(struct removal *removal, int *budget) {
    char buffer[DIRECTORY_BYTES] __attribute__((aligned(8)));
    lseek(removal->folder, 0, SEEK_SET);
    int seen = 0;
    long got;
    while ((got = syscall(SYS_getdents64, removal->folder, buffer, sizeof buffer)) > 0) {
        for (const struct directory_entry *entry = first_entry(buffer); (const char *)entry < buffer + got;
             entry = next_entry(entry)) {
            if (is_own_entry(entry)) continue;
            seen += 1;
            *budget -= 1;
            int error = remove_one(removal->folder, entry->name);
            if (error == ENOTEMPTY) return go_down(removal, removal->folder, entry->name);
            if (error != 0) return error;
        }
        if (*budget <= 0) return 0;
    }
    if (got < 0) return errno;
    /* What a folder system skips while it shrinks is met when the empty folder itself cannot be removed. */
    return seen > 0 ? 0 : go_up(removal);
}

int remove_step(struct removal *removal) {
    if (removal->levels == NULL) {
        int error = remove_one(removal->place.folder, removal->place.name);
        if (error != ENOTEMPTY) return error;
        void *made = mmap(NULL, MAX_DEPTH * sizeof(struct remove_level), PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (made == MAP_FAILED) return ENOMEM;
        removal->levels = made;
    }
    /* A program that makes files as fast as they are removed must not keep this up for ever. */
    if (removal->steps++ > MAX_STEPS) return EBUSY;
    for (int budget = ENTRIES_PER_STEP; budget > 0; budget--) {
        int error;
        if (removal->folder >= 0) {
            error = empty_some(removal, &budget);
        } else {
            error = remove_one(removal->place.folder, removal->place.name);
            if (error == 0) return 0;
            if (error == ENOTEMPTY) error = go_down(removal, removal->place.folder, removal->place.name);
        }
        if (error != 0) return error;
    }
    return EINPROGRESS;
}
