#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "vpcflowd/format.h"

static const char default_text[] =
    "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets "
    "bytes start end action log-status";

static struct format parse(const char *text)
{
    struct error err = {ERROR_NONE, "untouched"};
    struct format f;

    if (format_parse(slice_str(text), &f, &err) != 0)
        fail_msg("%s: %s", text, err.detail);
    assert_string_equal(err.detail, "untouched");
    return f;
}

static void check_error(const char *text, const char *detail)
{
    struct format f = {.count = 77};
    struct error err = {ERROR_NONE, ""};

    assert_int_equal(format_parse(slice_str(text), &f, &err), -1);
    assert_int_equal(err.kind, ERROR_MALFORMED);
    assert_string_equal(err.detail, detail);
    assert_int_equal(f.count, 77);
}

static void default_is_version_2s_fourteen_fields(void **state)
{
    struct format f = parse(default_text);
    const struct format *d = format_default();

    (void)state;
    assert_int_equal(d->count, 14);
    assert_memory_equal(d->field, f.field, 14);
    assert_true(field_set_eq(&d->has, &f.has));
    assert_int_equal(d->unknown, 0);
    assert_true(d->is_default_v2);
    assert_true(f.is_default_v2);
}

static void console_and_plain_and_comma_spellings_are_the_same(void **state)
{
    static const char *const texts[] = {
        "${interface-id} ${srcaddr} ${tcp-flags}",
        "interface-id srcaddr tcp-flags",
        "interface-id,srcaddr,tcp-flags",
        " interface-id,\t${srcaddr}\r\n , tcp-flags \n",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct format f = parse(texts[i]);

        assert_int_equal(f.count, 3);
        assert_int_equal(f.field[0], FIELD_INTERFACE_ID);
        assert_int_equal(f.field[1], FIELD_SRCADDR);
        assert_int_equal(f.field[2], FIELD_TCP_FLAGS);
        assert_true(field_set_has(&f.has, FIELD_SRCADDR));
        assert_false(field_set_has(&f.has, FIELD_DSTADDR));
        assert_false(f.is_default_v2);
    }
}

static void every_field_of_the_table_is_known(void **state)
{
    char text[FIELD_COUNT * 40] = "";
    struct format f;

    (void)state;
    for (unsigned i = FIELD_COUNT; i-- > 0;)
        snprintf(text + strlen(text), 48, "${%s} ", field_table[i].name);
    f = parse(text);
    assert_int_equal(f.count, FIELD_COUNT);
    assert_int_equal(f.unknown, 0);
    for (unsigned i = 0; i < FIELD_COUNT; i++) {
        assert_int_equal(f.field[i], FIELD_COUNT - 1 - i);
        assert_true(field_set_has(&f.has, i));
    }
}

static void other_orders_of_the_fourteen_are_not_the_default(void **state)
{
    (void)state;
    assert_false(parse("account-id version interface-id srcaddr dstaddr srcport dstport protocol packets "
                       "bytes start end "
                       "action log-status")
                     .is_default_v2);
    assert_false(parse("version account-id interface-id srcaddr dstaddr srcport dstport protocol packets "
                       "bytes start end "
                       "action")
                     .is_default_v2);
    assert_false(parse("version account-id interface-id srcaddr dstaddr srcport dstport protocol packets "
                       "bytes start end "
                       "action log-status vpc-id")
                     .is_default_v2);
}

static void unknown_names_are_kept_and_counted(void **state)
{
    struct format f = parse("${brand-new} ${srcaddr} other");

    (void)state;
    assert_int_equal(f.count, 3);
    assert_int_equal(f.unknown, 2);
    assert_int_equal(f.field[0], FIELD_UNKNOWN);
    assert_int_equal(f.field[1], FIELD_SRCADDR);
    assert_int_equal(f.field[2], FIELD_UNKNOWN);
}

static void unknown_names_can_be_listed(void **state)
{
    struct slice text = slice_str("${brand-new} ${srcaddr},other ${interface-tag} last"), name;

    (void)state;
    assert_true(format_next_unknown(&text, &name));
    assert_true(slice_is(name, "brand-new"));
    assert_true(format_next_unknown(&text, &name));
    assert_true(slice_is(name, "other"));
    assert_true(format_next_unknown(&text, &name));
    assert_true(slice_is(name, "last"));
    assert_false(format_next_unknown(&text, &name));
}

static void percent_encoded_fields_are_known_beforehand(void **state)
{
    (void)state;
    assert_false(format_default()->has_tags);
    assert_false(parse("srcaddr instance-id").has_tags);
    assert_true(parse("srcaddr instance-tag").has_tags);
    assert_true(parse("asg-tag-2").has_tags);
}

static void errors_name_the_word(void **state)
{
    (void)state;
    check_error("", "format: no field");
    check_error(" , ", "format: no field");
    check_error("srcaddr dstaddr ${srcaddr}", "format: \"srcaddr\" stands twice");
    check_error("srcaddr new new", "format: \"new\" stands twice");
    check_error("${srcaddr", "format: \"${srcaddr\" is neither ${name} nor a name of a field");
    check_error("srcaddr ${}", "format: \"${}\" is neither ${name} nor a name of a field");
    check_error("${srcaddr}${dstaddr}",
                "format: \"${srcaddr}${dstaddr}\" is neither ${name} nor a name of a field");
    check_error("srcadr dstadr", "format: \"srcadr\" is not a field, and no other word is");
    check_error("srcaddr \"x", "format: \"\"x\" is neither ${name} nor a name of a field");
}

static void too_many_fields_are_an_error(void **state)
{
    char text[(FORMAT_FIELDS_MAX + 1) * 8] = "srcaddr";

    (void)state;
    for (unsigned i = 1; i < FORMAT_FIELDS_MAX; i++)
        snprintf(text + strlen(text), 8, " n%u", i);
    assert_int_equal(parse(text).count, FORMAT_FIELDS_MAX);
    strcat(text, " last");
    check_error(text, "format: \"last\" is one field too many, the limit is 128");
}

static bool is_header(const char *line)
{
    return format_is_header(slice_str(line));
}

static void headers_are_told_from_records(void **state)
{
    (void)state;
    assert_true(is_header(default_text));
    assert_true(is_header("account-id bytes dstaddr"));
    assert_true(is_header("srcaddr"));
    assert_true(is_header("instance-tag-2 srcaddr\r"));
    assert_true(is_header("  version   brand-new") == false);
    assert_false(is_header(""));
    assert_false(is_header("2 123456789012 eni-1 - -"));
    assert_false(is_header("- eni-1235b8ca123456789 10.0.1.5"));
    assert_false(is_header("eni-abcdef version"));
    assert_false(is_header("version 123456789012"));
    assert_false(is_header("bogus line"));
    assert_false(is_header("versions srcaddr"));
    assert_false(is_header("VERSION ACCOUNT-ID"));
    assert_true(is_header("brand-new newer srcaddr dstaddr"));
    assert_true(is_header("version brand-new srcaddr"));
    assert_false(is_header("brand-new newer newest srcaddr dstaddr"));
    assert_false(is_header("ingress egress 10.0.0.1 start end"));
    assert_true(is_header("srcaddr dstaddr X_1 Y_2 Z_3"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(default_is_version_2s_fourteen_fields),
        cmocka_unit_test(console_and_plain_and_comma_spellings_are_the_same),
        cmocka_unit_test(every_field_of_the_table_is_known),
        cmocka_unit_test(other_orders_of_the_fourteen_are_not_the_default),
        cmocka_unit_test(unknown_names_are_kept_and_counted),
        cmocka_unit_test(unknown_names_can_be_listed),
        cmocka_unit_test(percent_encoded_fields_are_known_beforehand),
        cmocka_unit_test(errors_name_the_word),
        cmocka_unit_test(too_many_fields_are_an_error),
        cmocka_unit_test(headers_are_told_from_records),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
