#define _GNU_SOURCE
#include "tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "directory.h"

enum { MAX_PROCESSES = 8192, DIRECTORY_BYTES = 8192, EVERYTHING_PASSES = 2000 };

struct process {
    pid_t pid;
    pid_t parent;
    pid_t session;
    bool marked;
    /* It runs, or would if it had something to do */
    bool active;
    bool held;
};

static struct process processes[MAX_PROCESSES];

typedef void visit(int directory, const char *name, void *state);

/* Calls `see` for every entry of /proc-like folders whose name is a number. */
static void each_number(int parent, const char *path, visit *see, void *state) {
    char buffer[DIRECTORY_BYTES] __attribute__((aligned(8)));
    int directory = openat(parent, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0) return;
    long got;
    while ((got = syscall(SYS_getdents64, directory, buffer, sizeof buffer)) > 0) {
        for (const struct directory_entry *entry = first_entry(buffer); (const char *)entry < buffer + got;
             entry = next_entry(entry))
            if (entry->name[0] >= '0' && entry->name[0] <= '9') see(directory, entry->name, state);
    }
    close(directory);
}

/* /proc/PID/stat is "pid (name) state parent group session …"; the name may hold anything, so its end is looked for. */
static void note_process(int proc, const char *name, void *state) {
    int *count = state;
    char path[32], text[512];
    if (*count == MAX_PROCESSES || strlen(name) > 20) return;
    strcpy(stpcpy(path, name), "/stat");
    int fd = openat(proc, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return;
    ssize_t length = read(fd, text, sizeof text - 1);
    close(fd);
    if (length <= 0) return;
    text[length] = '\0';
    char *at = strrchr(text, ')');
    if (at == NULL || at[1] == '\0' || at[2] == 'Z' || at[2] == 'X') return;
    bool active = at[2] != 'T' && at[2] != 't';
    pid_t parent = (pid_t)strtol(at + 3, &at, 10);
    strtol(at, &at, 10);
    pid_t session = (pid_t)strtol(at, &at, 10);
    processes[(*count)++] = (struct process){(pid_t)atoi(name), parent, session, false, active, false};
}

struct holder {
    const struct tree *tree;
    bool found;
};

static void note_descriptor(int descriptors, const char *name, void *state) {
    struct holder *holder = state;
    struct stat info;
    /* The mode of the link says how the file is open: a pipe's read end, which a fork of ours may hold, does not count. */
    if (holder->found || fstatat(descriptors, name, &info, AT_SYMLINK_NOFOLLOW) < 0) return;
    if ((info.st_mode & S_IWUSR) == 0 || fstatat(descriptors, name, &info, 0) < 0) return;
    for (int i = 0; i < 2; i++) {
        const struct end *end = &holder->tree->ends[i];
        if (end->ino != 0 && end->ino == info.st_ino && end->dev == info.st_dev) holder->found = true;
    }
}

static bool holds_output(const struct tree *tree, pid_t pid) {
    char path[40] = "/proc/", digits[12];
    size_t count = 0;
    for (pid_t rest = pid; rest > 0; rest /= 10) digits[count++] = (char)('0' + rest % 10);
    char *at = path + strlen(path);
    while (count > 0) *at++ = digits[--count];
    strcpy(at, "/fd");
    struct holder holder = {tree, false};
    each_number(AT_FDCWD, path, note_descriptor, &holder);
    return holder.found;
}

static bool is_parent_marked(int count, pid_t parent) {
    for (int i = 0; i < count; i++)
        if (processes[i].pid == parent) return processes[i].marked;
    return false;
}

static void mark_descendants(int count) {
    for (bool changed = true; changed;) {
        changed = false;
        for (int i = 0; i < count; i++) {
            if (processes[i].marked || !is_parent_marked(count, processes[i].parent)) continue;
            processes[i].marked = changed = true;
        }
    }
}

static int kill_marked(int count) {
    int killed = 0;
    for (int i = 0; i < count; i++)
        if (processes[i].marked && kill(processes[i].pid, SIGKILL) == 0) killed++;
    return killed;
}

static int note_processes(void) {
    int count = 0;
    each_number(AT_FDCWD, "/proc", note_process, &count);
    return count;
}

int tree_kill(const struct tree *tree) {
    int count = note_processes();
    pid_t self = getpid(), leader = tree->leader;
    for (int i = 0; i < count; i++) {
        struct process *process = &processes[i];
        bool member = leader > 0 && (process->pid == leader || process->session == leader);
        process->marked = member && process->pid != self;
    }
    mark_descendants(count);
    return kill_marked(count);
}

/* Everything below the guest stands still until `let_go`: what spins leaves a long look next to nothing of the processor. */
static void hold_still(int count, pid_t self) {
    for (int i = 0; i < count; i++) processes[i].marked = processes[i].parent == self;
    mark_descendants(count);
    for (int i = 0; i < count; i++) {
        struct process *process = &processes[i];
        process->held = process->marked && process->active && kill(process->pid, SIGSTOP) == 0;
        process->marked = false;
    }
}

/* The youngest first, so that hardly a parent that waits for its children is told that they are stopped. */
static void let_go(int count) {
    for (int i = count - 1; i >= 0; i--)
        if (processes[i].held) kill(processes[i].pid, SIGCONT);
}

int tree_kill_holders(const struct tree *tree) {
    int count = note_processes();
    pid_t self = getpid();
    hold_still(count, self);
    for (int i = 0; i < count; i++) {
        struct process *process = &processes[i];
        process->marked = process->pid != self && holds_output(tree, process->pid);
    }
    mark_descendants(count);
    int killed = kill_marked(count);
    let_go(count);
    return killed;
}

void kill_everything(void) {
    pid_t self = getpid();
    if (self == 1) {
        kill(-1, SIGKILL);
        return;
    }
    /* Not PID 1: as the subreaper of its children every process it made is still below it. */
    for (int pass = 0; pass < EVERYTHING_PASSES; pass++) {
        int count = note_processes();
        for (int i = 0; i < count; i++) processes[i].marked = processes[i].parent == self;
        mark_descendants(count);
        if (kill_marked(count) == 0) return;
        const struct timespec moment = {0, 1000000};
        nanosleep(&moment, NULL);
    }
}
