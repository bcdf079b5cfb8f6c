/* acceptor: a listening TCP socket, and the connections that come to it.
 *
 * Belongs to the I/O thread. When descriptors or memory run out it rests for a second and says so in the log:
 * accepting again at once would spin.
 */
#ifndef NET_ACCEPTOR_H
#define NET_ACCEPTOR_H

#include <sys/socket.h>

#include "net/peers.h"
#include "vpcflowd/conf.h"
#include "vpcflowd/error.h"

struct event_base;
struct acceptor;

struct acceptor_calls {
    void *ctx;
    /* Takes over `fd`: non-blocking, close-on-exec, without Nagle's delay. */
    void (*on_connection)(void *ctx, int fd, const struct sockaddr *sa, socklen_t len);
};

/* A listening socket; -1 with ret_err, which names [section] address. */
int acceptor_socket(const struct conf_address *address, const char *section, int backlog,
                    struct error *ret_err);
/* Takes over fd, a listening socket. ret_address: the one in use, with its port. NULL with ret_err. */
struct acceptor *acceptor_new(struct event_base *base, int fd, const char *section,
                              const struct acceptor_calls *calls, char ret_address[PEER_TEXT_MAX],
                              struct error *ret_err);
/* No more connections are taken, from now on and for good. */
void acceptor_stop(struct acceptor *a);
void acceptor_free(struct acceptor *a); /* NULL is allowed */

#endif
