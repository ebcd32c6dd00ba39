#define _GNU_SOURCE
#include "listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stddef.h>
#include <sys/socket.h>
#include <unistd.h>

#include "loop.h"
#include "out.h"
#include "stream.h"

enum { BACKLOG = 1024, RETRY_MS = 50 };

struct listener {
    struct source source;
    uint16_t port;
    /* What each accepted connection may send before the host gives it more */
    uint32_t credit;
    bool watched;
};

static struct listener listeners[MAX_PORTS];
static int count;
/* Descriptors or memory ran out: nothing is accepted before this time. */
static bool starved;
static int64_t retry_at;

/* In DATA, so that a host that does not read stops new connections too. */
static void watch(void) {
    bool wanted = !starved && stream_room();
    for (int i = 0; i < count; i++) {
        struct listener *listener = &listeners[i];
        if (wanted == listener->watched) continue;
        listener->watched = wanted;
        if (wanted) loop_add(SET_DATA, &listener->source, EPOLLIN);
        else loop_remove(SET_DATA, &listener->source);
    }
}

void listen_resume(void) {
    starved = false;
    watch();
}

int listen_tick(void) {
    if (!starved) return -1;
    int64_t left = retry_at - now_ms();
    if (left > 0) return (int)left;
    listen_resume();
    return -1;
}

static void listener_ready(struct source *source, uint32_t events) {
    (void)events;
    struct listener *listener = OWNER(source, struct listener, source);
    int fd = accept4(source->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
        stream_accepted(fd, listener->port, listener->credit);
    } else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
        starved = true;
        retry_at = now_ms() + RETRY_MS;
    }
    watch();
}

/* A descriptor that listens at the port, or -1 with errno. */
static int open_port(uint16_t port) {
    static const int on = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) == 0 && listen(fd, BACKLOG) == 0) return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

/* Zero with `opened` ports listening, or an errno. */
static int open_ports(struct cursor *cursor, uint32_t credit, int *opened) {
    while (cursor->at < cursor->end) {
        uint16_t port = take_u16(cursor);
        if (count + *opened == MAX_PORTS) return EMFILE;
        if (port == 0) return EINVAL;
        int fd = open_port(port);
        if (fd < 0) return errno;
        listeners[count + *opened] = (struct listener){{fd, listener_ready}, port, credit, false};
        ++*opened;
    }
    return 0;
}

bool listen_start(const struct frame *frame) {
    struct cursor cursor = cursor_over(frame);
    uint32_t credit = take_u32(&cursor);
    int opened = 0;
    if (credit > MAX_CREDIT || frame->length % 2 != 0) return false;
    int error = open_ports(&cursor, credit, &opened);
    if (error != 0) {
        for (int i = 0; i < opened; i++) close(listeners[count + i].source.fd);
        /* The stage tells which port of the frame it was. */
        out_failed(frame->id, (enum stage)opened, error);
        return true;
    }
    count += opened;
    out_control(GUEST_DONE, frame->id, NULL, 0);
    watch();
    return true;
}
