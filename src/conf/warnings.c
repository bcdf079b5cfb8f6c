/* What is no mistake for certain, but hardly meant. That secrets can be read by everybody is files.c's. */
#include <string.h>

#include "conf/build.h"

static int warn_of_unknown_fields(struct build *b, size_t i)
{
    const struct conf_vpc *vpc = &b->conf->vpcs[i];
    struct slice text, name;

    if (vpc->format_text == NULL)
        return 0;
    text = slice_str(vpc->format_text);
    while (format_next_unknown(&text, &name))
        if (build_warn(b, SECTION_vpc, i, OPTION_vpc_format,
                       "\"%.*s\" is no field that this version knows: its values are passed over",
                       (int)(name.len < 80 ? name.len : 80), name.ptr) < 0)
            return -1;
    return 0;
}

static bool same_pattern(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static bool same_format(const struct conf_vpc *a, const struct conf_vpc *b)
{
    const struct format *x = a->format != NULL ? a->format : format_default();
    const struct format *y = b->format != NULL ? b->format : format_default();

    return x->count == y->count && memcmp(x->field, y->field, x->count) == 0;
}

/* Lines are read before their records are known: the first [vpc] of their log group, and account, has the
 * word on their format. */
static const struct conf_vpc *reader_of(const struct conf *conf, const struct conf_vpc *vpc)
{
    const struct conf_vpc *first = conf->vpcs;

    while (first != vpc && ((first->log_group != NULL && !same_pattern(first->log_group, vpc->log_group)) ||
                            (first->account != NULL && !same_pattern(first->account, vpc->account))))
        first++;
    return first;
}

static int warn_of_unused_format(struct build *b, size_t i)
{
    const struct conf_vpc *vpc = &b->conf->vpcs[i], *first = reader_of(b->conf, vpc);

    if (same_format(first, vpc))
        return 0;
    return build_warn(b, SECTION_vpc, i, OPTION_vpc_format,
                      "is not used: lines without a header are read by the format of [vpc \"%s\"], which "
                      "differs; tell the two apart by log_group or account",
                      first->name);
}

/* Whoever is on the way reads what is not encrypted. */
static int warn_of_clear_secrets(struct build *b, enum conf_section section, unsigned file,
                                 unsigned certificate, const struct conf_address *address)
{
    if (!build_has(b, section, 0, file) || build_has(b, section, 0, certificate) ||
        conf_address_is_loopback(address))
        return 0;
    return build_warn(b, section, 0, file,
                      "travels in clear text to %s; set tls_certificate and tls_key, unless something in "
                      "front of the daemon takes TLS off and the way from there is safe",
                      address->text);
}

static int warn_of_public_admin(struct build *b)
{
    const struct conf_address *address = &b->conf->admin.address;

    if (!build_has(b, SECTION_admin, 0, OPTION_admin_address) || conf_address_is_loopback(address))
        return 0;
    return build_warn(b, SECTION_admin, 0, OPTION_admin_address,
                      "%s can be reached from other hosts, and asks nobody who they are; take a loopback "
                      "address, as 127.0.0.1:9465, or let the firewall decide who may connect",
                      address->text);
}

int conf_note_warnings(struct build *b)
{
    const struct conf *conf = b->conf;

    if (!b->to_read && (warn_of_clear_secrets(b, SECTION_listener, OPTION_listener_token_file,
                                              OPTION_listener_tls_certificate, &conf->listener.address) < 0 ||
                        warn_of_clear_secrets(b, SECTION_http, OPTION_http_access_key_file,
                                              OPTION_http_tls_certificate, &conf->http.address) < 0 ||
                        warn_of_public_admin(b) < 0))
        return -1;
    for (size_t i = 0; i < conf->vpc_count; i++)
        if (warn_of_unknown_fields(b, i) < 0 || warn_of_unused_format(b, i) < 0)
            return -1;
    return 0;
}
