#define _GNU_SOURCE
#include "loop.h"

#include <stddef.h>
#include <time.h>
#include <unistd.h>

#include "out.h"

enum { DATA_BURST = 16 };

static int sets[2] = {-1, -1};
static bool accepting;

static void data_ready(struct source *source, uint32_t events);
static struct source data_source = {-1, data_ready};

bool loop_open(void) {
    sets[SET_MAIN] = epoll_create1(EPOLL_CLOEXEC);
    sets[SET_DATA] = epoll_create1(EPOLL_CLOEXEC);
    if (sets[SET_MAIN] < 0 || sets[SET_DATA] < 0) return false;
    data_source.fd = sets[SET_DATA];
    accepting = true;
    return loop_add(SET_MAIN, &data_source, EPOLLIN);
}

static int control(enum set set, int operation, struct source *source, uint32_t events) {
    struct epoll_event event = {.events = events, .data.ptr = source};
    return epoll_ctl(sets[set], operation, source->fd, &event);
}

bool loop_add(enum set set, struct source *source, uint32_t events) {
    return control(set, EPOLL_CTL_ADD, source, events) == 0;
}

void loop_change(enum set set, struct source *source, uint32_t events) {
    control(set, EPOLL_CTL_MOD, source, events);
}

void loop_remove(enum set set, struct source *source) {
    control(set, EPOLL_CTL_DEL, source, 0);
}

void loop_close(struct source *source) {
    if (source->fd < 0) return;
    /* A fork that has not reached its exec shares the open file, so closing alone would leave it in the set. */
    loop_remove(SET_MAIN, source);
    loop_remove(SET_DATA, source);
    close(source->fd);
    source->fd = -1;
}

/* One event at a time: serving one may end the owner of the next. Level-triggered sets take turns among the ready. */
static bool serve(enum set set, int timeout_ms) {
    struct epoll_event event;
    if (epoll_wait(sets[set], &event, 1, timeout_ms) != 1) return false;
    struct source *source = event.data.ptr;
    source->ready(source, event.events);
    return true;
}

static void data_ready(struct source *source, uint32_t events) {
    (void)source;
    (void)events;
    for (int i = 0; i < DATA_BURST && out_idle() && serve(SET_DATA, 0); i++)
        if (!out_flush()) return;
}

void loop_turn(int timeout_ms) {
    serve(SET_MAIN, timeout_ms);
}

void loop_accept_data(bool accept) {
    if (accept == accepting) return;
    accepting = accept;
    loop_change(SET_MAIN, &data_source, accept ? EPOLLIN : 0);
}

int64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}
