#define _GNU_SOURCE
#include "spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEFAULT_PATH "/usr/local/bin:/usr/bin:/bin"

/* Every descriptor a spawn makes, so that one place closes what a failure leaves. */
enum { IN_READ, IN_WRITE, OUT_READ, OUT_WRITE, ERR_READ, ERR_WRITE, STATUS_READ, STATUS_WRITE, ENDS };

static void close_ends(const int *ends) {
    for (int i = 0; i < ENDS; i++)
        if (ends[i] >= 0) close(ends[i]);
}

static int make_pipe(int *pair) {
    return pipe2(pair, O_CLOEXEC) == 0 ? 0 : errno;
}

/* A terminal gives one descriptor for each of: what we write, what we read, what the program has. */
static int make_terminal(const struct spec *spec, int *ends) {
    int unlock = 0;
    struct winsize size = {.ws_row = spec->rows, .ws_col = spec->cols};
    ends[OUT_READ] = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (ends[OUT_READ] < 0 || ioctl(ends[OUT_READ], TIOCSPTLCK, &unlock) < 0) return errno;
    ends[OUT_WRITE] = ioctl(ends[OUT_READ], TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (ends[OUT_WRITE] < 0 || ioctl(ends[OUT_READ], TIOCSWINSZ, &size) < 0) return errno;
    if (!spec->stdin_pipe) return make_pipe(ends + IN_READ);
    ends[IN_READ] = fcntl(ends[OUT_WRITE], F_DUPFD_CLOEXEC, 0);
    ends[IN_WRITE] = fcntl(ends[OUT_READ], F_DUPFD_CLOEXEC, 0);
    return ends[IN_READ] < 0 || ends[IN_WRITE] < 0 ? errno : 0;
}

static int make_ends(const struct spec *spec, int *ends) {
    for (int i = 0; i < ENDS; i++) ends[i] = -1;
    int error = make_pipe(ends + STATUS_READ);
    if (error == 0 && spec->tty) error = make_terminal(spec, ends);
    else if (error == 0) {
        error = make_pipe(ends + IN_READ);
        if (error == 0) error = make_pipe(ends + OUT_READ);
        if (error == 0) error = make_pipe(ends + ERR_READ);
    }
    if (error != 0) return error;
    if (!spec->stdin_pipe) {
        close(ends[IN_WRITE]);
        ends[IN_WRITE] = -1;
    }
    const int ours[] = {IN_WRITE, OUT_READ, ERR_READ, STATUS_READ};
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        if (ends[ours[i]] >= 0) fcntl(ends[ours[i]], F_SETFL, O_NONBLOCK | (fcntl(ends[ours[i]], F_GETFL) & O_ACCMODE));
    return 0;
}

static void search_and_exec(const struct spec *spec) {
    const char *name = spec->argv[0];
    if (strchr(name, '/') != NULL || *name == '\0') {
        execve(name, spec->argv, spec->env);
        return;
    }
    const char *path = env_value(spec->env, "PATH");
    if (path == NULL) path = DEFAULT_PATH;
    int refused = 0;
    char file[4096];
    for (size_t length; *path != '\0'; path += length + (path[length] == ':')) {
        length = strcspn(path, ":");
        if (length == 0 || length + strlen(name) + 2 > sizeof file) continue;
        memcpy(file, path, length);
        file[length] = '/';
        strcpy(file + length + 1, name);
        execve(file, spec->argv, spec->env);
        if (errno == EACCES) refused = EACCES;
        else if (errno != ENOENT && errno != ENOTDIR) return;
    }
    errno = refused != 0 ? refused : ENOENT;
}

static void fail(int status, enum stage stage) {
    uint8_t report[5];
    put_u32(put_u8(report, (uint8_t)stage), (uint32_t)errno);
    if (write(status, report, sizeof report) < 0) _exit(126);
    _exit(127);
}

static _Noreturn void run_child(const struct spec *spec, const int *ends) {
    const int stderr_end = spec->tty ? ends[OUT_WRITE] : ends[ERR_WRITE];
    setsid();
    if (spec->tty && ioctl(ends[OUT_WRITE], TIOCSCTTY, 0) < 0) fail(ends[STATUS_WRITE], STAGE_SPAWN);
    if (dup2(ends[IN_READ], 0) < 0 || dup2(ends[OUT_WRITE], 1) < 0 || dup2(stderr_end, 2) < 0)
        fail(ends[STATUS_WRITE], STAGE_SPAWN);
    for (int number = 1; number < NSIG; number++) signal(number, SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    umask(022);
    if (chdir(spec->cwd) < 0) fail(ends[STATUS_WRITE], STAGE_CWD);
    search_and_exec(spec);
    fail(ends[STATUS_WRITE], STAGE_COMMAND);
    _exit(127);
}

static void identify(struct spawned *spawned, int which, int fd) {
    struct stat info;
    if (fd < 0 || fstat(fd, &info) < 0) return;
    spawned->ends[which].dev = info.st_dev;
    spawned->ends[which].ino = info.st_ino;
}

int spawn(const struct spec *spec, struct spawned *spawned) {
    int ends[ENDS];
    int error = make_ends(spec, ends);
    *spawned = (struct spawned){.input = -1, .output = {-1, -1}, .status = -1};
    pid_t pid = error == 0 ? fork() : -1;
    if (pid < 0) {
        if (error == 0) error = errno;
        close_ends(ends);
        return error;
    }
    if (pid == 0) run_child(spec, ends);
    identify(spawned, 0, ends[OUT_WRITE]);
    identify(spawned, 1, ends[ERR_WRITE]);
    spawned->pid = pid;
    spawned->input = ends[IN_WRITE];
    spawned->output[0] = ends[OUT_READ];
    spawned->output[1] = ends[ERR_READ];
    spawned->status = ends[STATUS_READ];
    ends[IN_WRITE] = ends[OUT_READ] = ends[ERR_READ] = ends[STATUS_READ] = -1;
    close_ends(ends);
    return 0;
}
