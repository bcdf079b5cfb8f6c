/* proxy: the header that a load balancer puts before a connection's own bytes, PROXY protocol version 2
 * (haproxy's doc/proxy-protocol.txt, section 2.2). Pure: bytes in, the sender's address out.
 *
 * Limit: PROXY_HEADER_MAX. Of the additions (TLVs) behind the addresses only the checksum is looked at.
 */
#ifndef NET_PROXY_H
#define NET_PROXY_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include "vpcflowd/error.h"

#define PROXY_HEAD_SIZE 16
#define PROXY_HEADER_MAX (PROXY_HEAD_SIZE + 4096)

enum proxy_result {
    PROXY_MORE, /* *ret_need bytes from the beginning must be there, and no more may be read than these */
    PROXY_DONE, /* *ret is filled */
    PROXY_BAD   /* ret_err says why */
};

struct proxy {
    size_t size; /* of the header */
    /* False: the load balancer speaks for itself (LOCAL), or knows no address (UNSPEC): the connection's own
     * address counts. */
    bool has_source;
    struct sockaddr_storage source;
    socklen_t source_len;
};

enum proxy_result proxy_parse(const unsigned char *bytes, size_t n, size_t *ret_need, struct proxy *ret,
                              struct error *ret_err);

#endif
