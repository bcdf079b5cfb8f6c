/* peers: who is at the other end: addresses as text, and how many connections each has.
 *
 * One peer is one IPv4 address, or one /64 of IPv6, which is what one host is commonly given. An IPv4 address
 * that IPv6 maps is an IPv4 one. Belongs to the I/O thread. Memory: one small entry for each peer that is
 * connected.
 */
#ifndef NET_PEERS_H
#define NET_PEERS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define PEER_TEXT_MAX 64

struct peers;

/* "192.0.2.1:4711", "[2001:db8::1]:4711" */
void peer_text(const struct sockaddr *sa, socklen_t len, char *ret, size_t size);

struct peers *peers_new(void); /* NULL: no memory */
void peers_free(struct peers *p);
/* One connection more; returns how many there are now, 0: no memory, and nothing has changed. */
uint64_t peers_add(struct peers *p, const struct sockaddr *sa);
/* One less, of those that were added. */
void peers_remove(struct peers *p, const struct sockaddr *sa);

#endif
