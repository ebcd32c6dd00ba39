#define _GNU_SOURCE
#include "exec.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "input.h"
#include "loop.h"
#include "out.h"
#include "spawn.h"
#include "tree.h"

enum { MAX_EXECS = 256, KILL_EVERY_MS = 5, KILL_TICKS = 1000, PASSES_PER_TICK = 3 };

struct exec;

struct output {
    struct source source;
    struct exec *exec;
    uint8_t type;
    bool watched;
};

struct exec {
    /* 0: this place is free */
    uint32_t id;
    struct tree tree;
    /* Its process; 0 once it was reaped */
    pid_t pid;
    struct source status;
    struct input input;
    bool has_input;
    bool tty;
    struct output outputs[2];
    uint32_t credit;
    /* Passes left to kill its tree; 0 when nobody asked */
    int killing;
    int64_t next_kill;
};

static struct exec execs[MAX_EXECS];
/* Places that were ever taken: what is beyond is never looked at, so never in memory. */
static int places;

static struct exec *find(uint32_t id) {
    for (int i = 0; i < places; i++)
        if (execs[i].id == id) return &execs[i];
    return NULL;
}

static struct exec *free_place(void) {
    struct exec *exec = find(0);
    return exec == NULL && places < MAX_EXECS ? &execs[places++] : exec;
}

bool exec_known(uint32_t id) {
    return find(id) != NULL;
}

/* The place is free again once the process was reaped, both streams ended and nobody kills its tree. */
static void release_when_over(struct exec *exec) {
    if (exec->pid != 0 || exec->killing > 0 || exec->status.fd >= 0) return;
    if (exec->outputs[0].source.fd >= 0 || exec->outputs[1].source.fd >= 0) return;
    input_release(&exec->input);
    exec->id = 0;
}

static void watch_outputs(struct exec *exec) {
    for (int i = 0; i < 2; i++) {
        struct output *output = &exec->outputs[i];
        bool wanted = output->source.fd >= 0 && exec->status.fd < 0 && exec->credit >= MIN_CREDIT;
        if (wanted == output->watched) continue;
        output->watched = wanted;
        /* Taken out rather than silenced: an ended pipe is reported whether asked for or not. */
        if (wanted) loop_add(SET_DATA, &output->source, EPOLLIN);
        else loop_remove(SET_DATA, &output->source);
    }
}

static void end_output(struct output *output) {
    struct exec *exec = output->exec;
    uint8_t stream = output == &exec->outputs[0] ? 1 : 2;
    loop_close(&output->source);
    output->watched = false;
    out_control(GUEST_EOF, exec->id, &stream, 1);
    release_when_over(exec);
}

static void output_ready(struct source *source, uint32_t events) {
    (void)events;
    struct output *output = OWNER(source, struct output, source);
    struct exec *exec = output->exec;
    uint32_t room = exec->credit - FRAME_COST;
    ssize_t got = read(source->fd, out_slot(), room < DATA_PAYLOAD ? room : DATA_PAYLOAD);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got <= 0) {
        end_output(output);
        return;
    }
    exec->credit -= (uint32_t)got + FRAME_COST;
    out_send_slot(output->type, exec->id, (uint32_t)got);
    if (exec->credit < MIN_CREDIT) watch_outputs(exec);
}

/* The program never ran: answers and forgets the exec; its process is reaped as nobody's. */
static void never_started(struct exec *exec, enum stage stage, int error) {
    out_failed(exec->id, stage, error);
    input_release(&exec->input);
    for (int i = 0; i < 2; i++) loop_close(&exec->outputs[i].source);
    exec->id = 0;
}

static void status_ready(struct source *source, uint32_t events) {
    (void)events;
    struct exec *exec = OWNER(source, struct exec, status);
    uint8_t report[5];
    ssize_t got = read(source->fd, report, sizeof report);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    loop_close(source);
    if (got == (ssize_t)sizeof report) {
        struct cursor cursor = {report, report + sizeof report, false};
        enum stage stage = take_u8(&cursor);
        never_started(exec, stage, (int)take_u32(&cursor));
        return;
    }
    uint8_t pid[4];
    put_u32(pid, (uint32_t)exec->pid);
    out_control(GUEST_STARTED, exec->id, pid, sizeof pid);
    watch_outputs(exec);
}

/* A number that comes back must not let an older exec reach the processes of this one. */
static void forget_leader(pid_t pid) {
    for (int i = 0; i < places; i++)
        if (execs[i].tree.leader == pid) execs[i].tree.leader = 0;
}

bool exec_start(const struct frame *frame, char *const *base_env) {
    static struct spec spec;
    struct spawned spawned;
    if (!spec_read(frame, base_env, &spec)) return false;
    struct exec *exec = free_place();
    int error = exec == NULL ? EAGAIN : spawn(&spec, &spawned);
    if (error != 0) {
        out_failed(frame->id, STAGE_SPAWN, error);
        return true;
    }
    forget_leader(spawned.pid);
    *exec = (struct exec){.id = frame->id, .pid = spawned.pid, .tty = spec.tty, .credit = spec.credit};
    exec->tree = (struct tree){spawned.pid, {spawned.ends[0], spawned.ends[1]}};
    exec->status = (struct source){spawned.status, status_ready};
    exec->has_input = spec.stdin_pipe;
    input_open(&exec->input, frame->id, spawned.input, spec.tty);
    for (int i = 0; i < 2; i++)
        exec->outputs[i] = (struct output){{spawned.output[i], output_ready}, exec, (uint8_t)(GUEST_STDOUT + i), false};
    loop_add(SET_MAIN, &exec->status, EPOLLIN);
    return true;
}

static bool is_sendable(int number) {
    return number == SIGTERM || number == SIGKILL || number == SIGINT || number == SIGHUP || number == SIGQUIT ||
           number == SIGUSR1 || number == SIGUSR2;
}

static void kill_pass(struct exec *exec) {
    int passes = 0;
    while (passes < PASSES_PER_TICK && tree_kill(&exec->tree) > 0) passes++;
    /* The end of the program is told before the long look for whoever holds its output. */
    bool left = passes > 0 || exec->pid != 0 || tree_kill_holders(&exec->tree) > 0;
    exec->killing = left ? exec->killing - 1 : 0;
    exec->next_kill = now_ms() + KILL_EVERY_MS;
    if (left && exec->killing == 0) diagnose("a tree would not die", 0);
    release_when_over(exec);
}

static bool add_credit(struct exec *exec, uint32_t bytes) {
    if (bytes > MAX_CREDIT - exec->credit) return false;
    exec->credit += bytes;
    watch_outputs(exec);
    return true;
}

bool exec_frame(const struct frame *frame) {
    struct exec *exec = find(frame->id);
    struct cursor cursor = cursor_over(frame);
    switch (frame->type) {
    case HOST_DATA:
        return exec->has_input && input_data(&exec->input, frame->payload, frame->length);
    case HOST_END:
        return exec->has_input && input_end(&exec->input);
    case HOST_CREDIT:
        return add_credit(exec, take_u32(&cursor));
    case HOST_SIGNAL: {
        int number = take_u8(&cursor);
        if (!is_sendable(number)) return false;
        if (exec->tree.leader > 0) kill(-exec->tree.leader, number);
        return true;
    }
    case HOST_RESIZE: {
        struct winsize size = {0};
        size.ws_col = take_u16(&cursor);
        size.ws_row = take_u16(&cursor);
        if (!exec->tty) return false;
        if (exec->outputs[0].source.fd >= 0) ioctl(exec->outputs[0].source.fd, TIOCSWINSZ, &size);
        return true;
    }
    case HOST_KILL_TREE:
        exec->killing = KILL_TICKS;
        kill_pass(exec);
        return true;
    default:
        return false;
    }
}

static void report_exit(struct exec *exec, int status, const struct rusage *usage) {
    uint8_t payload[18], *at = payload;
    uint64_t cpu_us = (uint64_t)(usage->ru_utime.tv_sec + usage->ru_stime.tv_sec) * 1000000 +
                      (uint64_t)(usage->ru_utime.tv_usec + usage->ru_stime.tv_usec);
    at = put_u8(at, WIFSIGNALED(status) ? 1 : 0);
    at = put_u8(at, (uint8_t)(WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status)));
    at = put_u64(at, cpu_us);
    put_u64(at, (uint64_t)usage->ru_maxrss * 1024);
    out_control(GUEST_EXIT, exec->id, payload, sizeof payload);
}

void exec_reap(void) {
    int status;
    struct rusage usage;
    pid_t pid;
    while ((pid = wait4(-1, &status, WNOHANG, &usage)) > 0) {
        for (int i = 0; i < places; i++) {
            struct exec *exec = &execs[i];
            if (exec->id == 0 || exec->pid != pid) continue;
            /* Its status pipe is certain by now, and `started` comes before `exit`. */
            if (exec->status.fd >= 0) status_ready(&exec->status, 0);
            if (exec->id == 0) break;
            report_exit(exec, status, &usage);
            exec->pid = 0;
            release_when_over(exec);
        }
    }
}

int exec_tick(void) {
    int64_t wait = -1;
    for (int i = 0; i < places; i++) {
        struct exec *exec = &execs[i];
        if (exec->id == 0 || exec->killing == 0) continue;
        if (exec->next_kill <= now_ms()) kill_pass(exec);
        int64_t left = exec->killing > 0 ? exec->next_kill - now_ms() : -1;
        if (left >= 0 && (wait < 0 || left < wait)) wait = left;
    }
    return (int)wait;
}
