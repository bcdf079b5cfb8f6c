/* The sample files and the manual page say of every option what conf_options.def says, and of no other. */
#include "conf/conf_files.h"

#define SAMPLE SOURCE_DIR "/conf/vpcflowd.conf"
#define SAMPLE_VPC SOURCE_DIR "/conf/vpc.d/example.conf"
#define MANUAL SOURCE_DIR "/docs/vpcflowd.conf.5"

static const struct {
    const char *section, *key, *fallback;
} options[] = {
#define OPTION(section, key, type, member, fallback, ...) {#section, #key, fallback},
#include "vpcflowd/conf_options.def"
#undef OPTION
};

#define OPTIONS (sizeof(options) / sizeof(options[0]))

/* The text without the # before settings: "#key = value" and "#[section]". Text has a space after its #. */
static char *uncommented(const char *path)
{
    char *text = read_text(path), *to = text;

    for (const char *from = text; *from != '\0'; from++) {
        bool line_start = from == text || from[-1] == '\n';

        if (line_start && from[0] == '#' && from[1] != ' ' && from[1] != '\n')
            continue;
        *to++ = *from;
    }
    *to = '\0';
    return text;
}

/* What stands below each "[section", all together; empty if there is none. */
static char *section_of(const char *text, const char *section)
{
    char *all = calloc(1, strlen(text) + 2), start[64];
    const char *from = text, *end;

    assert_non_null(all);
    snprintf(start, sizeof(start), "\n[%s", section);
    while ((from = strstr(from, start)) != NULL) {
        end = strstr(from + 1, "\n[");
        strncat(all, from, end == NULL ? strlen(from) : (size_t)(end - from) + 1);
        from++;
    }
    return all;
}

/* The files that the sample names as systemd's credentials, in the test's directory. */
static int make_credentials(void **state)
{
    static const char *const names[] = {"tls.crt",      "tls.key",         "client-ca.crt", "tokens",
                                        "exporter.crt", "exporter.key",    "http.crt",      "http.key",
                                        "access-keys",  "collector-ca.crt"};

    if (enter_directory(state) < 0 || setenv("CREDENTIALS_DIRECTORY", *state, 1) < 0)
        return -1;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        write_text(names[i], "x\n");
        if (chmod(names[i], 0400) < 0)
            return -1;
    }
    return 0;
}

static void the_sample_loads_as_it_is(void **state)
{
    struct conf_error err = {""};
    struct conf *conf = conf_load(SAMPLE, &err);

    (void)state;
    if (conf == NULL)
        fail_msg("%s", err.text);
    assert_int_equal(conf->collector_count, 1);
    assert_string_equal(conf->collectors[0].address.text, "127.0.0.1:4739");
    assert_int_equal(conf->vpc_count, 1);
    assert_string_equal(conf->vpcs[0].exporter_ip.text, "127.0.0.2");
    assert_string_equal(conf->vpcs[0].log_group, "/aws/vpc/example*");
    conf_unref(conf);
}

static void the_sample_loads_with_every_setting_in_use(void **state)
{
    char *sample = uncommented(SAMPLE), *vpc = uncommented(SAMPLE_VPC);
    struct conf *conf;

    (void)state;
    write_text("vpc.d/example.conf", vpc);
    conf = load_text(sample);
    assert_int_equal(conf->collector_count, 3);
    assert_string_equal(conf->collectors[1].name, "archive");
    assert_int_equal(conf->collectors[1].transport, TRANSPORT_FILE);
    assert_int_equal(conf->collectors[2].transport, TRANSPORT_TLS);
    assert_non_null(conf->listener.tls_client_ca);
    assert_int_equal(conf->listener_tokens.count, 1);
    assert_int_equal(conf->http_keys.count, 1);
    assert_non_null(conf->spool.directory);
    assert_non_null(conf->rejects.directory);
    assert_int_not_equal(conf->admin.address.len, 0);
    assert_int_equal(conf->warning_count, 0);
    assert_int_equal(conf->vpcs[0].interface.count, 2);
    assert_int_equal(conf->vpcs[0].format->unknown, 0);
    conf_unref(conf);
    assert_int_equal(unlink("vpc.d/example.conf"), 0);
    free(sample);
    free(vpc);
}

static void the_sample_has_every_option_at_its_default(void **state)
{
    char *sample = uncommented(SAMPLE), *vpc = uncommented(SAMPLE_VPC);

    (void)state;
    for (size_t i = 0; i < OPTIONS; i++) {
        char *section = section_of(strcmp(options[i].section, "vpc") == 0 ? vpc : sample, options[i].section);
        char wanted[128];

        snprintf(wanted, sizeof(wanted),
                 options[i].fallback[0] != '\0' ? "\n%s = %s\n" : "\n%s = ", options[i].key,
                 options[i].fallback);
        if (strstr(section, wanted) == NULL)
            fail_msg("[%s] is without %s", options[i].section, wanted);
        free(section);
    }
    free(sample);
    free(vpc);
}

/* The manual's part on one section, up to the next such part. */
static char *manual_section(const char *manual, const char *section)
{
    static const char *const headings[][2] = {
        {"daemon", "\n.Ss The daemon section\n"},    {"listener", "\n.Ss The listener section\n"},
        {"collector", "\n.Ss Collector sections\n"}, {"vpc", "\n.Ss VPC sections\n"},
        {"admin", "\n.Ss The admin section\n"},      {"spool", "\n.Ss The spool section\n"},
        {"rejects", "\n.Ss The rejects section\n"},  {"http", "\n.Ss The http section\n"}};

    for (size_t i = 0; i < sizeof(headings) / sizeof(headings[0]); i++) {
        const char *from, *end;

        if (strcmp(headings[i][0], section) != 0)
            continue;
        from = strstr(manual, headings[i][1]);
        assert_non_null(from);
        end = strstr(from + 1, "\n.Ss ");
        return end == NULL ? strdup(from) : strndup(from, (size_t)(end - from));
    }
    fail_msg("the manual's heading of [%s] is not known", section);
    return NULL;
}

static void the_manual_has_every_option_with_its_default(void **state)
{
    char *manual = read_text(MANUAL);

    (void)state;
    for (size_t i = 0; i < OPTIONS; i++) {
        char *section = manual_section(manual, options[i].section), *item, *end;
        char wanted[128];

        snprintf(wanted, sizeof(wanted), "\n.It Ic %s = ", options[i].key);
        item = strstr(section, wanted);
        if (item == NULL)
            fail_msg("[%s] %s: is not in the manual", options[i].section, options[i].key);
        if (item != NULL && options[i].fallback[0] != '\0') {
            end = strstr(item + 1, "\n.It ");
            if (end != NULL)
                *end = '\0';
            snprintf(wanted, sizeof(wanted), "\nThe default is\n.Li %s", options[i].fallback);
            if (strstr(item, wanted) == NULL)
                fail_msg("[%s] %s: the manual's default is not %s", options[i].section, options[i].key,
                         options[i].fallback);
        }
        free(section);
    }
    free(manual);
}

static void the_manual_names_no_option_that_is_not_there(void **state)
{
    char *manual = read_text(MANUAL), *item = manual;

    (void)state;
    while ((item = strstr(item, "\n.It Ic ")) != NULL) {
        size_t len = strcspn(item += strlen("\n.It Ic "), " "), i = 0;

        while (i < OPTIONS && (strlen(options[i].key) != len || strncmp(options[i].key, item, len) != 0))
            i++;
        if (i == OPTIONS)
            fail_msg("%.*s", (int)len, item);
    }
    free(manual);
}

static void the_manuals_example_loads(void **state)
{
    char *manual = read_text(MANUAL), *from = strstr(manual, "\n.Sh EXAMPLES\n"), *end;
    struct conf *conf;

    (void)state;
    assert_non_null(from);
    from = strstr(from, "\n.Bd ");
    assert_non_null(from);
    from = strchr(from + 1, '\n') + 1;
    end = strstr(from, "\n.Ed");
    assert_non_null(end);
    end[1] = '\0';
    conf = load_text(from);
    assert_int_equal(conf->vpc_count, 2);
    assert_int_equal(conf->vpcs[1].format->count, 14);
    conf_unref(conf);
    free(manual);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_sample_loads_as_it_is),
        cmocka_unit_test(the_sample_loads_with_every_setting_in_use),
        cmocka_unit_test(the_sample_has_every_option_at_its_default),
        cmocka_unit_test(the_manual_has_every_option_with_its_default),
        cmocka_unit_test(the_manual_names_no_option_that_is_not_there),
        cmocka_unit_test(the_manuals_example_loads),
    };

    return cmocka_run_group_tests(tests, make_credentials, leave_directory);
}
