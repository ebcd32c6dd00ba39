/*
 * The guest: PID 1 of a sandbox. It runs what the host asks for over stdin and stdout, and ends everything when the host
 * goes away.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "exec.h"
#include "files.h"
#include "listen.h"
#include "loop.h"
#include "out.h"
#include "path.h"
#include "stream.h"
#include "tree.h"

enum {
    EXIT_VIOLATION = 70,
    EXIT_SETUP = 71,
    READ_BYTES = 128 * 1024,
    INPUT_BYTES = HEADER_BYTES + MAX_EXEC_PAYLOAD + READ_BYTES,
};

static uint8_t input[INPUT_BYTES];
static size_t input_start, input_end_at;
static uint32_t last_id;

static _Noreturn void end(int code) {
    kill_everything();
    _exit(code);
}

static _Noreturn void refuse(const char *why, uint8_t type) {
    diagnose(why, type);
    out_flush();
    end(EXIT_VIOLATION);
}

/* False when the frame breaks the protocol. */
static bool open_call(const struct frame *frame) {
    switch (frame->type) {
    case HOST_EXEC: return exec_start(frame, environ);
    case HOST_LISTEN: return listen_start(frame);
    case HOST_CONNECT: return stream_connect(frame);
    default: return files_start(frame);
    }
}

static bool was_used(uint32_t id) {
    return id < GUEST_IDS ? id <= last_id : stream_given(id);
}

static void serve_frame(const struct frame *frame) {
    bool fine = true;
    if (frame->type == HOST_KILL_ALL) {
        kill_everything();
        return;
    }
    if (frame_opens(frame->type)) {
        if (frame->id <= last_id || frame->id >= GUEST_IDS) refuse("id is not a new one, frame type", frame->type);
        last_id = frame->id;
        fine = open_call(frame);
    } else if (!was_used(frame->id)) {
        refuse("id was never used, frame type", frame->type);
    } else if (exec_known(frame->id)) {
        fine = exec_frame(frame);
    } else if (files_known(frame->id)) {
        fine = files_frame(frame);
    } else if (stream_known(frame->id)) {
        fine = stream_frame(frame);
    }
    /* A frame about a call that is over crossed its last answer on the way and means nothing any more. */
    if (!fine) refuse("frame breaks the protocol, type", frame->type);
}

/* Serves whole frames as long as their answers have room. */
static void serve_input(void) {
    struct frame frame = {0};
    while (!out_crowded()) {
        enum frame_result result = frame_next(input + input_start, input_end_at - input_start, &frame);
        if (result == FRAME_BAD) refuse("malformed frame, type", frame.type);
        if (result == FRAME_PARTIAL) break;
        serve_frame(&frame);
        input_start += HEADER_BYTES + frame.length;
    }
    if (input_start == input_end_at) input_start = input_end_at = 0;
}

static void input_ready(struct source *source, uint32_t events) {
    /* The other end is gone: nobody will read an answer, so what is unread does not matter. */
    if ((events & (EPOLLHUP | EPOLLRDHUP | EPOLLERR)) != 0) end(0);
    /* What waits whole is served first, so that no more than a part of one frame is held when more is read. */
    serve_input();
    if (out_crowded()) return;
    if (INPUT_BYTES - input_end_at < READ_BYTES) {
        memmove(input, input + input_start, input_end_at - input_start);
        input_end_at -= input_start;
        input_start = 0;
    }
    ssize_t got = read(source->fd, input + input_end_at, READ_BYTES);
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) end(0);
    if (got > 0) input_end_at += (size_t)got;
    serve_input();
}

static void children_ready(struct source *source, uint32_t events) {
    struct signalfd_siginfo info;
    (void)events;
    while (read(source->fd, &info, sizeof info) > 0) continue;
    exec_reap();
}

/* The reader of stdout went away, or there is room again and the loop flushes anyway. */
static void output_ready(struct source *source, uint32_t events) {
    (void)source;
    if ((events & (EPOLLERR | EPOLLHUP)) != 0) end(0);
}

static struct source input_source = {STDIN_FILENO, input_ready};
static struct source output_source = {STDOUT_FILENO, output_ready};
static struct source children_source = {-1, children_ready};

static bool block_signals(void) {
    sigset_t set;
    sigfillset(&set);
    sigprocmask(SIG_SETMASK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    children_source.fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    return children_source.fd >= 0;
}

static void set_nonblocking(int fd) {
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

static void set_up(int argc, char **argv) {
    static char *const usual[] = {"/workspace", "/tmp", "/run/sallyport"};
    bool given = argc > 1;
    if (chdir("/") < 0) diagnose("chdir", errno);
    prctl(PR_SET_DUMPABLE, 0);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    if (close_range(3, ~0U, 0) < 0)
        for (int fd = 3; fd < 1024; fd++) close(fd);
    for (int fd = 0; fd < 3; fd++) set_nonblocking(fd);
    if (!path_roots(given ? argv + 1 : usual, given ? argc - 1 : 3)) {
        diagnose("a root folder is missing", errno);
        _exit(EXIT_SETUP);
    }
    if (!loop_open() || !block_signals() || !loop_add(SET_MAIN, &children_source, EPOLLIN) ||
        !loop_add(SET_MAIN, &input_source, EPOLLIN | EPOLLRDHUP) || !loop_add(SET_MAIN, &output_source, 0)) {
        diagnose("stdin and stdout cannot be watched", errno);
        _exit(EXIT_SETUP);
    }
}

static void say_hello(void) {
    uint8_t payload[6];
    put_u32(put_u16(payload, PROTOCOL_VERSION), (uint32_t)getpid());
    out_control(GUEST_HELLO, 0, payload, sizeof payload);
}

/* When somebody next has work that no event announces, in ms; -1 for never. */
static int tick(void) {
    int exec = exec_tick(), listen = listen_tick();
    return exec < 0 || (listen >= 0 && listen < exec) ? listen : exec;
}

/* Asks the kernel for what this state of the output can use. */
static void watch(void) {
    static uint32_t input_events = EPOLLIN | EPOLLRDHUP, output_events;
    uint32_t wanted_input = EPOLLRDHUP | (out_crowded() ? 0 : EPOLLIN);
    uint32_t wanted_output = out_idle() ? 0 : EPOLLOUT;
    if (wanted_input != input_events) loop_change(SET_MAIN, &input_source, input_events = wanted_input);
    if (wanted_output != output_events) loop_change(SET_MAIN, &output_source, output_events = wanted_output);
    loop_accept_data(out_idle());
}

int main(int argc, char **argv) {
    set_up(argc, argv);
    say_hello();
    /* Files and programs take turns at an output that has room again. */
    for (bool files_first = true;; files_first = !files_first) {
        if (!out_flush()) end(0);
        serve_input();
        bool more = files_work(files_first);
        int wait = tick();
        bool held = !out_idle();
        if (!out_flush()) end(0);
        /* Room that came only now wakes nobody: whoever found none a moment ago is asked once more. */
        if (held && out_idle()) more = true;
        watch();
        loop_turn(more ? 0 : wait);
    }
}
