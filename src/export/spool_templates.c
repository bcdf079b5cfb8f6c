/* The file of template ids. The registry numbers templates in the order in which they are met, so another run
 * would give other ids; what waits on disk has the old ones. The file has a line for each template, in the
 * order of the ids: what its key is, in words, and its record on the wire in hexadecimal. A start with
 * something in the spool interns the keys in that order, ahead of everybody else, and compares the bytes.
 * Lines are added, and synced, ahead of the data that needs them.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "export/options_impl.h"
#include "export/spool_impl.h"

#define TEMPLATES "templates"
#define FILE_MAX (32u << 20)
#define COMMENT                                                                                              \
    "# The templates of the messages in this spool, in the order of their ids. vpcflowd reads them at its "  \
    "start:\n# without this file, or with a changed one, it cannot send what waits here.\n"

static const char *const profiles[FIELDS_PROFILES] = {[FIELDS_STANDARD] = "standard", [FIELDS_FULL] = "full"};

/* ---- writing ---- */

static int add(struct buffer *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
static int add(struct buffer *b, const char *format, ...)
{
    char text[512];
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    return n >= (int)sizeof(text) || buffer_append(b, text, (size_t)n, FILE_MAX) != BUFFER_OK ? -1 : 0;
}

static int add_fields(struct buffer *b, const struct field_set *fields)
{
    const char *comma = "";
    int rc = add(b, " fields=");

    for (unsigned i = 0; rc == 0 && i < FIELD_COUNT; i++) {
        if (!field_set_has(fields, i))
            continue;
        rc = add(b, "%s%s", comma, field_table[i].name);
        comma = ",";
    }
    return rc;
}

static int add_wire(struct buffer *b, const unsigned char *wire, size_t n)
{
    int rc = add(b, " wire=");

    for (size_t i = 0; rc == 0 && i < n; i++)
        rc = add(b, "%02x", wire[i]);
    return rc == 0 ? add(b, "\n") : rc;
}

static int add_data_line(struct buffer *b, const struct template_entry *e)
{
    const struct template_key *k = &e->key;

    if (add(b, "template %u profile=%s src=%u dst=%u pkt-src=%u pkt-dst=%u sides=%u", e->id,
            profiles[k->profile], k->src_family, k->dst_family, k->pkt_src_family, k->pkt_dst_family,
            k->interface_sides) < 0 ||
        add_fields(b, &k->fields) < 0)
        return -1;
    return add_wire(b, e->wire, e->wire_len);
}

/* RFC 7011 3.4.2.2, as libfixbuf writes it. */
static int add_options_line(struct buffer *b, const struct layout *l, const struct field_set *fields)
{
    int rc = add(b, "options %u", l->id);

    if (rc < 0 || add_fields(b, fields) < 0 || add(b, " wire=%04x%04x%04x", l->id, l->count, l->scope) < 0)
        return -1;
    for (unsigned i = 0; rc == 0 && i < l->count; i++) {
        const struct element *e = &l->element[i];

        rc = e->enterprise == 0 ? add(b, "%04x%04x", e->number, e->length)
                                : add(b, "%04x%04x%08x", e->number | 0x8000u, e->length, e->enterprise);
    }
    return rc < 0 ? rc : add(b, "\n");
}

/* ---- updating ---- */

static int fail(const struct spool *s, const char *what, struct error *ret_err)
{
    return error_set(ret_err, ERROR_INTERNAL, "%s %s/" TEMPLATES ": %s", what, s->path, strerror(errno));
}

static int create(struct spool *s, struct error *ret_err)
{
    if (s->templates.fd >= 0)
        return 0;
    s->templates.fd =
        openat(s->directory, TEMPLATES, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (s->templates.fd < 0)
        return fail(s, "cannot create", ret_err);
    if (fsync(s->directory) == 0)
        return 0;
    fail(s, "cannot sync the directory of", ret_err);
    close(s->templates.fd);
    s->templates.fd = -1;
    return -1;
}

/* Lines that were written in part are written over: what comes next begins with the same ones. */
static int write_lines(struct spool *s, const struct buffer *b, struct error *ret_err)
{
    size_t done = 0;

    if (create(s, ret_err) < 0)
        return -1;
    while (done < b->len) {
        ssize_t n = pwrite(s->templates.fd, b->data + done, b->len - done, (off_t)(s->templates.size + done));

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail(s, "cannot write to", ret_err);
        done += (size_t)n;
    }
    if (fdatasync(s->templates.fd) < 0)
        return fail(s, "cannot sync", ret_err);
    s->templates.size += b->len;
    return 0;
}

int spool_templates_update(struct spool *s, struct error *ret_err)
{
    uint32_t data = registry_count(s->registry), options = registry_options_count(s->registry);
    struct buffer b = {0};
    int rc = 0;

    if (s->templates.fd >= 0 && data == s->templates.data && options == s->templates.options)
        return 0;
    if (s->templates.size == 0)
        rc = add(&b, COMMENT);
    for (uint32_t i = s->templates.data; rc == 0 && i < data; i++)
        rc = add_data_line(&b, registry_get(s->registry, i));
    for (uint32_t i = s->templates.options; rc == 0 && i < options; i++) {
        struct field_set fields;
        const struct layout *l = registry_options_get(s->registry, i, &fields);

        rc = add_options_line(&b, l, &fields);
    }
    rc = rc < 0 ? error_set(ret_err, ERROR_NO_MEMORY, "no memory for the spool's templates")
                : write_lines(s, &b, ret_err);
    buffer_free(&b);
    if (rc == 0) {
        s->templates.data = data;
        s->templates.options = options;
    }
    return rc;
}

/* ---- loading ---- */

static char *read_file(int fd, size_t *ret_len)
{
    struct stat st;
    char *text;
    ssize_t got;
    size_t n;

    if (fstat(fd, &st) < 0 || st.st_size > FILE_MAX || (text = malloc((size_t)st.st_size + 1)) == NULL)
        return NULL;
    got = spool_pread(fd, text, (size_t)st.st_size, 0);
    if (got < 0) {
        free(text);
        return NULL;
    }
    n = (size_t)got;
    /* A line without an end was torn: nothing that needs it was safe. */
    while (n > 0 && text[n - 1] != '\n')
        n--;
    text[n] = '\0';
    *ret_len = n;
    return text;
}

static bool parse_fields(char *text, struct field_set *ret)
{
    *ret = (struct field_set){0};
    for (char *save = NULL, *name = strtok_r(text, ",", &save); name != NULL;
         name = strtok_r(NULL, ",", &save)) {
        enum field_id id = field_by_name(slice_str(name));

        if (id == FIELD_UNKNOWN)
            return false;
        field_set_add(ret, id);
    }
    return true;
}

/* The words in front of " fields=", into a key. */
static bool parse_key(const char *line, struct template_key *ret)
{
    char profile[16];
    unsigned v[6];

    *ret = (struct template_key){0};
    if (sscanf(line, "template %u profile=%15s src=%u dst=%u pkt-src=%u pkt-dst=%u sides=%u", &v[0], profile,
               &v[1], &v[2], &v[3], &v[4], &v[5]) != 7)
        return false;
    for (unsigned i = 1; i < 6; i++)
        if (v[i] > 6)
            return false;
    while (ret->profile < FIELDS_PROFILES && strcmp(profile, profiles[ret->profile]) != 0)
        ret->profile++;
    ret->src_family = (uint8_t)v[1];
    ret->dst_family = (uint8_t)v[2];
    ret->pkt_src_family = (uint8_t)v[3];
    ret->pkt_dst_family = (uint8_t)v[4];
    ret->interface_sides = (uint8_t)v[5];
    return ret->profile < FIELDS_PROFILES;
}

/* Interns what a line says, and makes the line anew into `b`: it must come out as it was. */
static bool intern_line(struct spool *s, const char *line, char *words, struct buffer *b)
{
    char *fields = strstr(words, " fields="), *end;
    struct template_key key;
    struct field_set set;

    if (fields == NULL)
        return false;
    *fields = '\0';
    fields += strlen(" fields=");
    end = strchr(fields, ' ');
    if (end != NULL)
        *end = '\0';
    if (!parse_fields(fields, &set))
        return false;
    if (strncmp(line, "options ", 8) == 0) {
        const struct layout *l = options_details_template(s->registry, &set);

        return l != NULL && l->id == OPTIONS_SETS_ID + s->templates.options++ &&
               add_options_line(b, l, &set) == 0;
    }
    if (!parse_key(words, &key))
        return false;
    key.fields = set;

    const struct template_entry *e = registry_intern(s->registry, &key, NULL);

    return e != NULL && e->index == s->templates.data++ && add_data_line(b, e) == 0;
}

static enum spool_load load_line(struct spool *s, const char *line, size_t n, unsigned number,
                                 struct error *ret_why)
{
    struct buffer b = {0};
    char *words;
    bool interned, same;

    errno = 0;
    words = strndup(line, n);
    interned = words != NULL && intern_line(s, line, words, &b);
    same = interned && b.len == n + 1 && memcmp(b.data, line, n) == 0;
    free(words);
    buffer_free(&b);
    if (!interned && errno == ENOMEM) { /* as malloc() leaves it */
        error_set(ret_why, ERROR_NO_MEMORY, "no memory to read %s/" TEMPLATES, s->path);
        return SPOOL_LOAD_FAILED;
    }
    if (!same)
        error_set(ret_why, ERROR_INTERNAL,
                  "the template in line %u of %s/" TEMPLATES " has another meaning now (is enterprise_number "
                  "another one, or the version, or message_size smaller?)",
                  number, s->path);
    return same ? SPOOL_LOAD_OK : SPOOL_LOAD_OTHER;
}

static enum spool_load load_lines(struct spool *s, const char *text, size_t len, struct error *ret_why)
{
    enum spool_load load = SPOOL_LOAD_OK;
    unsigned number = 0;

    for (const char *line = text, *end; load == SPOOL_LOAD_OK && line < text + len; line = end + 1) {
        end = memchr(line, '\n', (size_t)(text + len - line));
        number++;
        if (*line != '#')
            load = load_line(s, line, (size_t)(end - line), number, ret_why);
    }
    return load;
}

enum spool_load spool_templates_load(struct spool *s, struct error *ret_why)
{
    int fd = openat(s->directory, TEMPLATES, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    enum spool_load load = fd < 0 && errno == ENOENT ? SPOOL_LOAD_OTHER : SPOOL_LOAD_FAILED;
    char *text = NULL;
    size_t len = 0;

    if (fd < 0 || (text = read_file(fd, &len)) == NULL || ftruncate(fd, (off_t)len) < 0)
        fail(s, "their templates are not known: cannot read", ret_why);
    else
        load = load_lines(s, text, len, ret_why);
    free(text);
    if (load == SPOOL_LOAD_OK) {
        s->templates.fd = fd;
        s->templates.size = len;
        return SPOOL_LOAD_OK;
    }
    s->templates.data = s->templates.options = 0;
    if (fd >= 0)
        close(fd);
    return load;
}

void spool_templates_remove(struct spool *s)
{
    unlinkat(s->directory, TEMPLATES, 0);
}
