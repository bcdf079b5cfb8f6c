#include "net/peers.h"

#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#define BUCKETS_FIRST 64

/* What two connections of one peer have in common: an IPv4 address, or the first half of an IPv6 one. */
struct key {
    uint64_t address;
    uint64_t family;
};

struct entry {
    struct entry *next;
    struct key key;
    uint64_t count;
};

struct peers {
    struct entry **buckets;
    size_t bucket_count; /* a power of two */
    size_t entry_count;
    uint64_t seed; /* so that nobody can choose addresses that all fall into one bucket */
};

void peer_text(const struct sockaddr *sa, socklen_t len, char *ret, size_t size)
{
    char host[NI_MAXHOST], port[NI_MAXSERV];

    if (getnameinfo(sa, len, host, sizeof(host), port, sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        snprintf(ret, size, "?");
    else
        snprintf(ret, size, sa->sa_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
}

static struct key key_of(const struct sockaddr *sa)
{
    struct key key = {0, sa->sa_family};

    if (sa->sa_family == AF_INET) {
        memcpy(&key.address, &((const struct sockaddr_in *)(const void *)sa)->sin_addr, 4);
    } else if (sa->sa_family == AF_INET6) {
        const struct in6_addr *six = &((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr;

        if (IN6_IS_ADDR_V4MAPPED(six)) {
            key.family = AF_INET;
            memcpy(&key.address, six->s6_addr + 12, 4);
        } else {
            memcpy(&key.address, six->s6_addr, 8);
        }
    }
    return key;
}

static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 32) * 0xd6e8feb86659fd93u;
    x = (x ^ x >> 32) * 0xd6e8feb86659fd93u;
    return x ^ x >> 32;
}

/* The link that points to the key's entry, or to the end of its bucket. */
static struct entry **find(const struct peers *p, struct key key)
{
    uint64_t hash = mix(mix(key.address ^ p->seed) + key.family + p->seed);
    struct entry **link = &p->buckets[hash & (p->bucket_count - 1)];

    while (*link != NULL && ((*link)->key.address != key.address || (*link)->key.family != key.family))
        link = &(*link)->next;
    return link;
}

struct peers *peers_new(void)
{
    struct peers *p = calloc(1, sizeof(*p));

    if (p == NULL)
        return NULL;
    p->bucket_count = BUCKETS_FIRST;
    p->buckets = calloc(BUCKETS_FIRST, sizeof(struct entry *));
    if (p->buckets == NULL) {
        free(p);
        return NULL;
    }
    if (getrandom(&p->seed, sizeof(p->seed), GRND_NONBLOCK) != sizeof(p->seed))
        p->seed = mix((uint64_t)time(NULL) ^ (uintptr_t)p);
    return p;
}

/* Twice the buckets. Without memory for them the chains just grow longer. */
static void grow(struct peers *p)
{
    struct peers larger = *p;

    larger.bucket_count *= 2;
    larger.buckets = calloc(larger.bucket_count, sizeof(struct entry *));
    if (larger.buckets == NULL)
        return;
    for (size_t i = 0; i < p->bucket_count; i++)
        while (p->buckets[i] != NULL) {
            struct entry *e = p->buckets[i], **link = find(&larger, e->key);

            p->buckets[i] = e->next;
            e->next = NULL;
            *link = e;
        }
    free(p->buckets);
    *p = larger;
}

uint64_t peers_add(struct peers *p, const struct sockaddr *sa)
{
    struct key key = key_of(sa);
    struct entry *e = *find(p, key), **link;

    if (e != NULL)
        return ++e->count;
    e = calloc(1, sizeof(*e));
    if (e == NULL)
        return 0;
    if (p->entry_count >= p->bucket_count)
        grow(p);
    link = find(p, key);
    e->key = key;
    e->count = 1;
    *link = e;
    p->entry_count++;
    return 1;
}

void peers_remove(struct peers *p, const struct sockaddr *sa)
{
    struct entry **link = find(p, key_of(sa)), *e = *link;

    if (e == NULL || --e->count != 0)
        return;
    *link = e->next;
    p->entry_count--;
    free(e);
}

void peers_free(struct peers *p)
{
    if (p == NULL)
        return;
    for (size_t i = 0; i < p->bucket_count; i++)
        while (p->buckets[i] != NULL) {
            struct entry *e = p->buckets[i];

            p->buckets[i] = e->next;
            free(e);
        }
    free(p->buckets);
    free(p);
}
