/*
 * One epoll loop over two sets. MAIN holds what must always be heard; DATA holds what produces bytes for the host and is
 * looked at only while stdout takes them, so a slow host stops programs, never the loop.
 */
#ifndef GUEST_LOOP_H
#define GUEST_LOOP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

struct source {
    int fd;
    void (*ready)(struct source *source, uint32_t events);
};

enum set { SET_MAIN, SET_DATA };

#define OWNER(source, type, member) ((type *)(void *)((char *)(source) - offsetof(type, member)))

bool loop_open(void);
/* False when the descriptor cannot be watched. */
bool loop_add(enum set set, struct source *source, uint32_t events);
void loop_change(enum set set, struct source *source, uint32_t events);
void loop_remove(enum set set, struct source *source);
/* Closes the descriptor, which takes it out of its set, and forgets it. */
void loop_close(struct source *source);

/* Waits at most `timeout_ms` (-1: for ever) for one event of MAIN and serves it. */
void loop_turn(int timeout_ms);
/* Opens or shuts the DATA set. */
void loop_accept_data(bool accept);

int64_t now_ms(void);

#endif
