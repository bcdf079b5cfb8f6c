/* How a file may be written: comments, long lines, lines that go on, and what inih would make of them alone.
 */
#include "conf/conf_files.h"

static void a_comment_begins_a_line_or_follows_a_space(void **state)
{
    struct conf *conf =
        load_text("# a\n  # b\n; c\n  ; d = e\n[collector \"c\"] # f\naddress = 127.0.0.1:4739 # g\n"
                  "[vpc \"v\"]\nlog_group = /aws/a#1\t# h\nexporter_ip=127.0.0.2\n");

    (void)state;
    assert_string_equal(conf->vpcs[0].log_group, "/aws/a#1");
    conf_unref(conf);
}

static void a_semicolon_is_part_of_a_value(void **state)
{
    struct conf *conf =
        load_text(COLLECTOR "[vpc \"v\"]\nlog_group = a ;b; c=d: [e]\nexporter_ip = 127.0.0.2\n");

    (void)state;
    assert_string_equal(conf->vpcs[0].log_group, "a ;b; c=d: [e]");
    conf_unref(conf);
}

static void byte_order_mark_and_carriage_returns_are_passed_over(void **state)
{
    struct conf *conf = load_text("\xef\xbb\xbf[collector \"c\"]\r\naddress = 127.0.0.1:4739\r\n\r\n"
                                  "[vpc \"v\"]\r\nlog_group = g\r\nexporter_ip = 127.0.0.2");

    (void)state;
    assert_string_equal(conf->vpcs[0].log_group, "g");
    assert_string_equal(conf->vpcs[0].exporter_ip.text, "127.0.0.2");
    conf_unref(conf);
}

static void indented_keys_and_sections_are_keys_and_sections(void **state)
{
    struct conf *conf = load_text("  [collector \"c\"]\n    address = 127.0.0.1:4739\n  [vpc \"v\"]\n"
                                  "    interface = eni-1\n    exporter_ip = 127.0.0.2\n\tlog_group=g\n");

    (void)state;
    assert_int_equal(conf->vpcs[0].interface.count, 1);
    assert_string_equal(conf->vpcs[0].log_group, "g");
    conf_unref(conf);
}

static void lists_and_formats_go_on_over_indented_lines(void **state)
{
    struct conf *conf =
        load_text(COLLECTOR "[vpc \"v\"]\ninterface = eni-1,\n    eni-2, # the second\n\n# between\n"
                            "  # and here\n    eni-3\nformat =\n  ${version}\n  ${start} ${end}\n"
                            "exporter_ip = 127.0.0.2\n");
    const struct conf_vpc *v = &conf->vpcs[0];

    (void)state;
    assert_int_equal(v->interface.count, 3);
    assert_string_equal(v->interface.item[2], "eni-3");
    assert_int_equal(v->format->count, 3);
    assert_string_equal(v->format_text, "${version} ${start} ${end}");
    conf_unref(conf);
}

static void lines_after_a_value_that_goes_on_keep_their_numbers(void **state)
{
    struct conf_error err = {""};

    (void)state;
    write_text("t.conf", COLLECTOR "[vpc \"v\"]\ninterface = eni-1,\n  eni-2\n\nacount = 1\n");
    assert_null(conf_load("t.conf", &err));
    assert_string_equal(err.text, "t.conf:7: [vpc \"v\"] acount: unknown key; did you mean account?");
    write_text("t.conf", COLLECTOR "[vpc \"v\"]\n\ninterface = eni-1,\n  eni-2,\n\n");
    assert_null(conf_load("t.conf", &err));
    assert_string_equal(err.text,
                        "t.conf:5: [vpc \"v\"] interface: nothing between two commas, or after the last; "
                        "expected A, B");
}

static void a_format_with_every_field_fits_on_one_line(void **state)
{
    static const char head[] = COLLECTOR "[vpc \"v\"]\nlog_group = g\nexporter_ip = 127.0.0.2\nformat =";
    char *text = calloc(1, 8192), *wanted;
    struct conf *conf;

    (void)state;
    assert_non_null(text);
    strcpy(text, head);
    for (int i = 0; i < FIELD_COUNT; i++)
        sprintf(text + strlen(text), " ${%s}", field_table[i].name);
    wanted = text + sizeof(head);
    conf = load_text(text);
    assert_int_equal(conf->vpcs[0].format->count, FIELD_COUNT);
    assert_int_equal(conf->vpcs[0].format->unknown, 0);
    for (int i = 0; i < FIELD_COUNT; i++)
        assert_int_equal(conf->vpcs[0].format->field[i], i);
    assert_string_equal(conf->vpcs[0].format_text, wanted);
    conf_unref(conf);
    free(text);
}

/* Wherever the pieces that inih is given happen to be cut, the value arrives as it was written. */
static void a_value_of_any_length_arrives_whole(void **state)
{
    static const char *const patterns[] = {"a", "a b", "a  ;", "[=", "a#;:", "  x", "a          "};
    char value[700], text[1024];

    (void)state;
    for (size_t p = 0; p < sizeof(patterns) / sizeof(patterns[0]); p++) {
        for (size_t len = 1; len < sizeof(value) - 1; len++) {
            struct conf *conf;

            for (size_t i = 0; i < len; i++)
                value[i] = patterns[p][i % strlen(patterns[p])];
            value[0] = '/';
            value[len - 1] = '.';
            value[len] = '\0';
            snprintf(text, sizeof(text), COLLECTOR "[vpc \"v\"]\nlog_group = %s\nexporter_ip = 127.0.0.2\n",
                     value);
            conf = load_text(text);
            assert_string_equal(conf->vpcs[0].log_group, value);
            conf_unref(conf);
        }
    }
}

static void the_longest_line_is_taken(void **state)
{
    char *text = malloc(70000);
    struct conf *conf;
    size_t n;

    (void)state;
    assert_non_null(text);
    strcpy(text, COLLECTOR "[vpc \"v\"]\nexporter_ip = 127.0.0.2\nlog_group = ");
    n = strlen(text);
    memset(text + n, 'x', 65536 - strlen("log_group = "));
    text[n + 65536 - strlen("log_group = ")] = '\0';
    conf = load_text(text);
    assert_int_equal(strlen(conf->vpcs[0].log_group), 65536 - strlen("log_group = "));
    conf_unref(conf);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_comment_begins_a_line_or_follows_a_space),
        cmocka_unit_test(a_semicolon_is_part_of_a_value),
        cmocka_unit_test(byte_order_mark_and_carriage_returns_are_passed_over),
        cmocka_unit_test(indented_keys_and_sections_are_keys_and_sections),
        cmocka_unit_test(lists_and_formats_go_on_over_indented_lines),
        cmocka_unit_test(lines_after_a_value_that_goes_on_keep_their_numbers),
        cmocka_unit_test(a_format_with_every_field_fits_on_one_line),
        cmocka_unit_test(a_value_of_any_length_arrives_whole),
        cmocka_unit_test(the_longest_line_is_taken),
    };

    return cmocka_run_group_tests(tests, enter_directory, leave_directory);
}
