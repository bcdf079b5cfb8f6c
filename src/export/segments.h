/* segments: a volley as the fewest datagram sends: messages of one length in a row go to the kernel as one
 * run, which it, or the network card, cuts into datagrams again (UDP GSO, udp(7) UDP_SEGMENT). The way down
 * the network stack is then paid once a run. The last message of a run may be shorter. Private to export/.
 */
#ifndef EXPORT_SEGMENTS_H
#define EXPORT_SEGMENTS_H

#include "export/transport.h"

struct segments {
    unsigned count;
    struct mmsghdr mmsg[VOLLEY_MAX];             /* for sendmmsg(): a run each */
    unsigned begin[VOLLEY_MAX], end[VOLLEY_MAX]; /* each run's messages in the volley: [begin, end) */
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(sizeof(uint16_t))];
    } control[VOLLEY_MAX];
};

/* Cuts the volley's messages from `from` on. Without `offload`, each message is a run of its own. */
void segments_cut(struct segments *s, struct volley *v, unsigned from, bool offload);
/* Whether the kernel knows how; whether the path does, only sending shows. */
bool segments_offered(int fd);
/* Whether this error of a run of several messages can mean that the path does not know how. */
bool segments_refused(int error);

#endif
