#define _GNU_SOURCE
#include "path.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FOLDER = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC };

static struct {
    const char *path;
    size_t length;
    int folder;
} roots[MAX_ROOTS];
static int root_count;

bool path_roots(char *const *paths, int count) {
    if (count < 1 || count > MAX_ROOTS) return false;
    for (int i = 0; i < count; i++) {
        roots[i].path = paths[i];
        roots[i].length = strlen(paths[i]);
        roots[i].folder = open(paths[i], FOLDER);
        if (roots[i].folder < 0 || paths[i][0] != '/') return false;
    }
    root_count = count;
    return true;
}

/* The root `path` lies in and, in `rest`, where it goes on inside; -1 when it lies in none. */
static int find_root(const char *path, const char **rest) {
    *rest = path;
    if (path[0] != '/') return 0;
    for (int i = 0; i < root_count; i++) {
        if (strncmp(path, roots[i].path, roots[i].length) != 0) continue;
        char next = path[roots[i].length];
        if (next != '/' && next != '\0') continue;
        *rest = path + roots[i].length + (next == '/');
        return i;
    }
    return -1;
}

static bool is_refused(const char *segment, size_t length) {
    return length == 0 || (segment[0] == '.' && (length == 1 || (length == 2 && segment[1] == '.')));
}

/* Looks at every segment before a step is taken, so that a refused path leaves no folder behind. */
static int check(const char *rest) {
    for (;;) {
        size_t length = strcspn(rest, "/");
        if (is_refused(rest, length)) return EINVAL;
        if (length > MAX_NAME_BYTES) return ENAMETOOLONG;
        if (rest[length] == '\0') return 0;
        rest += length + 1;
    }
}

static int step(int folder, const char *name, bool make) {
    int next = openat(folder, name, FOLDER);
    if (next >= 0 || errno != ENOENT || !make) return next;
    if (mkdirat(folder, name, 0755) < 0 && errno != EEXIST) return -1;
    return openat(folder, name, FOLDER);
}

/* Leaves the last segment in `place->name` and the folder of it open in `place->folder`. */
static int walk(const char *rest, bool make, struct place *place) {
    for (;;) {
        size_t length = strcspn(rest, "/");
        memcpy(place->name, rest, length);
        place->name[length] = '\0';
        if (rest[length] == '\0') return 0;
        int next = step(place->folder, place->name, make);
        if (next < 0) return errno;
        close(place->folder);
        place->folder = next;
        rest += length + 1;
    }
}

int path_walk(const char *path, bool make, struct place *place) {
    const char *rest;
    place->folder = -1;
    if (path[0] == '\0') return EINVAL;
    if (strlen(path) > MAX_PATH_BYTES) return ENAMETOOLONG;
    int root = find_root(path, &rest);
    if (root < 0) return EINVAL;
    bool is_root = strcmp(path, ".") == 0 || (path[0] == '/' && path[roots[root].length] == '\0');
    int refusal = is_root ? 0 : check(rest);
    if (refusal != 0) return refusal;
    place->folder = fcntl(roots[root].folder, F_DUPFD_CLOEXEC, 0);
    if (place->folder < 0) return errno;
    if (is_root) strcpy(place->name, ".");
    int error = is_root ? 0 : walk(rest, make, place);
    if (error != 0) place_close(place);
    return error;
}

void place_close(struct place *place) {
    if (place->folder >= 0) close(place->folder);
    place->folder = -1;
}

bool place_is_root(const struct place *place) {
    return strcmp(place->name, ".") == 0;
}
