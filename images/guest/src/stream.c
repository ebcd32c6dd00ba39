#define _GNU_SOURCE
#include "stream.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <sys/socket.h>
#include <unistd.h>

#include "listen.h"
#include "loop.h"
#include "out.h"
#include "ring.h"

enum {
    MAX_ACCEPTED = 256,
    MAX_CONNECTED = 64,
    MAX_STREAMS = MAX_ACCEPTED + MAX_CONNECTED,
    CREDIT_BATCH = STREAM_WINDOW / 4,
};

struct stream {
    /* 0: this place is free */
    uint32_t id;
    /* One descriptor twice: in DATA for what the program sends, in MAIN for room, errors and the end of a connect */
    struct source from;
    struct source to;
    /* What may still be sent to the host */
    uint32_t credit;
    /* What the host may still send, and what it has not been given back yet */
    uint32_t window;
    uint32_t owed;
    struct ring ring;
    bool connecting;
    bool watched;
    /* Each side's end of data; the host's has reached the program once `shut` */
    bool program_ended;
    bool host_ended;
    bool shut;
    /* The host is done with it: what waits goes to the program, nothing goes to the host */
    bool parted;
    /* The last frame was sent; the place waits for the host to part with it */
    bool closed;
    /* The connection broke with this errno, and what came before that is still to be read */
    int broken;
};

static struct stream streams[MAX_STREAMS];
/* Places that were ever taken, as in exec.c. */
static int places;
static int accepted, connected;
static uint32_t last_given = GUEST_IDS - 1;

static struct stream *find(uint32_t id) {
    for (int i = 0; i < places; i++)
        if (streams[i].id == id) return &streams[i];
    return NULL;
}

bool stream_known(uint32_t id) {
    return find(id) != NULL;
}

bool stream_given(uint32_t id) {
    return id <= last_given;
}

bool stream_room(void) {
    return accepted < MAX_ACCEPTED && last_given != UINT32_MAX;
}

static void forget(struct stream *stream) {
    if (stream->id >= GUEST_IDS) accepted--;
    else connected--;
    stream->id = 0;
    listen_resume();
}

static void let_go(struct stream *stream) {
    loop_close(&stream->from);
    stream->to.fd = -1;
    ring_free(&stream->ring);
}

/* The last the host hears of it; with an error the program sees a reset. */
static void finish(struct stream *stream, int error) {
    static const struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    uint8_t payload[4];
    if (error != 0) setsockopt(stream->from.fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    let_go(stream);
    put_u32(payload, (uint32_t)error);
    out_control(GUEST_CLOSED, stream->id, payload, sizeof payload);
    stream->closed = true;
    if (stream->parted) forget(stream);
}

static void watch(struct stream *stream) {
    bool wanted = !stream->program_ended && !stream->parted && stream->credit >= MIN_CREDIT;
    if (wanted == stream->watched) return;
    stream->watched = wanted;
    if (wanted) loop_add(SET_DATA, &stream->from, EPOLLIN);
    else loop_remove(SET_DATA, &stream->from);
}

/* Nothing reaches the program any more. What it sent before is read while there is credit for it. */
static void break_off(struct stream *stream, int error) {
    stream->broken = error;
    ring_free(&stream->ring);
    if (!stream->watched) finish(stream, error);
}

static void program_done(struct stream *stream) {
    if (stream->broken != 0) {
        finish(stream, stream->broken);
        return;
    }
    stream->program_ended = true;
    watch(stream);
    out_control(GUEST_END, stream->id, NULL, 0);
    if (stream->shut) finish(stream, 0);
}

static void from_ready(struct source *source, uint32_t events) {
    (void)events;
    struct stream *stream = OWNER(source, struct stream, from);
    uint32_t room = stream->credit - FRAME_COST;
    ssize_t got = read(source->fd, out_slot(), room < DATA_PAYLOAD ? room : DATA_PAYLOAD);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got < 0) {
        finish(stream, stream->broken != 0 ? stream->broken : errno);
        return;
    }
    if (got == 0) {
        program_done(stream);
        return;
    }
    stream->credit -= (uint32_t)got + FRAME_COST;
    out_send_slot(GUEST_DATA, stream->id, (uint32_t)got);
    watch(stream);
    if (stream->broken != 0 && !stream->watched) finish(stream, stream->broken);
}

static void give_back(struct stream *stream, uint32_t bytes) {
    stream->owed += bytes;
    if (stream->owed < CREDIT_BATCH || stream->host_ended) return;
    out_credit(stream->id, stream->owed);
    stream->window += stream->owed;
    stream->owed = 0;
}

/* Everything the host sent before its end or its parting has reached the program. */
static void drained(struct stream *stream) {
    if (stream->parted) {
        finish(stream, 0);
    } else if (stream->host_ended && !stream->shut) {
        stream->shut = true;
        shutdown(stream->from.fd, SHUT_WR);
        if (stream->program_ended) finish(stream, 0);
    }
}

static int pending_error(int fd) {
    int error = 0;
    socklen_t length = sizeof error;
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0 ? errno : error;
}

static void connect_done(struct stream *stream, int error) {
    stream->connecting = false;
    if (error != 0) {
        out_failed(stream->id, STAGE_CALL, error);
        let_go(stream);
        forget(stream);
        return;
    }
    out_control(GUEST_CONNECTED, stream->id, NULL, 0);
    watch(stream);
}

/* Watched for edges: a connection that ended both ways would be told of for ever. */
static void to_ready(struct source *source, uint32_t events) {
    struct stream *stream = OWNER(source, struct stream, to);
    int error = (events & EPOLLERR) != 0 ? pending_error(source->fd) : 0;
    if (stream->connecting) {
        if ((events & (EPOLLOUT | EPOLLERR)) != 0) connect_done(stream, error);
    } else if ((events & EPOLLERR) != 0) {
        if (stream->broken == 0) break_off(stream, error != 0 ? error : ECONNRESET);
    } else if (stream->ring.held > 0) {
        uint32_t before = stream->ring.held;
        /* To the last byte it takes: no other edge comes before that. */
        while (stream->ring.held > 0) {
            ssize_t written = ring_feed(&stream->ring, source->fd);
            if (written < 0) {
                break_off(stream, errno);
                return;
            }
            if (written == 0) break;
        }
        give_back(stream, before - stream->ring.held);
        if (stream->ring.held > 0) return;
        ring_free(&stream->ring);
        drained(stream);
    }
}

/* Takes a place for `fd`, which is not blocking. */
static struct stream *open_stream(uint32_t id, int fd, uint32_t credit) {
    static const int on = 1;
    struct stream *stream = find(0);
    if (stream == NULL) stream = &streams[places++];
    *stream = (struct stream){.id = id, .credit = credit, .window = STREAM_WINDOW, .ring.size = STREAM_WINDOW};
    stream->from = (struct source){fd, from_ready};
    stream->to = (struct source){fd, to_ready};
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return stream;
}

void stream_accepted(int fd, uint16_t port, uint32_t credit) {
    uint8_t payload[2];
    struct stream *stream = open_stream(++last_given, fd, credit);
    accepted++;
    put_u16(payload, port);
    out_control(GUEST_ACCEPTED, stream->id, payload, sizeof payload);
    loop_add(SET_MAIN, &stream->to, EPOLLET);
    watch(stream);
}

bool stream_connect(const struct frame *frame) {
    struct cursor cursor = cursor_over(frame);
    uint32_t credit = take_u32(&cursor);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(take_u16(&cursor))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (credit > MAX_CREDIT) return false;
    int fd = connected < MAX_CONNECTED ? socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0) : -1;
    if (fd < 0) {
        out_failed(frame->id, STAGE_CALL, connected < MAX_CONNECTED ? errno : EAGAIN);
        return true;
    }
    struct stream *stream = open_stream(frame->id, fd, credit);
    connected++;
    stream->connecting = true;
    int error = connect(fd, (struct sockaddr *)&address, sizeof address) < 0 ? errno : 0;
    if (error != 0 && error != EINPROGRESS) connect_done(stream, error);
    else loop_add(SET_MAIN, &stream->to, EPOLLOUT | EPOLLET);
    return true;
}

static bool take_data(struct stream *stream, const uint8_t *bytes, uint32_t length) {
    if (stream->host_ended || length > stream->window) return false;
    stream->window -= length;
    if (stream->broken != 0) return true;
    ssize_t written = stream->ring.held == 0 ? feed(stream->from.fd, bytes, length) : 0;
    if (written < 0) {
        break_off(stream, errno);
        return true;
    }
    uint32_t rest = length - (uint32_t)written;
    give_back(stream, (uint32_t)written);
    if (rest == 0) return true;
    if (stream->ring.held == 0) loop_change(SET_MAIN, &stream->to, EPOLLOUT | EPOLLET);
    if (!ring_keep(&stream->ring, bytes + written, rest)) finish(stream, ENOMEM);
    return true;
}

static bool take_end(struct stream *stream) {
    if (stream->host_ended) return false;
    stream->host_ended = true;
    if (stream->broken == 0 && stream->ring.held == 0) drained(stream);
    return true;
}

static bool part(struct stream *stream, enum parting how) {
    if (stream->parted || how > PART_RESET) return false;
    stream->parted = true;
    if (stream->closed) {
        forget(stream);
        return true;
    }
    watch(stream);
    if (how == PART_RESET || stream->broken != 0) finish(stream, ECANCELED);
    else if (stream->ring.held == 0) finish(stream, 0);
    return true;
}

bool stream_frame(const struct frame *frame) {
    struct stream *stream = find(frame->id);
    struct cursor cursor = cursor_over(frame);
    if (frame->type == HOST_CLOSE && !stream->connecting) return part(stream, take_u8(&cursor));
    /* What crossed its last frame on the way means nothing any more. */
    if (stream->closed) return true;
    if (stream->connecting || stream->parted) return false;
    if (frame->type == HOST_DATA) return take_data(stream, frame->payload, frame->length);
    if (frame->type == HOST_END) return take_end(stream);
    if (frame->type != HOST_CREDIT) return false;
    uint32_t bytes = take_u32(&cursor);
    if (bytes > MAX_CREDIT - stream->credit) return false;
    stream->credit += bytes;
    watch(stream);
    return true;
}
