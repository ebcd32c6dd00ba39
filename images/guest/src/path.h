/*
 * From a path the host names to a folder that is open and a name in it. Every step is taken from the folder before,
 * without following links, so what the sandbox does meanwhile cannot lead outside the roots.
 */
#ifndef GUEST_PATH_H
#define GUEST_PATH_H

#include <stdbool.h>

enum { MAX_PATH_BYTES = 4096, MAX_NAME_BYTES = 255, MAX_ROOTS = 8 };

struct place {
    /* Open as O_PATH; the caller closes it */
    int folder;
    /* "." for a root itself */
    char name[MAX_NAME_BYTES + 1];
};

/* Opens the folders that paths may lie in; relative paths start at the first. False when one cannot be opened. */
bool path_roots(char *const *roots, int count);

/* Zero and a place, or an errno. With `make` missing folders on the way are made. */
int path_walk(const char *path, bool make, struct place *place);
void place_close(struct place *place);

/* True for the name of a root itself. */
bool place_is_root(const struct place *place);

#endif
