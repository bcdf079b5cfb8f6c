/* transport: how an exporter's messages leave: one interface, a file for each (transport_udp.c,
 * transport_stream.c, transport_file.c).
 *
 * Messages go in volleys: up to VOLLEY_MAX of them in one system call, each in two pieces, the header that
 * its exporter stamped and the body that it shares with other exporters. A volley is filled anew for every
 * send; there is one for all exporters. Belongs to the I/O thread. Private to export/.
 *
 * What was sent is safe at once (UDP), when the collector's kernel has acknowledged it (a stream: TCP, TLS),
 * or when it is synced (a file). A stream's connection comes and goes: `fd` is -1 while there is none.
 */
#ifndef EXPORT_TRANSPORT_H
#define EXPORT_TRANSPORT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "vpcflowd/conf.h"
#include "vpcflowd/error.h"
#include "vpcflowd/messages.h"

#define VOLLEY_MAX 128

struct tls_context;

struct volley {
    unsigned count;
    unsigned char header[VOLLEY_MAX][IPFIX_HEADER_SIZE];
    struct iovec piece[VOLLEY_MAX][2]; /* header, body */
};

enum transport_result {
    TRANSPORT_SENT,          /* all of them; connect(): the connection stands */
    TRANSPORT_WAIT_WRITABLE, /* go on when the descriptor is writable */
    TRANSPORT_WAIT_READABLE, /* go on when it is readable (TLS) */
    TRANSPORT_WAIT_TICK,     /* go on a little later: the kernel is short of buffers */
    TRANSPORT_TOO_LARGE,     /* the next message can never be sent */
    TRANSPORT_FAILED         /* the peer, the network or the disk: the next message was not sent */
};

struct transport;

struct transport_ops {
    /* Sends a volley in order. ret_sent: how many messages have left, whatever the result; ret_err only for
     * the last two results. A message has left whole or not at all; one that the peer has refused by the time
     * that send() returns may count as not having left. A stream keeps what the kernel did not take of a
     * message, and counts it as sent: it goes on with that in the next call, even of an empty volley. */
    enum transport_result (*send)(struct transport *t, struct volley *v, unsigned *ret_sent,
                                  struct error *ret_err);
    /* Has the peer complained since, or ended the connection? 0, or -1 with ret_err. Reads and throws away
     * what it says, as far as it lies there, within bounds. NULL: it cannot. */
    int (*check)(struct transport *t, struct error *ret_err);
    /* Makes what was sent safe. -1 with ret_err: all that was sent since the last success is gone, and must
     * be sent again. NULL: what was sent is safe, or acked() tells. */
    int (*sync)(struct transport *t, struct error *ret_err);

    /* ---- streams only, NULL for the others ---- */

    /* Begins a connection, or goes on with it: TLS with a context, else TCP. With TRANSPORT_FAILED,
     * disconnect() is due. */
    enum transport_result (*connect)(struct transport *t, struct tls_context *tls, struct error *ret_err);
    /* How many messages the collector's kernel has acknowledged since the connection began. */
    uint64_t (*acked)(struct transport *t);
    /* Ends the connection at once, whatever is under way; without one, nothing happens. */
    void (*disconnect)(struct transport *t);

    /* A stream's connection ends in order: what was sent still arrives. */
    void (*free)(struct transport *t);
};

struct transport {
    const struct transport_ops *ops;
    int fd;
};

/* Bound to the VPC's exporter_ip, connected to the collector. NULL with ret_err, which says what to do. */
struct transport *transport_udp_open(const struct conf_vpc *vpc, const struct conf_collector *collector,
                                     struct error *ret_err);
/* TCP or TLS. Not connected yet, but what can be known to fail before is an error now. NULL with ret_err,
 * which says what to do. */
struct transport *transport_stream_open(const struct conf_vpc *vpc, const struct conf_collector *collector,
                                        struct error *ret_err);
/* Opened for appending, a torn last message cut off (ret_cut: how many bytes). NULL with ret_err. */
struct transport *transport_file_open(const struct conf_collector *collector, uint64_t *ret_cut,
                                      struct error *ret_err);
/* Is the open file still the one at its path, not moved away or deleted? */
bool transport_file_in_place(const struct transport *t);

#endif
