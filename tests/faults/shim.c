/* Fails, kills at or counts the Nth call of a libc function, over all processes of a crawl: LD_PRELOAD of tests.

   SHIM_CALL   which function; SHIM_NTH which call of it (0: only count)
   SHIM_ERRNO  the error it then gives; 0: SIGKILL instead, in the middle of the write where it is one
   SHIM_ON     1: that call and every later one; N: that one and those up to N later
   SHIM_PATH   only files below this folder count (connect, fork, pthread_create and memory have none)
   Memory (malloc, calloc, realloc, mmap of nothing) counts in each process from its first connection to the internet on:
   an interpreter that gets none while it starts has nothing to be tested.
   SHIM_FILE   64 shared counters, one for each function; the 63rd is when it fired, in nanoseconds of CLOCK_MONOTONIC */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { WRITE, PWRITE, FSYNC, FDATASYNC, FTRUNCATE, RENAME, OPEN, MKDIR, UNLINK, CONNECT, FORK, THREAD, MEMORY, CALLS };
static const char *NAMES[] = {"write", "pwrite", "fsync", "fdatasync", "ftruncate", "rename",
                              "open", "mkdir", "unlink", "connect", "fork", "thread", "memory"};
enum { FIRED = 63 };

static volatile uint64_t *counters;
static int wanted = -1, error_number, on, fetching;
static uint64_t nth;
static const char *below;

__attribute__((constructor)) static void begin(void) {
    const char *file = getenv("SHIM_FILE"), *call = getenv("SHIM_CALL");
    below = getenv("SHIM_PATH");
    if (!file || !below || !call) return;
    int fd = (int)syscall(SYS_openat, AT_FDCWD, file, O_RDWR | O_CLOEXEC, 0);
    if (fd < 0) return;
    void *there = mmap(NULL, 512, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    syscall(SYS_close, fd);
    if (there == MAP_FAILED) return;
    for (int which = 0; which < CALLS; which++)
        if (!strcmp(call, NAMES[which])) wanted = which;
    nth = strtoull(getenv("SHIM_NTH"), NULL, 10);
    error_number = atoi(getenv("SHIM_ERRNO"));
    on = atoi(getenv("SHIM_ON"));
    counters = there;
}

static void fire(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (!counters[FIRED]) counters[FIRED] = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Counts a call; 1 where it is the one to fail. */
static int fails(int which) {
    if (!counters) return 0;
    uint64_t count = __sync_add_and_fetch(&counters[which], 1);
    if (which != wanted || !nth || count < nth) return 0;
    if (on != 1 && count > nth + (uint64_t)on) return 0;
    fire();
    if (!error_number && which != WRITE && which != PWRITE) kill(getpid(), SIGKILL);
    errno = error_number;
    return 1;
}

static int ours(const char *path) { return counters && path && !strncmp(path, below, strlen(below)); }

static int ours_fd(int fd) {
    char link[64], path[4096];
    if (!counters) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return ours(path);
}

#define REAL(name) static __typeof__(name) *real; if (!real) real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

ssize_t write(int fd, const void *bytes, size_t count) {
    REAL(write);
    if (ours_fd(fd) && fails(WRITE)) {
        if (error_number) return -1;
        real(fd, bytes, count / 2);
        kill(getpid(), SIGKILL);
    }
    return real(fd, bytes, count);
}

static ssize_t write_at(__typeof__(pwrite) *real, int fd, const void *bytes, size_t count, off_t at) {
    if (ours_fd(fd) && fails(PWRITE)) {
        if (error_number) return -1;
        real(fd, bytes, count / 2, at);
        kill(getpid(), SIGKILL);
    }
    return real(fd, bytes, count, at);
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t at) {
    REAL(pwrite);
    return write_at(real, fd, bytes, count, at);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t at) {
    REAL(pwrite);
    return write_at(real, fd, bytes, count, at);
}

int fsync(int fd) { REAL(fsync); return ours_fd(fd) && fails(FSYNC) ? -1 : real(fd); }
int fdatasync(int fd) { REAL(fdatasync); return ours_fd(fd) && fails(FDATASYNC) ? -1 : real(fd); }
int ftruncate(int fd, off_t size) { REAL(ftruncate); return ours_fd(fd) && fails(FTRUNCATE) ? -1 : real(fd, size); }
int ftruncate64(int fd, off64_t size) { REAL(ftruncate); return ours_fd(fd) && fails(FTRUNCATE) ? -1 : real(fd, size); }
int rename(const char *from, const char *to) { REAL(rename); return ours(to) && fails(RENAME) ? -1 : real(from, to); }
int mkdir(const char *path, mode_t mode) { REAL(mkdir); return ours(path) && fails(MKDIR) ? -1 : real(path, mode); }
int unlink(const char *path) { REAL(unlink); return ours(path) && fails(UNLINK) ? -1 : real(path); }
pid_t fork(void) { REAL(fork); return fails(FORK) ? -1 : real(); }

static int open_any(const char *path, int flags, va_list more) {
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0;
    if (ours(path) && fails(OPEN)) return -1;
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

int open(const char *path, int flags, ...) {
    va_list more;
    va_start(more, flags);
    int fd = open_any(path, flags, more);
    va_end(more);
    return fd;
}

int open64(const char *path, int flags, ...) {
    va_list more;
    va_start(more, flags);
    int fd = open_any(path, flags | O_LARGEFILE, more);
    va_end(more);
    return fd;
}

int connect(int fd, const struct sockaddr *to, socklen_t length) {
    REAL(connect);
    int internet = to && (to->sa_family == AF_INET || to->sa_family == AF_INET6);
    if (internet && wanted == MEMORY) fetching = 1;
    return internet && fails(CONNECT) ? -1 : real(fd, to, length);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *how, void *(*run)(void *), void *with) {
    REAL(pthread_create);
    return fails(THREAD) ? error_number : real(thread, how, run, with);
}

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);

static int no_memory(void) { return fetching && fails(MEMORY); }

void *malloc(size_t size) { return no_memory() ? NULL : __libc_malloc(size); }
void *calloc(size_t count, size_t size) { return no_memory() ? NULL : __libc_calloc(count, size); }
void *realloc(void *old, size_t size) { return size && no_memory() ? NULL : __libc_realloc(old, size); }

void *mmap(void *at, size_t size, int access, int flags, int fd, off_t offset) {
    if ((flags & MAP_ANONYMOUS) && no_memory()) return MAP_FAILED;
    return (void *)syscall(SYS_mmap, at, size, access, flags, fd, offset);
}
