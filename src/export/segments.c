#include "export/segments.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <string.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103 /* linux/udp.h */
#endif

#define RUN_MESSAGES 64  /* the kernel's UDP_MAX_SEGMENTS */
#define RUN_BYTES 65507u /* what one send on a UDP socket may have */

static size_t message_length(const struct volley *v, unsigned i)
{
    return v->piece[i][0].iov_len + v->piece[i][1].iov_len;
}

/* The message behind the run that begins at `from`. */
static unsigned run_end(const struct volley *v, unsigned from)
{
    size_t segment = message_length(v, from), bytes = segment, next;
    unsigned i;

    for (i = from + 1; i < v->count && i - from < RUN_MESSAGES; i++) {
        next = message_length(v, i);
        if (next > segment || bytes + next > RUN_BYTES)
            break;
        bytes += next;
        if (next < segment)
            return i + 1;
    }
    return i;
}

static void say_segment(struct msghdr *msg, void *control, size_t space, size_t segment)
{
    uint16_t size = (uint16_t)segment;
    struct cmsghdr *c;

    msg->msg_control = control;
    msg->msg_controllen = space;
    c = CMSG_FIRSTHDR(msg);
    c->cmsg_level = IPPROTO_UDP;
    c->cmsg_type = UDP_SEGMENT;
    c->cmsg_len = CMSG_LEN(sizeof(size));
    memcpy(CMSG_DATA(c), &size, sizeof(size));
}

void segments_cut(struct segments *s, struct volley *v, unsigned from, bool offload)
{
    s->count = 0;
    while (from < v->count) {
        unsigned end = offload ? run_end(v, from) : from + 1, i = s->count++;

        s->mmsg[i] =
            (struct mmsghdr){.msg_hdr = {.msg_iov = v->piece[from], .msg_iovlen = (size_t)(end - from) * 2}};
        if (end - from > 1)
            say_segment(&s->mmsg[i].msg_hdr, &s->control[i], sizeof(s->control[i]), message_length(v, from));
        s->begin[i] = from;
        s->end[i] = end;
        from = end;
    }
}

bool segments_offered(int fd)
{
    int off = 0;

    return setsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &off, sizeof(off)) == 0;
}

/* EIO: the network card cannot make the checksums; EINVAL, EMSGSIZE: a message is larger than the path's MTU,
 * and segments are not fragmented. */
bool segments_refused(int error)
{
    return error == EIO || error == EINVAL || error == EMSGSIZE || error == EOPNOTSUPP ||
           error == ENOPROTOOPT;
}
