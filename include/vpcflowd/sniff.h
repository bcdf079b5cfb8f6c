/* sniff: what a payload is, told from its first bytes.
 *
 * gzip and zlib have magic numbers, JSON its brackets. Base64 and flow-log text share an alphabet
 * ("eni-0123456789abcdef0" is good base64url), so the first word is decoded and judged by what it would be:
 * base64 only if that gives gzip, zlib, JSON or printable text.
 */
#ifndef VPCFLOWD_SNIFF_H
#define VPCFLOWD_SNIFF_H

#include "vpcflowd/slice.h"

#define SNIFF_BYTES 64 /* more are not looked at */

enum sniff {
    SNIFF_EMPTY,    /* nothing but white space */
    SNIFF_DEFLATED, /* gzip or zlib */
    SNIFF_BASE64,
    SNIFF_TEXT, /* JSON or flow-log lines: for unwrap() */
    SNIFF_KPL   /* a Kinesis Producer Library aggregate: not ours to parse */
};

enum sniff sniff(struct slice start);

#endif
