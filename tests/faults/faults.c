/* The daemon with faults: allocations that fail, and reads and writes that come in pieces, are interrupted or
 * find no room. Linked into vpcflowd-faults with the linker's --wrap; libevent and jansson allocate through
 * it too. glib does not (it ends the process when there is no memory), nor does OpenSSL.
 *
 *     VPCFLOWD_FAULTS=alloc=200,io=3,seed=7   one allocation in 200 fails, one read or write in 3 is cut
 * short VPCFLOWD_FAULTS=only=57                 allocation 57 fails and no other
 *
 * Nothing fails before the first client has sent something, so that the start is as ever. At the end, the
 * number of faults stands on standard error.
 */
#include <errno.h>
#include <event2/event.h>
#include <jansson.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
char *__real_strdup(const char *s);
char *__real_strndup(const char *s, size_t n);
ssize_t __real_readv(int fd, const struct iovec *piece, int count);
ssize_t __real_writev(int fd, const struct iovec *piece, int count);
ssize_t __real_write(int fd, const void *bytes, size_t n);
ssize_t __real_pread(int fd, void *bytes, size_t n, off_t offset);
int __real_sendmmsg(int fd, struct mmsghdr *msg, unsigned count, int flags);
int __real_fdatasync(int fd);

void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
char *__wrap_strdup(const char *s);
char *__wrap_strndup(const char *s, size_t n);
ssize_t __wrap_readv(int fd, const struct iovec *piece, int count);
ssize_t __wrap_writev(int fd, const struct iovec *piece, int count);
ssize_t __wrap_write(int fd, const void *bytes, size_t n);
ssize_t __wrap_pread(int fd, void *bytes, size_t n, off_t offset);
int __wrap_sendmmsg(int fd, struct mmsghdr *msg, unsigned count, int flags);
int __wrap_fdatasync(int fd);

static unsigned long alloc_one_in, io_one_in, only, seed;
static atomic_bool armed;
static atomic_ulong allocations, calls, failed, shortened;

/* A number that depends on the seed and the count of calls alone (splitmix64). */
static unsigned long chance(atomic_ulong *counter)
{
    unsigned long z = seed + (atomic_fetch_add(counter, 1) + 1) * 0x9e3779b97f4a7c15ul;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ul;
    z = (z ^ z >> 27) * 0x94d049bb133111ebul;
    return z ^ z >> 31;
}

static bool refuse_memory(void)
{
    unsigned long n;
    bool refuse;

    if (!atomic_load(&armed))
        return false;
    n = chance(&allocations);
    refuse = (only != 0 && atomic_load(&allocations) == only) || (alloc_one_in != 0 && n % alloc_one_in == 0);
    if (refuse) {
        atomic_fetch_add(&failed, 1);
        errno = ENOMEM;
    }
    return refuse;
}

void *__wrap_malloc(size_t n)
{
    return refuse_memory() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return refuse_memory() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n)
{
    return refuse_memory() ? NULL : __real_realloc(p, n);
}

char *__wrap_strdup(const char *s)
{
    return refuse_memory() ? NULL : __real_strdup(s);
}

char *__wrap_strndup(const char *s, size_t n)
{
    return refuse_memory() ? NULL : __real_strndup(s, n);
}

static bool is_file(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

/* 0: as ever; an errno: fail so; -1: only a part. Standard error stays readable. */
static int disturb(int fd)
{
    unsigned long n;

    if (!atomic_load(&armed) || io_one_in == 0 || fd == STDERR_FILENO)
        return 0;
    n = chance(&calls);
    if (n % io_one_in != 0)
        return 0;
    atomic_fetch_add(&shortened, 1);
    switch (n / io_one_in % 8) {
    case 0:
        return EINTR;
    case 1:
        return is_file(fd) ? ENOSPC : EAGAIN;
    default:
        return -1;
    }
}

static ssize_t fail(int error)
{
    errno = error;
    return -1;
}

/* A part of the pieces: fewer of them, or one cut short. */
static ssize_t in_part(int fd, const struct iovec *piece, int count,
                       ssize_t (*real)(int, const struct iovec *, int))
{
    struct iovec part = piece[0];

    for (int i = 0; part.iov_len == 0 && i < count; i++)
        part = piece[i];
    if (part.iov_len > 1)
        part.iov_len = 1 + chance(&calls) % (part.iov_len - 1);
    return real(fd, &part, 1);
}

ssize_t __wrap_readv(int fd, const struct iovec *piece, int count)
{
    int error;

    atomic_store(&armed, true);
    error = disturb(fd);
    return error == 0  ? __real_readv(fd, piece, count)
           : error < 0 ? in_part(fd, piece, count, __real_readv)
                       : fail(error);
}

ssize_t __wrap_writev(int fd, const struct iovec *piece, int count)
{
    int error = disturb(fd);

    return error == 0  ? __real_writev(fd, piece, count)
           : error < 0 ? in_part(fd, piece, count, __real_writev)
                       : fail(error);
}

ssize_t __wrap_write(int fd, const void *bytes, size_t n)
{
    int error = disturb(fd);

    return error == 0  ? __real_write(fd, bytes, n)
           : error < 0 ? __real_write(fd, bytes, n > 1 ? 1 + chance(&calls) % (n - 1) : n)
                       : fail(error);
}

ssize_t __wrap_pread(int fd, void *bytes, size_t n, off_t offset)
{
    int error = disturb(fd);

    return error == 0  ? __real_pread(fd, bytes, n, offset)
           : error < 0 ? __real_pread(fd, bytes, n > 1 ? 1 + chance(&calls) % (n - 1) : n, offset)
                       : fail(EINTR);
}

int __wrap_sendmmsg(int fd, struct mmsghdr *msg, unsigned count, int flags)
{
    int error = disturb(fd);

    return error == 0 ? __real_sendmmsg(fd, msg, count, flags)
           : error < 0
               ? __real_sendmmsg(fd, msg, count > 1 ? 1 + (unsigned)(chance(&calls) % (count - 1)) : 1, flags)
               : (int)fail(error == ENOSPC ? ENOBUFS : error);
}

int __wrap_fdatasync(int fd)
{
    int error = disturb(fd);

    return error == 0 || error == -1 ? __real_fdatasync(fd) : (int)fail(error == EAGAIN ? EIO : error);
}

static unsigned long setting(const char *text, const char *name)
{
    const char *at = strstr(text, name);

    return at == NULL ? 0 : strtoul(at + strlen(name), NULL, 10);
}

__attribute__((constructor)) static void begin(void)
{
    const char *text = getenv("VPCFLOWD_FAULTS");

    if (text == NULL)
        return;
    alloc_one_in = setting(text, "alloc=");
    io_one_in = setting(text, "io=");
    only = setting(text, "only=");
    seed = setting(text, "seed=");
    event_set_mem_functions(__wrap_malloc, __wrap_realloc, free);
    json_set_alloc_funcs(__wrap_malloc, free);
}

__attribute__((destructor)) static void end(void)
{
    if (getenv("VPCFLOWD_FAULTS") != NULL)
        fprintf(stderr, "faults: %lu of %lu allocations refused, %lu of %lu reads and writes disturbed\n",
                atomic_load(&failed), atomic_load(&allocations), atomic_load(&shortened),
                atomic_load(&calls));
}
