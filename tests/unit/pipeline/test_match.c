/* Which [vpc] a record belongs to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "pipeline/match.h"

static char *interfaces[] = {(char *)"eni-1*", (char *)"eni-9"};
static struct conf_vpc vpcs[] = {
    {.name = (char *)"by-interface", .log_group = (char *)"/g", .interface = {interfaces, 2}},
    {.name = (char *)"by-account", .account = (char *)"1111*"},
    {.name = (char *)"by-group", .log_group = (char *)"/g*"},
    {.name = (char *)"by-vpc", .vpc_id = (char *)"vpc-7"},
};
static struct conf conf = {.refs = 1, .vpcs = vpcs, .vpc_count = 4};
static struct match match;

static void begin(const char *group, const char *owner)
{
    struct document doc = {.log_group = slice_str(group), .owner = slice_str(owner)};

    assert_int_equal(match_document(&match, &conf, &doc), 0);
}

static uint32_t take(const char *account, const char *interface, const char *vpc_id)
{
    struct flow flow = {0};

    if (account != NULL) {
        field_set_add(&flow.present, FIELD_ACCOUNT_ID);
        flow.m.ACCOUNT_ID = slice_str(account);
    }
    if (interface != NULL) {
        field_set_add(&flow.present, FIELD_INTERFACE_ID);
        flow.m.INTERFACE_ID = slice_str(interface);
    }
    if (vpc_id != NULL) {
        field_set_add(&flow.present, FIELD_VPC_ID);
        flow.m.VPC_ID = slice_str(vpc_id);
    }
    return match_flow(&match, &flow);
}

static void all_given_keys_must_match_and_the_first_vpc_wins(void **state)
{
    (void)state;
    begin("/g", "2222");
    assert_int_equal(take("2222", "eni-12", NULL), 0);
    assert_int_equal(take("2222", "eni-9", NULL), 0);
    assert_int_equal(take("1111", "eni-2", NULL), 1);
    assert_int_equal(take("2222", "eni-2", NULL), 2);
    begin("/g2", "2222");
    assert_int_equal(take("2222", "eni-12", NULL), 2);
}

static void records_without_an_account_belong_to_the_log_groups(void **state)
{
    (void)state;
    begin("/x", "11112222");
    assert_int_equal(take(NULL, "eni-2", NULL), 1);
    assert_int_equal(take("2222", "eni-2", NULL), MATCH_NONE);
}

static void a_vpc_id_matches_only_records_that_have_one(void **state)
{
    (void)state;
    begin("/x", "");
    assert_int_equal(take("2222", "eni-2", NULL), MATCH_NONE);
    assert_int_equal(take("2222", "eni-2", "vpc-7"), 3);
}

static void text_without_a_log_group_matches_no_log_group(void **state)
{
    (void)state;
    begin("", "");
    assert_int_equal(take("2222", "eni-12", NULL), MATCH_NONE);
    assert_int_equal(take("1111", "eni-12", NULL), 1);
}

static void alternating_records_are_told_apart(void **state)
{
    (void)state;
    begin("/g", "");
    for (int i = 0; i < 10; i++) {
        assert_int_equal(take("2222", "eni-12", NULL), 0);
        assert_int_equal(take("2222", "eni-2", NULL), 2);
    }
}

static struct format format_a = {.count = 1}, format_b = {.count = 2}, format_c = {.count = 3};
static struct conf_vpc several[] = {
    {.name = (char *)"gateway", .tgw = (char *)"tgw-1*", .account = (char *)"1111", .format = &format_a},
    {.name = (char *)"subnet", .subnet = (char *)"subnet-1", .log_group = (char *)"/s*", .format = &format_b},
    {.name = (char *)"whole", .log_group = (char *)"/s1", .format = &format_c},
    {.name = (char *)"default", .is_default = true},
};
static struct conf several_conf = {.refs = 1, .vpcs = several, .vpc_count = 4};

static uint32_t take_text(enum field_id id, const char *value)
{
    struct flow flow = {0};

    if (value != NULL) {
        field_set_add(&flow.present, id);
        *(struct slice *)(void *)((char *)&flow + field_table[id].offset) = slice_str(value);
    }
    return match_flow(&match, &flow);
}

static const struct format *begin_several(const char *group, const char *owner)
{
    struct document doc = {.log_group = slice_str(group), .owner = slice_str(owner)};

    assert_int_equal(match_document(&match, &several_conf, &doc), 0);
    return match_format(&match);
}

static void subnets_and_transit_gateways_choose_too(void **state)
{
    (void)state;
    begin_several("/x", "1111");
    assert_int_equal(take_text(FIELD_TGW_ID, "tgw-12"), 0);
    assert_int_equal(take_text(FIELD_TGW_ID, "tgw-2"), 3);
    assert_int_equal(take_text(FIELD_TGW_ID, NULL), 3);
    begin_several("/s2", "2222");
    assert_int_equal(take_text(FIELD_SUBNET_ID, "subnet-1"), 1);
    assert_int_equal(take_text(FIELD_SUBNET_ID, "subnet-12"), 3);
    assert_int_equal(take_text(FIELD_SUBNET_ID, NULL), 3);
    begin_several("/s1", "2222");
    assert_int_equal(take_text(FIELD_SUBNET_ID, "subnet-2"), 2);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(take_text(FIELD_SUBNET_ID, "subnet-1"), 1);
        assert_int_equal(take_text(FIELD_SUBNET_ID, "subnet-2"), 2);
    }
}

static void a_record_that_no_key_is_asked_of_is_not_looked_at(void **state)
{
    (void)state;
    begin_several("", "");
    assert_false(match.fixed);
    assert_int_equal(match.key_count, 2);
    begin("/g", "");
    assert_int_equal(match.key_count, 2);
    several_conf.vpcs = several + 2;
    several_conf.vpc_count = 2;
    begin_several("/s1", "");
    assert_true(match.fixed);
    assert_int_equal(match.count, 1);
    begin_several("/other", "");
    assert_true(match.fixed);
    assert_int_equal(take_text(FIELD_TGW_ID, "tgw-1"), 1);
    several_conf.vpcs = several;
    several_conf.vpc_count = 4;
}

static void the_format_is_that_of_the_log_group_and_its_account(void **state)
{
    (void)state;
    assert_ptr_equal(begin_several("/x", "1111"), &format_a);
    assert_ptr_equal(begin_several("/x", "2222"), format_default());
    assert_ptr_equal(begin_several("/s2", "2222"), &format_b);
    assert_ptr_equal(begin_several("/s1", "2222"), &format_b);
    assert_ptr_equal(begin_several("/s1", "1111"), &format_a);
    /* An account that nobody tells excludes nothing. */
    assert_ptr_equal(begin_several("", ""), &format_a);
    several_conf.vpc_count = 1;
    assert_ptr_equal(begin_several("/x", "2222"), &format_a);
    several_conf.vpc_count = 4;
}

static int teardown(void **state)
{
    (void)state;
    match_free(&match);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_given_keys_must_match_and_the_first_vpc_wins),
        cmocka_unit_test(records_without_an_account_belong_to_the_log_groups),
        cmocka_unit_test(a_vpc_id_matches_only_records_that_have_one),
        cmocka_unit_test(text_without_a_log_group_matches_no_log_group),
        cmocka_unit_test(alternating_records_are_told_apart),
        cmocka_unit_test(subnets_and_transit_gateways_choose_too),
        cmocka_unit_test(a_record_that_no_key_is_asked_of_is_not_looked_at),
        cmocka_unit_test(the_format_is_that_of_the_log_group_and_its_account),
    };

    return cmocka_run_group_tests(tests, NULL, teardown);
}
