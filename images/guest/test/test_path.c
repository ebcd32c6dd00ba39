/* Paths stay inside their roots, whatever links and dots stand in the way. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../src/path.h"
#include "../src/remove.h"
#include "check.h"

static char root[64], other[80];

static int walk(const char *path, bool make) {
    struct place place;
    int error = path_walk(path, make, &place);
    if (error == 0) place_close(&place);
    else CHECK(place.folder == -1);
    return error;
}

static const char *in(const char *base, const char *rest) {
    static char path[256];
    snprintf(path, sizeof path, "%s%s", base, rest);
    return path;
}

static void what_is_refused(void) {
    const char *bad[] = {"", "..", "../x", "a/..", "a/../x", "./a", "a/.", "a//b", "a/", "/", "/etc", "//", "/.."};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) CHECK(walk(bad[i], false) == EINVAL);
    CHECK(walk(in(root, "/../x"), false) == EINVAL);
    CHECK(walk(in(root, "/"), false) == EINVAL);
    CHECK(walk(in(root, "evil"), false) == EINVAL);
    static char name[300], long_path[5000];
    memset(name, 'n', 256);
    CHECK(walk(name, false) == ENAMETOOLONG);
    name[255] = '\0';
    CHECK(walk(name, false) == 0);
    memset(long_path, 'a', 4097);
    CHECK(walk(long_path, false) == ENAMETOOLONG);
}

static void what_is_allowed(void) {
    struct place place;
    CHECK(walk("..foo", false) == 0 && walk("...", false) == 0 && walk(".hidden", false) == 0);
    CHECK(walk("a/b/c", false) == ENOENT && walk("a/b/c", true) == 0 && walk("a/b/c", false) == 0);
    CHECK(walk(in(other, "/x"), false) == 0);
    CHECK(path_walk(".", false, &place) == 0 && place_is_root(&place));
    place_close(&place);
    CHECK(path_walk(root, false, &place) == 0 && place_is_root(&place));
    place_close(&place);
}

static void links_are_not_followed(void) {
    CHECK(symlink("/etc", in(root, "/link")) == 0);
    CHECK(walk("link", false) == 0);
    CHECK(walk("link/passwd", false) == ENOTDIR && walk("link/new", true) == ENOTDIR);
    int fd = open(in(root, "/file"), O_CREAT | O_WRONLY, 0600);
    CHECK(fd >= 0 && close(fd) == 0);
    CHECK(walk("file/x", true) == ENOTDIR);
}

static void a_tree_goes_whole(void) {
    struct place place;
    struct removal removal;
    CHECK(walk("t/a/b/c/d", true) == 0 && walk("t/e/f", true) == 0);
    CHECK(symlink("/etc", in(root, "/t/a/out")) == 0);
    CHECK(path_walk("t", false, &place) == 0);
    CHECK(remove_open(&removal, &place) == 0);
    int error, steps = 0;
    while ((error = remove_step(&removal)) == EINPROGRESS) CHECK(++steps < 100);
    CHECK(error == 0);
    remove_close(&removal);
    CHECK(access(in(root, "/t"), F_OK) < 0 && access("/etc/passwd", F_OK) == 0);
    CHECK(path_walk("t", false, &place) == 0 && remove_open(&removal, &place) == ENOENT);
    place_close(&place);
}

int main(void) {
    strcpy(root, "/tmp/guest-test-XXXXXX");
    CHECK(mkdtemp(root) != NULL);
    snprintf(other, sizeof other, "%s-other", root);
    CHECK(mkdir(other, 0700) == 0);
    char *roots[] = {root, other};
    CHECK(path_roots(roots, 2) && !path_roots(roots, 0));
    char *missing[] = {(char *)"/no/such/root"};
    CHECK(!path_roots(missing, 1) && path_roots(roots, 2));
    what_is_refused();
    what_is_allowed();
    links_are_not_followed();
    a_tree_goes_whole();
    char command[200];
    snprintf(command, sizeof command, "rm -rf %s %s", root, other);
    CHECK(system(command) == 0);
    puts("test_path: ok");
    return 0;
}
