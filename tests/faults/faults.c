/* The daemon with faults: allocations that fail, and system calls that do a part only, are interrupted, find
 * no room, or fail. Linked into vpcflowd-faults with the linker's --wrap (the list stands in CMakeLists.txt);
 * libevent and jansson allocate through it too. glib does not: it ends the process when there is no memory.
 * OpenSSL reads and writes its sockets itself, and allocates through it with `ssl=1` only.
 *
 *     VPCFLOWD_FAULTS=alloc=200,io=3,seed=7   one allocation in 200 fails, one call in 3 is disturbed
 *     VPCFLOWD_FAULTS=only=57                 allocation 57 fails and no other
 *     VPCFLOWD_FAULTS=io=3,early=1            from the start on
 *
 * Without `early`, nothing fails before the first client has come, so that the start is as ever. At the end,
 * the number of faults stands on standard error.
 */
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <jansson.h>
#include <openssl/crypto.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

struct tls;
struct tls_context;

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
ssize_t __real_read(int fd, void *bytes, size_t n);
ssize_t __real_recv(int fd, void *bytes, size_t n, int flags);
ssize_t __real_recvmsg(int fd, struct msghdr *msg, int flags);
ssize_t __real_send(int fd, const void *bytes, size_t n, int flags);
ssize_t __real_sendmsg(int fd, const struct msghdr *msg, int flags);
ssize_t __real_pwrite(int fd, const void *bytes, size_t n, off_t offset);
int __real_fsync(int fd);
int __real_ftruncate(int fd, off_t size);
int __real_socket(int domain, int type, int protocol);
int __real_connect(int fd, const struct sockaddr *to, socklen_t len);
int __real_open(const char *path, int flags, ...);
int __real_openat(int directory, const char *path, int flags, ...);
int __real_mkdir(const char *path, mode_t mode);
int __real_mkdirat(int directory, const char *path, mode_t mode);
int __real_renameat(int directory, const char *path, int to, const char *name);
int __real_unlinkat(int directory, const char *path, int flags);
struct tls *__real_tls_accept(struct tls_context *context, int fd);

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
ssize_t __wrap_read(int fd, void *bytes, size_t n);
ssize_t __wrap_recv(int fd, void *bytes, size_t n, int flags);
ssize_t __wrap_recvmsg(int fd, struct msghdr *msg, int flags);
ssize_t __wrap_send(int fd, const void *bytes, size_t n, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *msg, int flags);
ssize_t __wrap_pwrite(int fd, const void *bytes, size_t n, off_t offset);
int __wrap_fsync(int fd);
int __wrap_ftruncate(int fd, off_t size);
int __wrap_socket(int domain, int type, int protocol);
int __wrap_connect(int fd, const struct sockaddr *to, socklen_t len);
int __wrap_open(const char *path, int flags, ...);
int __wrap_openat(int directory, const char *path, int flags, ...);
int __wrap_mkdir(const char *path, mode_t mode);
int __wrap_mkdirat(int directory, const char *path, mode_t mode);
int __wrap_renameat(int directory, const char *path, int to, const char *name);
int __wrap_unlinkat(int directory, const char *path, int flags);
struct tls *__wrap_tls_accept(struct tls_context *context, int fd);

static unsigned long alloc_one_in, io_one_in, only, seed;
static atomic_bool armed;
static atomic_ulong allocations, calls, failed, disturbed;

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

/* ---- system calls ---- */

enum fault { FAULT_NONE, FAULT_PART, FAULT_INTERRUPTED, FAULT_LATER, FAULT_HARD };

/* What befalls this call. Standard error stays readable. */
static enum fault befall(int fd)
{
    unsigned long n;

    if (!atomic_load(&armed) || io_one_in == 0 || fd == STDERR_FILENO)
        return FAULT_NONE;
    n = chance(&calls);
    if (n % io_one_in != 0)
        return FAULT_NONE;
    atomic_fetch_add(&disturbed, 1);
    n = n / io_one_in % 64;
    return n < 2 ? FAULT_HARD : n < 10 ? FAULT_INTERRUPTED : n < 18 ? FAULT_LATER : FAULT_PART;
}

static mode_t kind_of(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 ? st.st_mode & S_IFMT : 0;
}

/* 0: as ever; an errno: fail so; -1: only a part. Files do not block, and a timer or an eventfd has no parts.
 */
static int disturb(int fd, bool writes)
{
    enum fault fault = befall(fd);
    mode_t kind = fault == FAULT_NONE ? 0 : kind_of(fd);

    switch (fault) {
    case FAULT_NONE:
        break;
    case FAULT_PART:
        return kind == S_IFREG || kind == S_IFSOCK ? -1 : 0;
    case FAULT_INTERRUPTED:
        return EINTR;
    case FAULT_LATER:
        return kind != S_IFREG ? EAGAIN : writes ? ENOSPC : EINTR;
    case FAULT_HARD:
        return kind == S_IFREG ? EIO : kind == S_IFSOCK ? ECONNRESET : EAGAIN;
    }
    return 0;
}

/* Then it is: the peer gets nothing more. */
static void reset(int fd, int error)
{
    if (error == ECONNRESET)
        (void)shutdown(fd, SHUT_RDWR);
}

static ssize_t fail(int error)
{
    errno = error;
    return -1;
}

static size_t part_of(size_t n)
{
    return n > 1 ? 1 + chance(&calls) % (n - 1) : n;
}

/* A part of the pieces: one of them, cut short. */
static struct iovec piece_of(const struct iovec *piece, size_t count)
{
    struct iovec part = piece[0];

    for (size_t i = 0; part.iov_len == 0 && i < count; i++)
        part = piece[i];
    part.iov_len = part_of(part.iov_len);
    return part;
}

ssize_t __wrap_readv(int fd, const struct iovec *piece, int count)
{
    struct iovec part;
    int error;

    atomic_store(&armed, true);
    error = disturb(fd, false);
    reset(fd, error);
    if (error > 0)
        return fail(error);
    if (error == 0)
        return __real_readv(fd, piece, count);
    part = piece_of(piece, (size_t)count);
    return __real_readv(fd, &part, 1);
}

ssize_t __wrap_writev(int fd, const struct iovec *piece, int count)
{
    int error = disturb(fd, true);
    struct iovec part;

    if (error > 0)
        return fail(error);
    if (error == 0)
        return __real_writev(fd, piece, count);
    part = piece_of(piece, (size_t)count);
    return __real_writev(fd, &part, 1);
}

ssize_t __wrap_write(int fd, const void *bytes, size_t n)
{
    int error = disturb(fd, true);

    return error > 0 ? fail(error) : __real_write(fd, bytes, error == 0 ? n : part_of(n));
}

ssize_t __wrap_pwrite(int fd, const void *bytes, size_t n, off_t offset)
{
    int error = disturb(fd, true);

    return error > 0 ? fail(error) : __real_pwrite(fd, bytes, error == 0 ? n : part_of(n), offset);
}

ssize_t __wrap_read(int fd, void *bytes, size_t n)
{
    int error = disturb(fd, false);

    return error > 0 ? fail(error) : __real_read(fd, bytes, error == 0 ? n : part_of(n));
}

ssize_t __wrap_pread(int fd, void *bytes, size_t n, off_t offset)
{
    int error = disturb(fd, false);

    return error > 0 ? fail(error) : __real_pread(fd, bytes, error == 0 ? n : part_of(n), offset);
}

ssize_t __wrap_recv(int fd, void *bytes, size_t n, int flags)
{
    int error = disturb(fd, false);

    return error > 0 ? fail(error) : __real_recv(fd, bytes, error == 0 ? n : part_of(n), flags);
}

ssize_t __wrap_send(int fd, const void *bytes, size_t n, int flags)
{
    int error = disturb(fd, true);

    return error > 0 ? fail(error) : __real_send(fd, bytes, error == 0 ? n : part_of(n), flags);
}

/* Of a socket's queue of errors only: it has nothing in parts. */
ssize_t __wrap_recvmsg(int fd, struct msghdr *msg, int flags)
{
    int error = disturb(fd, false);

    return error > 0 ? fail(error == ECONNRESET ? ENOMEM : error) : __real_recvmsg(fd, msg, flags);
}

ssize_t __wrap_sendmsg(int fd, const struct msghdr *msg, int flags)
{
    int error = disturb(fd, true);
    struct msghdr less = *msg;
    struct iovec part;

    if (error > 0)
        return fail(error);
    if (error == 0)
        return __real_sendmsg(fd, msg, flags);
    part = piece_of(msg->msg_iov, msg->msg_iovlen);
    less.msg_iov = &part;
    less.msg_iovlen = 1;
    return __real_sendmsg(fd, &less, flags);
}

/* Datagrams: fewer of them, none of them in part. */
int __wrap_sendmmsg(int fd, struct mmsghdr *msg, unsigned count, int flags)
{
    int error = disturb(fd, true);

    if (error > 0)
        return (int)fail(error == ECONNRESET ? ENOBUFS : error);
    return __real_sendmmsg(fd, msg, error == 0 ? count : (unsigned)part_of(count), flags);
}

int __wrap_fdatasync(int fd)
{
    int error = disturb(fd, true);

    return error > 0 ? (int)fail(error) : __real_fdatasync(fd);
}

/* ---- system calls that have no parts ---- */

/* `error` in half of the cases, EIO in the others. */
static bool refuse(int error)
{
    enum fault fault = befall(-1);

    if (fault == FAULT_NONE || fault == FAULT_PART)
        return false;
    errno = fault == FAULT_LATER ? error : EIO;
    return true;
}

int __wrap_fsync(int fd)
{
    return refuse(ENOSPC) ? -1 : __real_fsync(fd);
}

int __wrap_ftruncate(int fd, off_t size)
{
    return refuse(EINTR) ? -1 : __real_ftruncate(fd, size);
}

int __wrap_socket(int domain, int type, int protocol)
{
    return refuse(EMFILE) ? -1 : __real_socket(domain, type, protocol);
}

/* When it is interrupted, it goes on by itself. */
int __wrap_connect(int fd, const struct sockaddr *to, socklen_t len)
{
    enum fault fault = befall(-1);
    int rc;

    if (fault == FAULT_LATER || fault == FAULT_HARD)
        return (int)fail(fault == FAULT_HARD ? EADDRNOTAVAIL : ECONNREFUSED);
    rc = __real_connect(fd, to, len);
    return fault == FAULT_INTERRUPTED && (rc == 0 || errno == EINPROGRESS) ? (int)fail(EINTR) : rc;
}

static mode_t mode_of(int flags, va_list more)
{
    return (flags & O_CREAT) != 0 ? (mode_t)va_arg(more, int) : 0;
}

int __wrap_open(const char *path, int flags, ...)
{
    va_list more;
    mode_t mode;

    va_start(more, flags);
    mode = mode_of(flags, more);
    va_end(more);
    return refuse((flags & O_CREAT) != 0 ? ENOSPC : EMFILE) ? -1 : __real_open(path, flags, mode);
}

int __wrap_openat(int directory, const char *path, int flags, ...)
{
    va_list more;
    mode_t mode;

    va_start(more, flags);
    mode = mode_of(flags, more);
    va_end(more);
    return refuse((flags & O_CREAT) != 0 ? ENOSPC : EMFILE) ? -1
                                                            : __real_openat(directory, path, flags, mode);
}

int __wrap_mkdir(const char *path, mode_t mode)
{
    return refuse(ENOSPC) ? -1 : __real_mkdir(path, mode);
}

int __wrap_mkdirat(int directory, const char *path, mode_t mode)
{
    return refuse(ENOSPC) ? -1 : __real_mkdirat(directory, path, mode);
}

int __wrap_renameat(int directory, const char *path, int to, const char *name)
{
    return refuse(ENOSPC) ? -1 : __real_renameat(directory, path, to, name);
}

int __wrap_unlinkat(int directory, const char *path, int flags)
{
    return refuse(EBUSY) ? -1 : __real_unlinkat(directory, path, flags);
}

/* No fault of its own: with TLS, it is here that the first client has come. */
struct tls *__wrap_tls_accept(struct tls_context *context, int fd)
{
    atomic_store(&armed, true);
    return __real_tls_accept(context, fd);
}

/* ---- the beginning and the end ---- */

static void *ssl_malloc(size_t n, const char *file, int line)
{
    (void)file;
    (void)line;
    return __wrap_malloc(n);
}

static void *ssl_realloc(void *p, size_t n, const char *file, int line)
{
    (void)file;
    (void)line;
    return __wrap_realloc(p, n);
}

static void ssl_free(void *p, const char *file, int line)
{
    (void)file;
    (void)line;
    free(p);
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
    if (setting(text, "ssl=") != 0 && !CRYPTO_set_mem_functions(ssl_malloc, ssl_realloc, ssl_free))
        abort(); /* too late: something was allocated */
    atomic_store(&armed, setting(text, "early=") != 0);
}

__attribute__((destructor)) static void end(void)
{
    if (getenv("VPCFLOWD_FAULTS") != NULL)
        fprintf(stderr, "faults: %lu of %lu allocations refused, %lu of %lu calls disturbed\n",
                atomic_load(&failed), atomic_load(&allocations), atomic_load(&disturbed),
                atomic_load(&calls));
}
