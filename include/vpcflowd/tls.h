/* tls: TLS over a connected, non-blocking TCP socket. src/tls is the only user of OpenSSL.
 *
 * A context is what a listener or a collector's exporters share: certificates, keys, whom to trust. It is
 * counted: sessions keep theirs, so that a reload does not disturb a connection. A session belongs to one
 * socket, which stays the caller's. Belongs to the I/O thread. SIGPIPE must be ignored.
 *
 * TLS 1.2 (ECDHE with AES-GCM or ChaCha20) and 1.3. No renegotiation, compression, early data or resumption:
 * every connection shows its certificates.
 *
 * Errors are of kind ERROR_INTERNAL; their detail names the file, or what the peer did, and what to do. What
 * the peer sent is quoted with control characters escaped.
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
    TLS_ENDED,      /* the peer has ended its side in order (close_notify); writing is still possible */
    TLS_FAILED      /* ret_err; the session is of no more use */
};

/* Server side: PEM files; key NULL: it is in the certificate's file. client_ca NULL asks no client for a
 * certificate, else every one must show one of these authorities. NULL with ret_err. Keys with a passphrase
 * are refused: nobody is there to be asked for it. */
struct tls_context *tls_server(const char *certificate, const char *key, const char *client_ca,
                               struct error *ret_err);
/* Client side: ca NULL trusts the system's authorities; certificate NULL shows none. */
struct tls_context *tls_client(const char *ca, const char *certificate, const char *key,
                               struct error *ret_err);
void tls_context_free(struct tls_context *context); /* sessions keep theirs; NULL is allowed */
/* When the own certificate ends, seconds since 1970; 0 without one. An expired one is used all the same: it
 * is for the peer to refuse it, and for the caller to warn. */
int64_t tls_context_expires(const struct tls_context *context);

/* NULL: no memory. `name` is what the peer's certificate must be for: a host name or a numeric address. */
struct tls *tls_accept(struct tls_context *context, int fd);
struct tls *tls_connect(struct tls_context *context, int fd, const char *name);
enum tls_result tls_handshake(struct tls *t, struct error *ret_err);
/* TLS_DONE with *ret_n > 0, or one of the others; size and n must not be 0. One call takes one TLS record at
 * most (16 KiB): call again until it says TLS_WANT_READ, or look at tls_pending(). A write that wanted
 * something must be repeated with the same bytes, or more that begin with them, possibly elsewhere in
 * memory. */
enum tls_result tls_read(struct tls *t, void *bytes, size_t size, size_t *ret_n, struct error *ret_err);
enum tls_result tls_write(struct tls *t, const void *bytes, size_t n, size_t *ret_n, struct error *ret_err);
/* Not 0: bytes have been taken out of the socket, which will not become readable for them: call tls_read().
 * 0 after tls_read() said TLS_WANT_READ. */
size_t tls_pending(const struct tls *t);
/* Bytes that went into the socket since the beginning, records and handshake included: what SIOCOUTQ counts
 * back from. */
uint64_t tls_wire_bytes(const struct tls *t);
/* The peer's certificate's subject, for logs, control characters escaped; "" without one, and before the
 * handshake is done. */
const char *tls_peer_name(const struct tls *t);
/* Says close_notify, as far as the socket takes it at once. Nothing can be written after it. */
void tls_end(struct tls *t);
void tls_free(struct tls *t); /* NULL is allowed */

#endif
