/* rejects_store: a directory of what was refused, for --read once the configuration is mended.
 *
 * For a payload that was refused a file NAME.payload with its bytes as they were sent; for the rejected lines
 * of an accepted one NAME.json with them as CloudWatch Logs documents; beside each a NAME.txt that tells the
 * time, the peer and the reason. NAME sorts by time: rejects-20231114T221320.123Z-000001. Files are 0600, the
 * directory is 0700 if it is made here.
 *
 * At most `limit` bytes, each file taken for the blocks that it fills: the oldest make room. Files that are
 * not named like ours are left alone and not counted. At most REJECTS_A_SECOND of them and REJECTS_BYTES
 * bytes a second, since peers decide what is refused; what is beyond that is counted, and said in the log.
 * Nothing is synced: a power cut may cost the last ones. An error of the disk is logged, and is nobody else's
 * matter.
 *
 * Belongs to the I/O thread.
 */
#ifndef RUN_REJECTS_STORE_H
#define RUN_REJECTS_STORE_H

#include "vpcflowd/conf.h"
#include "vpcflowd/error.h"

#define REJECTS_A_SECOND 100
#define REJECTS_BYTES (64u << 20)
#define REJECTS_MAX 65536 /* of them at any time */

struct evbuffer;
struct rejects_store;

/* Makes the directory if its parent is there, and finds what an earlier run has left. NULL: ret_err names the
 * directory and the system's reason. */
struct rejects_store *rejects_store_open(const struct conf_rejects *conf, struct error *ret_err);
void rejects_store_free(struct rejects_store *s);
/* `reason` may have several lines; what a peer could do harm with is escaped. The payload stays as it is. */
void rejects_store_payload(struct rejects_store *s, const char *peer, const char *reason,
                           struct evbuffer *payload);
void rejects_store_lines(struct rejects_store *s, const char *peer, const char *reason,
                         struct slice documents);

#endif
