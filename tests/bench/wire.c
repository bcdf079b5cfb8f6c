/* A client's connection, plain or TLS. */
#include "wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define TLS_PIECE 16384 /* one record */

static SSL *start_tls(int fd, const char *ca)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL *ssl;

    if (context == NULL || SSL_CTX_load_verify_locations(context, ca, NULL) != 1)
        return NULL;
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    ssl = SSL_new(context);
    SSL_CTX_free(context); /* the session keeps it */
    SSL_set_fd(ssl, fd);
    return SSL_connect(ssl) == 1 ? ssl : NULL;
}

int wire_open(struct wire *w, const char *port, const char *tls_ca, const char *token)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
    char line[1024];
    struct iovec piece = {line, 0};

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    *w = (struct wire){.fd = socket(AF_INET, SOCK_STREAM, 0)};
    if (w->fd < 0 || connect(w->fd, (struct sockaddr *)&to, sizeof(to)) != 0) {
        perror("connect");
        return -1;
    }
    if (tls_ca != NULL && (w->ssl = start_tls(w->fd, tls_ca)) == NULL) {
        fputs("no TLS with the daemon\n", stderr);
        return -1;
    }
    fcntl(w->fd, F_SETFL, O_NONBLOCK);
    if (token == NULL)
        return 0;
    piece.iov_len = (size_t)snprintf(line, sizeof(line), "AUTH %s\n", token);
    return wire_send(w, &piece, 1);
}

static int wait_for(const struct wire *w, short what)
{
    struct pollfd poller = {.fd = w->fd, .events = what};

    return poll(&poller, 1, WIRE_PATIENCE_MS) == 1 ? 0 : -1;
}

static int send_tls(struct wire *w, const char *bytes, size_t n)
{
    while (n > 0) {
        int sent = SSL_write(w->ssl, bytes, n < TLS_PIECE ? (int)n : TLS_PIECE);

        if (sent > 0) {
            bytes += sent;
            n -= (size_t)sent;
        } else if (SSL_get_error(w->ssl, sent) != SSL_ERROR_WANT_WRITE || wait_for(w, POLLOUT) != 0) {
            return -1;
        }
    }
    return 0;
}

int wire_send(struct wire *w, struct iovec *piece, int count)
{
    if (w->ssl != NULL) {
        for (int i = 0; i < count; i++)
            if (send_tls(w, piece[i].iov_base, piece[i].iov_len) != 0)
                return -1;
        return 0;
    }
    while (count > 0) {
        ssize_t sent = writev(w->fd, piece, count);

        if (sent < 0 && (errno != EAGAIN || wait_for(w, POLLOUT) != 0))
            return -1;
        while (sent > 0) {
            size_t part = (size_t)sent < piece->iov_len ? (size_t)sent : piece->iov_len;

            piece->iov_base = (char *)piece->iov_base + part;
            piece->iov_len -= part;
            sent -= (ssize_t)part;
            if (piece->iov_len == 0) {
                piece++;
                count--;
            }
        }
    }
    return 0;
}

ssize_t wire_read(struct wire *w, char *bytes, size_t n)
{
    ssize_t got;

    if (w->ssl == NULL) {
        got = read(w->fd, bytes, n);
        return got < 0 && errno == EAGAIN ? 0 : got == 0 ? -1 : got;
    }
    got = SSL_read(w->ssl, bytes, (int)n);
    return got > 0 ? got : SSL_get_error(w->ssl, (int)got) == SSL_ERROR_WANT_READ ? 0 : -1;
}

void wire_close(struct wire *w)
{
    SSL_free(w->ssl);
    close(w->fd);
}
