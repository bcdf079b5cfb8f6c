/* tls: TLS over a connected, non-blocking TCP socket. src/tls is the only user of OpenSSL.
 *
 * A context is what a listener or a collector's exporters share: certificates, keys, whom to trust. It is
 * counted: sessions keep theirs, so that a reload does not disturb a connection. A session belongs to one
 * socket, which stays the caller's. TLS 1.2 and later only. Belongs to the I/O thread.
 *
 * Errors are of kind ERROR_INTERNAL; their detail names the file, or what the peer did, and what to do.
 */
#ifndef VPCFLOWD_TLS_H
#define VPCFLOWD_TLS_H

#include <stddef.h>
#include <stdint.h>

#include "vpcflowd/error.h"

struct tls_context;
struct tls;

enum tls_result {
    TLS_DONE,       /* the handshake is done; some bytes were read or written */
    TLS_WANT_READ,  /* call again when the socket is readable */
    TLS_WANT_WRITE, /* call again when it is writable */
    TLS_ENDED,      /* the peer has ended the connection in order (close_notify) */
    TLS_FAILED      /* ret_err; the session is of no more use */
};

/* Server side: PEM files; client_ca NULL asks no client for a certificate, else every one must show one of
 * these authorities. NULL with ret_err. */
struct tls_context *tls_server(const char *certificate, const char *key, const char *client_ca,
                               struct error *ret_err);
/* Client side: ca NULL trusts the system's authorities; certificate and key NULL shows none. */
struct tls_context *tls_client(const char *ca, const char *certificate, const char *key,
                               struct error *ret_err);
void tls_context_free(struct tls_context *context); /* sessions keep theirs; NULL is allowed */

/* NULL: no memory. `name` is what the peer's certificate must be for: a host name or a numeric address. */
struct tls *tls_accept(struct tls_context *context, int fd);
struct tls *tls_connect(struct tls_context *context, int fd, const char *name);
enum tls_result tls_handshake(struct tls *t, struct error *ret_err);
/* TLS_DONE with *ret_n > 0, or one of the others. A write that wanted something must be repeated with the same
 * bytes, or more that begin with them, possibly elsewhere in memory. */
enum tls_result tls_read(struct tls *t, void *bytes, size_t size, size_t *ret_n, struct error *ret_err);
enum tls_result tls_write(struct tls *t, const void *bytes, size_t n, size_t *ret_n, struct error *ret_err);
/* Decrypted bytes that are waiting in the session: the socket will not become readable for them. */
size_t tls_pending(const struct tls *t);
/* Bytes that went into the socket since the beginning, records and handshake included: what SIOCOUTQ counts
 * back from. */
uint64_t tls_wire_bytes(const struct tls *t);
/* The peer's certificate's subject, for logs, control characters escaped; "" without one. */
const char *tls_peer_name(const struct tls *t);
/* Says close_notify, as far as the socket takes it at once. */
void tls_end(struct tls *t);
void tls_free(struct tls *t); /* NULL is allowed */

#endif
