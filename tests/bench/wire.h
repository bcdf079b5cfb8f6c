/* A client's connection to the daemon, plain or TLS. Reading never waits, sending does. */
#ifndef BENCH_WIRE_H
#define BENCH_WIRE_H

#include <openssl/ssl.h>
#include <sys/uio.h>

#define WIRE_PATIENCE_MS 30000

struct wire {
    int fd;
    SSL *ssl; /* or NULL */
};

/* `tls_ca` and `token` may be NULL. -1: no connection, and standard error says why. */
int wire_open(struct wire *w, const char *port, const char *tls_ca, const char *token);
/* Sends all of it, and changes `piece`. -1: the connection is of no more use. */
int wire_send(struct wire *w, struct iovec *piece, int count);
/* 0: nothing is there; -1: the connection has ended. */
ssize_t wire_read(struct wire *w, char *bytes, size_t n);
void wire_close(struct wire *w);

#endif
