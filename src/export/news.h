/* news: what a shipment's notes tell of interfaces that exporters have not told their collectors yet.
 *
 * learn() takes all of a shipment's notes into the tables of its generation's [vpc]s; gather() then gives
 * each exporter what is new in its [vpc]; forget() ends the shipment. Belongs to the I/O thread. Private to
 * export/.
 */
#ifndef EXPORT_NEWS_H
#define EXPORT_NEWS_H

#include "export/generations.h"

/* An interface that has something new to tell. */
struct news_item {
    uint32_t place; /* in the table */
    uint32_t next;  /* of the same VPC, as vpc_interfaces.news */
};

/* Zero-initialised ({0}) is valid and empty. */
struct news {
    struct news_item *items;
    struct interface_note *notes; /* one exporter's */
    uint32_t cap;
    struct log_limit collision_limit;
};

/* Room for a shipment with so many notes. 0, or -1: no memory. */
int news_reserve(struct news *n, uint32_t count);
void news_learn(struct news *n, struct generation *g, const struct messages *ms);
/* The notes that are new in a [vpc]'s table, in n->notes. Returns how many. */
uint32_t news_gather(struct news *n, const struct vpc_interfaces *v);
void news_forget(struct generation *g, const struct messages *ms);
void news_free(struct news *n);

#endif
