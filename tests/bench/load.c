/* The two ends of the whole-daemon measurement: a client that keeps payloads in flight, and a UDP sink. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench.h"

#define IN_FLIGHT 16 /* payloads of one connection */
#define CLIENTS_MAX 64

static int connect_to(const char *port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0) {
        perror("connect");
        return -1;
    }
    return fd;
}

static int send_all(int fd, const char *bytes, size_t n)
{
    while (n > 0) {
        ssize_t sent = write(fd, bytes, n);

        if (sent <= 0)
            return -1;
        bytes += sent;
        n -= (size_t)sent;
    }
    return 0;
}

struct client {
    int fd;
    unsigned waiting; /* payloads without a reply */
    char line[512];
    size_t len;
};

/* Take the replies that came, one a line: how many, or -1 if one was no OK or the connection ended. */
static int replies(struct client *c)
{
    char bytes[4096];
    ssize_t n = read(c->fd, bytes, sizeof(bytes));
    int count = 0;

    if (n <= 0)
        return -1;
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

static int send_payload(struct client *c, const char *bytes, size_t len)
{
    char header[64];

    snprintf(header, sizeof(header), "DATA %zu\n", len);
    c->waiting++;
    return send_all(c->fd, header, strlen(header)) != 0 || send_all(c->fd, bytes, len) != 0 ? -1 : 0;
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

static int send_next(struct payloads *p, struct client *c)
{
    unsigned which = p->serial % p->count;
    char *bytes = p->bytes.data + p->at[which];

    make_new(bytes, p->serial++);
    return send_payload(c, bytes, p->at[which + 1] - p->at[which]);
}

/* Send the payloads in turns, `times` in all, spread on `connections`, and wait for every OK. */
int bench_load(const char *port, const char *file, const char *lengths, unsigned times, unsigned connections)
{
    struct client client[CLIENTS_MAX] = {0};
    struct pollfd poller[CLIENTS_MAX];
    struct payloads payloads = {0};
    unsigned sent = 0, answered = 0;

    if (connections == 0 || connections > CLIENTS_MAX || read_payloads(&payloads, file, lengths) != 0)
        return 1;
    for (unsigned i = 0; i < connections; i++) {
        if ((client[i].fd = connect_to(port)) < 0)
            return 1;
        poller[i] = (struct pollfd){.fd = client[i].fd, .events = POLLIN};
    }
    while (answered < times) {
        for (unsigned i = 0; i < connections; i++)
            while (sent < times && client[i].waiting < IN_FLIGHT && ++sent != 0)
                if (send_next(&payloads, &client[i]) != 0)
                    return 1;
        if (poll(poller, connections, 30000) <= 0)
            return 1;
        for (unsigned i = 0; i < connections; i++) {
            int n = poller[i].revents == 0 ? 0 : replies(&client[i]);

            if (n < 0)
                return 1;
            answered += (unsigned)n;
        }
    }
    for (unsigned i = 0; i < connections; i++)
        close(client[i].fd);
    buffer_free(&payloads.bytes);
    return 0;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

/* Send `times` payloads on one connection, `rate` of them a second, and tell how long each took from its last
 * byte to its OK: its records are with the collector's kernel by then. */
int bench_pace(const char *port, const char *file, const char *lengths, unsigned times, double rate)
{
    struct client client = {.fd = connect_to(port)};
    struct payloads payloads = {0};
    double *took = calloc(times + 1, sizeof(*took)), begin;
    unsigned sent = 0, answered = 0;

    if (took == NULL || times == 0 || client.fd < 0 || read_payloads(&payloads, file, lengths) != 0)
        return 1;
    begin = bench_now(CLOCK_MONOTONIC);
    while (answered < times) {
        struct pollfd poller = {.fd = client.fd, .events = POLLIN};
        double now = bench_now(CLOCK_MONOTONIC), wait = begin + sent / rate - now;
        struct timespec timeout = {0, wait > 0 ? (long)(wait * 1e9) : 0};
        int n;

        if (sent < times && wait <= 0) {
            if (send_next(&payloads, &client) != 0)
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
    printf("%.2f %.2f %.2f\n", took[times / 2] * 1e3, took[times - 1 - times / 100] * 1e3,
           took[times - 1] * 1e3);
    free(took);
    close(client.fd);
    buffer_free(&payloads.bytes);
    return 0;
}

/* Takes datagrams and throws them away, until killed. */
int bench_sink(const char *port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
    int fd = socket(AF_INET, SOCK_DGRAM, 0), size = 8 << 20;
    char bytes[65536];

    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)) != 0) {
        perror("bind");
        return 1;
    }
    while (recv(fd, bytes, sizeof(bytes), 0) >= 0)
        ;
    return 0;
}
