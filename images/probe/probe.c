/*
 * Looks around in a sandbox and prints one `name=value` line for each thing seen or tried. It judges nothing: what is
 * right is known by the side that reads. A refused attempt is told as the name of its errno, an allowed one as `ok`.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *outcome(long result) {
  return result >= 0 ? "ok" : strerrorname_np(errno);
}

static void tell(const char *name, long result) {
  printf("%s=%s\n", name, outcome(result));
  fflush(stdout);
}

/* The lines of /proc/self/status that speak of privilege, joined. */
static void identity(void) {
  static const char *const wanted[] = {"Uid:",    "Gid:",    "Groups:", "CapInh:",     "CapPrm:",
                                       "CapEff:", "CapBnd:", "CapAmb:", "NoNewPrivs:", "Seccomp:"};
  FILE *status = fopen("/proc/self/status", "re");
  char line[512];
  while (status && fgets(line, sizeof line, status)) {
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
      size_t length = strlen(wanted[i]);
      if (strncmp(line, wanted[i], length)) continue;
      line[strcspn(line, "\n")] = 0;
      printf("status.%.*s=", (int)length - 1, wanted[i]);
      for (char *c = line + length; *c; c++) putchar(*c == '\t' ? ' ' : *c);
      putchar('\n');
    }
  }
  if (status) fclose(status);
}

static void interfaces(void) {
  FILE *dev = fopen("/proc/net/dev", "re");
  char line[512];
  printf("interfaces=");
  while (dev && fgets(line, sizeof line, dev)) {
    char *colon = strchr(line, ':');
    if (!colon) continue;
    *colon = 0;
    printf("%s ", line + strspn(line, " "));
  }
  printf("\n");
  if (dev) fclose(dev);
}

/* Every mount: point, type and what part of what is mounted there, so that a bind mount shows. */
static void mounts(void) {
  FILE *info = fopen("/proc/self/mountinfo", "re");
  char line[4096], root[1024], point[1024], type[64];
  while (info && fgets(line, sizeof line, info)) {
    char *dash = strstr(line, " - ");
    if (!dash || sscanf(line, "%*s %*s %*s %1023s %1023s", root, point) != 2) continue;
    if (sscanf(dash, " - %63s", type) != 1) continue;
    printf("mount.%s=%s %s\n", point, type, root);
  }
  if (info) fclose(info);
}

static void space(const char *path) {
  struct statvfs fs;
  if (statvfs(path, &fs)) {
    printf("space.%s=%s\n", path, strerrorname_np(errno));
    return;
  }
  printf("space.%s=%llu %llu %s\n", path, (unsigned long long)fs.f_blocks * fs.f_frsize,
         (unsigned long long)fs.f_files, fs.f_flag & ST_NOEXEC ? "noexec" : "exec");
}

static void write_to(const char *path) {
  char name[300];
  int fd = open(path, O_CREAT | O_WRONLY | O_EXCL | O_CLOEXEC, 0600);
  snprintf(name, sizeof name, "write.%s", path);
  tell(name, fd);
  if (fd < 0) return;
  close(fd);
  unlink(path);
}

/* A masked file reads as empty, a masked folder lists as empty. */
static void hidden(const char *path) {
  struct stat entry;
  char byte;
  const char *seen = "readable";
  if (lstat(path, &entry)) {
    seen = "absent";
  } else if (S_ISDIR(entry.st_mode)) {
    DIR *folder = opendir(path);
    int entries = 0;
    if (folder) {
      while (readdir(folder)) entries++;
      closedir(folder);
    }
    if (entries <= 2) seen = "empty";
  } else {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t count = fd < 0 ? -1 : read(fd, &byte, 1);
    if (fd >= 0 && count == 0) seen = "empty";
    if (fd < 0) seen = strerrorname_np(errno);
    if (fd >= 0) close(fd);
  }
  printf("hidden.%s=%s\n", path, seen);
}

static void readonly(const char *path) {
  struct statvfs fs;
  const char *seen = statvfs(path, &fs) ? "absent" : fs.f_flag & ST_RDONLY ? "readonly" : "writable";
  printf("readonly.%s=%s\n", path, seen);
}

static void limit(const char *name, int resource) {
  struct rlimit value;
  getrlimit(resource, &value);
  printf("limit.%s=%llu %llu\n", name, (unsigned long long)value.rlim_cur, (unsigned long long)value.rlim_max);
}

static void a_socket(const char *name, int family, int type, int protocol) {
  int fd = socket(family, type | SOCK_CLOEXEC, protocol);
  tell(name, fd);
  if (fd >= 0) close(fd);
}

static void bind_low_port(void) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(443)};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  tell("bind.443", fd < 0 ? -1 : bind(fd, (struct sockaddr *)&address, sizeof address));
  if (fd >= 0) close(fd);
}

static void sockets(void) {
  a_socket("socket.unix", AF_UNIX, SOCK_STREAM, 0);
  a_socket("socket.inet", AF_INET, SOCK_STREAM, 0);
  a_socket("socket.inet6", AF_INET6, SOCK_STREAM, 0);
  a_socket("socket.route", AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
  a_socket("socket.netfilter", AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER);
  a_socket("socket.alg", AF_ALG, SOCK_SEQPACKET, 0);
  a_socket("socket.vsock", AF_VSOCK, SOCK_STREAM, 0);
  a_socket("socket.packet", AF_PACKET, SOCK_RAW, 0);
  a_socket("socket.rds", AF_RDS, SOCK_SEQPACKET, 0);
  bind_low_port();
}

/* Runs `attempt` in a child, so that what it is allowed to do harms nobody here. */
static void in_child(const char *name, long (*attempt)(void)) {
  fflush(stdout);
  pid_t child = fork();
  if (child == 0) {
    tell(name, attempt());
    _exit(0);
  }
  int status = 0;
  if (child < 0 || waitpid(child, &status, 0) < 0) printf("%s=unknown\n", name);
  else if (WIFSIGNALED(status)) printf("%s=SIG%s\n", name, sigabbrev_np(WTERMSIG(status)));
  fflush(stdout);
}

static long try_unshare(void) { return unshare(CLONE_NEWUSER); }
static long try_unshare_mount(void) { return unshare(CLONE_NEWNS); }
static long try_clone_user(void) {
  long child = syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);
  if (child == 0) _exit(0);
  return child;
}
static long try_clone3(void) { return syscall(SYS_clone3, NULL, 0); }
static long try_io_uring(void) { char parameters[120] = {0}; return syscall(SYS_io_uring_setup, 1, parameters); }
static long try_keyctl(void) { return syscall(SYS_keyctl, 0, -3, 1); }
static long try_add_key(void) { return syscall(SYS_add_key, "user", "probe", "x", 1, -3); }
static long try_request_key(void) { return syscall(SYS_request_key, "user", "probe", NULL, 0); }
static long try_bpf(void) { char attributes[128] = {0}; return syscall(SYS_bpf, 0, attributes, 72); }
static long try_userfaultfd(void) { return syscall(SYS_userfaultfd, 1); }
static long try_perf(void) { char attributes[128] = {0}; return syscall(SYS_perf_event_open, attributes, 0, -1, -1, 0); }
static long try_ptrace(void) { return syscall(SYS_ptrace, 0, 0, 0, 0); }
static long try_vm_read(void) { return syscall(SYS_process_vm_readv, getpid(), NULL, 0, NULL, 0, 0); }
static long try_mount(void) { return syscall(SYS_mount, "none", "/tmp", "tmpfs", 0, NULL); }
static long try_fsopen(void) { return syscall(SYS_fsopen, "tmpfs", 0); }
static long try_pivot(void) { return syscall(SYS_pivot_root, "/", "/"); }
static long try_setns(void) { return syscall(SYS_setns, open("/proc/self/ns/user", O_RDONLY | O_CLOEXEC), 0); }
static long try_handle(void) { return syscall(SYS_open_by_handle_at, -100, NULL, 0); }
static long try_module(void) { return syscall(SYS_init_module, NULL, 0, ""); }
static long try_kexec(void) { return syscall(SYS_kexec_load, 0, 0, NULL, 0); }
static long try_personality(void) { return syscall(SYS_personality, 0x0040000); }
static long try_personality_query(void) { return syscall(SYS_personality, 0xffffffff); }
#ifdef __x86_64__
static long try_32_bit(void) {
  long result;
  __asm__ volatile("int $0x80" : "=a"(result) : "a"(20) : "memory");
  return result;
}
#endif

static void calls(void) {
  static const struct {
    const char *name;
    long (*attempt)(void);
  } attempts[] = {
    {"call.unshare-user", try_unshare},   {"call.unshare-mount", try_unshare_mount},
    {"call.clone-user", try_clone_user},  {"call.clone3", try_clone3},
    {"call.io_uring", try_io_uring},      {"call.keyctl", try_keyctl},
    {"call.add_key", try_add_key},        {"call.request_key", try_request_key},
    {"call.bpf", try_bpf},                {"call.userfaultfd", try_userfaultfd},
    {"call.perf", try_perf},              {"call.ptrace", try_ptrace},
    {"call.process_vm_readv", try_vm_read}, {"call.mount", try_mount},
    {"call.fsopen", try_fsopen},          {"call.pivot_root", try_pivot},
    {"call.setns", try_setns},            {"call.open_by_handle", try_handle},
    {"call.init_module", try_module},     {"call.kexec", try_kexec},
    {"call.personality", try_personality}, {"call.personality-query", try_personality_query},
#ifdef __x86_64__
    {"call.32-bit", try_32_bit},
#endif
  };
  for (size_t i = 0; i < sizeof attempts / sizeof *attempts; i++) in_child(attempts[i].name, attempts[i].attempt);
}

static void guest(void) {
  DIR *pipes = opendir("/proc/1/fd");
  printf("guest.fd=%s\n", pipes ? "ok" : strerrorname_np(errno));
  if (pipes) closedir(pipes);
  tell("guest.stdout", open("/proc/1/fd/1", O_WRONLY | O_CLOEXEC));
  tell("guest.mem", open("/proc/1/mem", O_RDWR | O_CLOEXEC));
  tell("guest.environ", open("/proc/1/environ", O_RDONLY | O_CLOEXEC));
}

static void first_line(const char *name, const char *path) {
  char line[256] = "";
  FILE *file = fopen(path, "re");
  if (file && fgets(line, sizeof line, file)) line[strcspn(line, "\n")] = 0;
  if (file) fclose(file);
  printf("%s=%s\n", name, line);
}

static void cgroup(void) {
  first_line("cgroup1.memory", "/sys/fs/cgroup/memory/memory.limit_in_bytes");
  first_line("cgroup1.memory-and-swap", "/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes");
  first_line("cgroup2.memory", "/sys/fs/cgroup/memory.max");
  first_line("cgroup2.swap", "/sys/fs/cgroup/memory.swap.max");
}

/* How many processes there can be, this one and the guest included. */
static void processes(int bound) {
  pid_t children[4096];
  int count = 0, refused = 0;
  if (bound > 4096) bound = 4096;
  fflush(stdout);
  while (count < bound) {
    pid_t child = fork();
    if (child == 0) {
      pause();
      _exit(0);
    }
    if (child < 0) {
      refused = errno;
      break;
    }
    children[count++] = child;
  }
  for (int i = 0; i < count; i++) kill(children[i], SIGKILL);
  for (int i = 0; i < count; i++) waitpid(children[i], NULL, 0);
  printf("processes=%d %s\n", count + 2, refused ? strerrorname_np(refused) : "unlimited");
}

/* Fills `path` with empty files until it is refused. */
static void inodes(const char *folder, int bound) {
  char path[300];
  int count = 0;
  for (; count < bound; count++) {
    snprintf(path, sizeof path, "%s/probe-%d", folder, count);
    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    if (fd < 0) break;
    close(fd);
  }
  int refused = count < bound ? errno : 0;
  for (int i = 0; i < count; i++) {
    snprintf(path, sizeof path, "%s/probe-%d", folder, i);
    unlink(path);
  }
  printf("inodes.%s=%d %s\n", folder, count, refused ? strerrorname_np(refused) : "unlimited");
}

/* Touches more memory than there is, in a child that is killed for it. */
static size_t hog_bytes;
static long hog(void) {
  char *memory = mmap(NULL, hog_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return -1;
  for (size_t at = 0; at < hog_bytes; at += 4096) memory[at] = 1;
  return 0;
}

static void everything(char *const *hide, char *const *lock) {
  identity();
  interfaces();
  mounts();
  space("/workspace");
  space("/tmp");
  space("/run/sallyport");
  write_to("/probe");
  write_to("/sallyport/probe-write");
  write_to("/etc/probe");
  write_to("/workspace/probe");
  for (; *hide; hide++) hidden(*hide);
  for (; *lock; lock++) readonly(*lock);
  limit("core", RLIMIT_CORE);
  limit("nofile", RLIMIT_NOFILE);
  limit("fsize", RLIMIT_FSIZE);
  limit("memlock", RLIMIT_MEMLOCK);
  limit("msgqueue", RLIMIT_MSGQUEUE);
  sockets();
  calls();
  guest();
  cgroup();
}

/*
 * probe look HIDDEN… -- READONLY…   what can be seen and tried without filling anything
 * probe fill BYTES PROCESSES INODES runs into the limits of memory, processes and inodes
 */
int main(int argc, char **argv) {
  if (argc == 5 && !strcmp(argv[1], "fill")) {
    inodes("/workspace", atoi(argv[4]));
    processes(atoi(argv[3]));
    hog_bytes = strtoull(argv[2], NULL, 10);
    in_child("memory", hog);
    return 0;
  }
  int split = 2;
  while (split < argc && strcmp(argv[split], "--")) split++;
  if (argc < 3 || split == argc || strcmp(argv[1], "look")) return 2;
  argv[split] = NULL;
  everything(argv + 2, argv + split + 1);
  return 0;
}
