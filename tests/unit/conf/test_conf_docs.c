/* The sample files and the manual page say of every option what conf_options.def says, and of no other. */
#include "conf/conf_files.h"

#define SAMPLE SOURCE_DIR "/conf/vpcflowd.conf"
#define SAMPLE_VPC SOURCE_DIR "/conf/vpc.d/example.conf"
#define MANUAL SOURCE_DIR "/docs/vpcflowd.conf.5"

static const struct {
    const char *section, *key, *type, *fallback;
} options[] = {
#define OPTION(section, key, type, member, fallback, ...) {#section, #key, #type, fallback},
#include "vpcflowd/conf_options.def"
#undef OPTION
};

#define OPTIONS (sizeof(options) / sizeof(options[0]))

static bool is_later(size_t i)
{
    return strcmp(options[i].type, "LATER") == 0;
}

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

/* From the first "[section" on a line of its own to the next, without comments; empty if there is none. */
static char *section_of(const char *text, const char *section)
{
    char start[64];
    const char *from, *end;

    snprintf(start, sizeof(start), "\n[%s", section);
    from = strstr(text, start);
    if (from == NULL)
        return strdup("");
    end = strstr(from + 1, "\n[");
    return end == NULL ? strdup(from) : strndup(from, (size_t)(end - from) + 1);
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
    assert_int_equal(conf->collector_count, 2);
    assert_string_equal(conf->collectors[1].name, "archive");
    assert_int_equal(conf->collectors[1].transport, TRANSPORT_FILE);
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
        if ((strstr(section, wanted) != NULL) == is_later(i))
            fail_msg("[%s] %s: %s", options[i].section, options[i].key,
                     is_later(i) ? "is in the sample and not supported" : wanted);
        free(section);
    }
    free(sample);
    free(vpc);
}

/* The manual's part on one section, up to the next such part. */
static char *manual_section(const char *manual, const char *section)
{
    static const char *const headings[][2] = {{"daemon", "\n.Ss The daemon section\n"},
                                              {"listener", "\n.Ss The listener section\n"},
                                              {"collector", "\n.Ss Collector sections\n"},
                                              {"vpc", "\n.Ss VPC sections\n"}};

    for (size_t i = 0; i < sizeof(headings) / sizeof(headings[0]); i++) {
        const char *from, *end;

        if (strcmp(headings[i][0], section) != 0)
            continue;
        from = strstr(manual, headings[i][1]);
        assert_non_null(from);
        end = strstr(from + 1, "\n.Ss ");
        return end == NULL ? strdup(from) : strndup(from, (size_t)(end - from));
    }
    return strdup(""); /* sections of later versions */
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
        if ((item != NULL) == is_later(i))
            fail_msg("[%s] %s: %s", options[i].section, options[i].key,
                     is_later(i) ? "is in the manual and not supported" : "is not in the manual");
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

    return cmocka_run_group_tests(tests, enter_directory, leave_directory);
}
