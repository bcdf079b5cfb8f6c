/* http_connection: one client's HTTP connection.
 *
 *     HANDSHAKE ▶ HEAD ▶ BODY ▶ WAITING ▶ (reply) ▶ HEAD …
 *                   └──refused──▶ (reply) ▶ LINGERING ▶ gone
 *
 * One request at a time: while its payload's fate is open nothing is read. A request that is refused before
 * its body has come is answered at once, and the connection ends: what still comes is thrown away for a
 * while, so that the answer is not lost to a reset.
 */
#ifndef NET_HTTP_CONNECTION_H
#define NET_HTTP_CONNECTION_H

struct http_connection;

#include "net/http_host.h"

/* Takes over fd, and a reference to the terms. NULL: no memory (fd is closed). */
struct http_connection *http_connection_new(struct http_host *host, struct http_terms *terms, int fd,
                                            const char *peer);
/* Ends when its reply is written; at once if none is due. */
void http_connection_stop(struct http_connection *c);
/* At once. on_gone() is called. */
void http_connection_free(struct http_connection *c);

struct http_connection *http_connection_next(const struct http_connection *c);
void http_connection_link(struct http_connection *c, struct http_connection **head);
void http_connection_unlink(struct http_connection *c, struct http_connection **head);

#endif
