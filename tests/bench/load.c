/* The client of the whole-daemon measurement. It is to use little of the machine itself, so it sends many
 * payloads with one call, and is woken for many replies at once. Every reply must be an OK for a payload that
 * was no repeat. */
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench.h"
#include "wire.h"

#define IN_FLIGHT 32               /* payloads of one connection */
#define IN_FLIGHT_BYTES (4u << 20) /* but no more than these bytes */
#define IN_FLIGHT_MIN 4            /* and no fewer payloads */
#define CLIENTS_MAX 64

struct client {
    struct wire wire;
    unsigned waiting; /* payloads without a reply */
    char line[512];
    size_t len;
};

/* The lines in `bytes`: how many, or -1 if one is no OK. */
static int take_lines(struct client *c, const char *bytes, ssize_t n)
{
    int count = 0;

    for (ssize_t i = 0; i < n; i++) {
        if (bytes[i] != '\n') {
            if (c->len < sizeof(c->line) - 1)
                c->line[c->len++] = bytes[i];
            continue;
        }
        c->line[c->len] = '\0';
        c->len = 0;
        if (strncmp(c->line, "OK ", 3) != 0 || strstr(c->line, "duplicate=0") == NULL) {
            fprintf(stderr, "reply: %s\n", c->line);
            return -1;
        }
        count++;
    }
    return count;
}

/* Take the replies that came: how many, or -1 if one was no OK or the connection ended. */
static int replies(struct client *c)
{
    char bytes[4096];
    int count = 0, lines;
    ssize_t n;

    do {
        n = wire_read(&c->wire, bytes, sizeof(bytes));
        if (n < 0) {
            fputs("the daemon has ended the connection\n", stderr);
            return -1;
        }
        lines = take_lines(c, bytes, n);
        if (lines < 0)
            return -1;
        count += lines;
    } while (n == (ssize_t)sizeof(bytes) || (n > 0 && c->wire.ssl != NULL));
    c->waiting -= (unsigned)count;
    return count;
}

static int read_file(const char *file, struct buffer *ret)
{
    FILE *f = fopen(file, "rb");
    char bytes[65536];
    size_t n;

    if (f == NULL)
        return -1;
    while ((n = fread(bytes, 1, sizeof(bytes), f)) > 0)
        if (buffer_append(ret, bytes, n, SIZE_MAX / 2) != BUFFER_OK)
            break;
    fclose(f);
    return 0;
}

/* gzip's MTIME, RFC 1952 2.3: says nothing about the data, and makes a new payload of it for whoever looks
 * for repeats. */
static void make_new(char *gzip, uint32_t serial)
{
    memcpy(gzip + 4, &serial, sizeof(serial));
}

struct payloads {
    struct buffer bytes;
    size_t at[BENCH_PAYLOADS + 1]; /* where each begins; behind the last one, the end */
    unsigned count;
    uint32_t serial;
};

static int read_payloads(struct payloads *p, const char *file, const char *lengths)
{
    FILE *f = fopen(lengths, "r");
    size_t len;

    if (f == NULL || read_file(file, &p->bytes) != 0)
        return -1;
    while (p->count < BENCH_PAYLOADS && fscanf(f, "%zu", &len) == 1) {
        p->at[p->count + 1] = p->at[p->count] + len;
        p->count++;
    }
    fclose(f);
    /* Whoever ran before has begun with a smaller one, and used fewer than a million a second. */
    p->serial = (uint32_t)(uint64_t)(bench_now(CLOCK_MONOTONIC) * 1e6);
    return p->count == 0 || p->at[p->count] != p->bytes.len ? -1 : 0;
}

/* How many payloads a connection has in flight. */
static unsigned depth_of(const struct payloads *p)
{
    size_t depth = IN_FLIGHT_BYTES / (p->bytes.len / p->count + 1);

    return depth < IN_FLIGHT_MIN ? IN_FLIGHT_MIN : depth < IN_FLIGHT ? (unsigned)depth : IN_FLIGHT;
}

/* The next `count` payloads in one go; none of them twice. */
static int send_next(struct payloads *p, struct client *c, unsigned count)
{
    struct iovec piece[2 * BENCH_PAYLOADS];
    char header[BENCH_PAYLOADS][32];

    for (unsigned i = 0; i < count; i++) {
        unsigned which = p->serial % p->count;
        size_t len = p->at[which + 1] - p->at[which];
        char *bytes = p->bytes.data + p->at[which];

        make_new(bytes, p->serial++);
        piece[2 * i] = (struct iovec){header[i], (size_t)sprintf(header[i], "DATA %zu\n", len)};
        piece[2 * i + 1] = (struct iovec){bytes, len};
    }
    c->waiting += count;
    return wire_send(&c->wire, piece, 2 * (int)count);
}

/* Be woken for this many bytes of replies, not for each. Of no use with TLS, which has records in between. */
static void set_wake(struct client *c, int bytes)
{
    if (c->wire.ssl == NULL)
        setsockopt(c->wire.fd, SOL_SOCKET, SO_RCVLOWAT, &bytes, sizeof(bytes));
}

#define REPLY_BYTES 40 /* no OK is shorter */

struct crowd {
    struct client client[CLIENTS_MAX];
    struct pollfd poller[CLIENTS_MAX];
    unsigned connections, depth;
    unsigned left; /* to be sent */
};

static int refill(struct crowd *w, struct client *c, struct payloads *p)
{
    unsigned n = w->depth - c->waiting;

    if (c->waiting > w->depth / 2 || w->left == 0)
        return 0;
    n = n < p->count ? n : p->count;
    n = n < w->left ? n : w->left;
    w->left -= n;
    if (w->left == 0)
        for (unsigned i = 0; i < w->connections; i++)
            set_wake(&w->client[i], 1);
    return send_next(p, c, n);
}

static int run_load(struct crowd *w, struct payloads *p, unsigned times)
{
    unsigned answered = 0;

    w->left = times;
    for (unsigned i = 0; i < w->connections; i++)
        set_wake(&w->client[i], (int)w->depth / 4 * REPLY_BYTES + 1);
    while (answered < times) {
        for (unsigned i = 0; i < w->connections; i++)
            if (refill(w, &w->client[i], p) != 0)
                return -1;
        if (poll(w->poller, w->connections, WIRE_PATIENCE_MS) <= 0) {
            fputs("no reply\n", stderr);
            return -1;
        }
        for (unsigned i = 0; i < w->connections; i++) {
            int n = w->poller[i].revents == 0 ? 0 : replies(&w->client[i]);

            if (n < 0)
                return -1;
            answered += (unsigned)n;
        }
    }
    return 0;
}

static int open_crowd(struct crowd *w, const struct load *load, const struct payloads *p)
{
    w->connections = load->connections;
    w->depth = depth_of(p);
    for (unsigned i = 0; i < w->connections; i++) {
        if (wire_open(&w->client[i].wire, load->port, load->tls_ca, load->token) != 0)
            return -1;
        w->poller[i] = (struct pollfd){.fd = w->client[i].wire.fd, .events = POLLIN};
    }
    return 0;
}

struct usage {
    double seconds, client, daemon, io, sink, machine;
};

/* What all processes have used, of all CPUs; what the machine's host took away is counted too. */
static double machine_ns(void)
{
    unsigned long long user = 0, nice = 0, system = 0, idle, wait, irq = 0, softirq = 0, steal = 0;
    FILE *f = fopen("/proc/stat", "r");

    if (f == NULL)
        return 0;
    if (fscanf(f, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &user, &nice, &system, &idle, &wait, &irq,
               &softirq, &steal) != 8)
        user = 0;
    fclose(f);
    return (double)(user + nice + system + irq + softirq + steal) * 1e9 / (double)sysconf(_SC_CLK_TCK);
}

static struct usage usage_now(int daemon, int sink)
{
    return (struct usage){.seconds = bench_now(CLOCK_MONOTONIC),
                          .client = bench_now(CLOCK_PROCESS_CPUTIME_ID) * 1e9,
                          .daemon = (double)bench_cpu_ns(daemon),
                          .io = (double)bench_main_thread_ns(daemon),
                          .sink = (double)bench_cpu_ns(sink),
                          .machine = machine_ns()};
}

int bench_load(const struct load *load, unsigned times, int daemon, int sink)
{
    static struct crowd crowd;
    struct payloads payloads = {0};
    struct usage begin, end;

    if (load->connections == 0 || load->connections > CLIENTS_MAX ||
        read_payloads(&payloads, load->gzip, load->lengths) != 0 || open_crowd(&crowd, load, &payloads) != 0)
        return 1;
    /* A daemon at rest has given its memory back: it is to have it again before anything is measured. */
    if (!load->cold && run_load(&crowd, &payloads, crowd.depth * crowd.connections) != 0)
        return 1;
    begin = usage_now(daemon, sink);
    if (run_load(&crowd, &payloads, times) != 0)
        return 1;
    end = usage_now(daemon, sink);
    printf("%.6f %.0f %.0f %.0f %.0f %.0f\n", end.seconds - begin.seconds, end.client - begin.client,
           end.daemon - begin.daemon, end.io - begin.io, end.sink - begin.sink, end.machine - begin.machine);
    for (unsigned i = 0; i < crowd.connections; i++)
        wire_close(&crowd.client[i].wire);
    buffer_free(&payloads.bytes);
    return 0;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

int bench_pace(const struct load *load, unsigned times, double rate)
{
    struct client client = {0};
    struct payloads payloads = {0};
    double *took = calloc(times + 1, sizeof(*took)), begin;
    unsigned sent = 0, answered = 0;

    if (took == NULL || times == 0 || rate <= 0 || read_payloads(&payloads, load->gzip, load->lengths) != 0 ||
        wire_open(&client.wire, load->port, load->tls_ca, load->token) != 0)
        return 1;
    begin = bench_now(CLOCK_MONOTONIC);
    while (answered < times) {
        struct pollfd poller = {.fd = client.wire.fd, .events = POLLIN};
        double now = bench_now(CLOCK_MONOTONIC), wait = begin + sent / rate - now;
        struct timespec timeout = {(time_t)wait, (long)((wait - (double)(time_t)wait) * 1e9)};
        int n;

        if (sent < times && wait <= 0) {
            if (send_next(&payloads, &client, 1) != 0)
                return 1;
            took[sent++] = -bench_now(CLOCK_MONOTONIC);
            continue;
        }
        if (ppoll(&poller, 1, sent < times ? &timeout : NULL, NULL) <= 0)
            continue;
        n = replies(&client);
        if (n < 0)
            return 1;
        for (now = bench_now(CLOCK_MONOTONIC); n > 0; n--)
            took[answered++] += now;
    }
    qsort(took, times, sizeof(*took), by_size);
    printf("%.3f %.3f %.3f\n", took[times / 2] * 1e3, took[times - 1 - times / 100] * 1e3,
           took[times - 1] * 1e3);
    free(took);
    wire_close(&client.wire);
    buffer_free(&payloads.bytes);
    return 0;
}
