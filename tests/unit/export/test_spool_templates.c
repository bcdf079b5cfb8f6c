/* Template ids last from one run to the next, while something waits in the spool. */
#include "spool_support.h"

static void append_one(unsigned kind, uint32_t tag)
{
    const struct template_entry *e = entry_number(kind);
    struct messages ms = {0};
    struct error err = {0};

    if (registry_count(registry) > known_templates)
        spool_seal(queue);
    known_templates = registry_count(registry);
    add_data(&ms, e, tag);
    assert_int_equal(append_first(&ms, &err), 0);
    assert_int_equal(spool_commit(queue, &err), 0);
    messages_free(&ms);
}

static struct field_set details(unsigned n)
{
    struct field_set fields = {0};

    field_set_add(&fields, FIELD_VPC_ID);
    if (n & 1)
        field_set_add(&fields, FIELD_SUBNET_ID);
    if (n & 2)
        field_set_add(&fields, FIELD_REGION);
    return fields;
}

static void ids_are_the_same_after_a_restart(void **state)
{
    uint16_t id[6], options_id[4];

    (void)state;
    open_spool();
    for (unsigned i = 0; i < 6; i++)
        id[i] = entry_number(i)->id;
    for (unsigned i = 0; i < 4; i++) {
        struct field_set fields = details(i);

        options_id[i] = options_details_template(registry, &fields)->id;
    }
    append_one(5, 0);
    close_spool();
    open_spool();
    assert_int_equal(registry_count(registry), 6);
    for (unsigned i = 6; i-- > 0;) /* another order */
        assert_int_equal(entry_number(i)->id, id[i]);
    for (unsigned i = 4; i-- > 0;) {
        struct field_set fields = details(i);

        assert_int_equal(options_details_template(registry, &fields)->id, options_id[i]);
    }
    append_one(6, 1); /* one more in this run */
    close_spool();
    open_spool();
    assert_int_equal(registry_count(registry), 7);
    assert_int_equal(read_all(0, true), 2);
}

static void an_empty_spool_begins_with_new_ids(void **state)
{
    (void)state;
    open_spool();
    append_one(1, 0);
    append_one(2, 1);
    assert_int_equal(read_all(0, true), 2);
    close_spool();
    assert_true(size_of(file_path("../templates")) > 0);
    open_spool();
    assert_int_equal(registry_count(registry), 0);
    assert_int_equal(size_of(file_path("../templates")), -1);
}

static void a_torn_last_line_is_no_damage(void **state)
{
    char text[64];
    long size;

    (void)state;
    open_spool();
    append_one(1, 0);
    close_spool();
    size = size_of(file_path("../templates"));
    memset(text, 'x', sizeof(text));
    memcpy(text, "template 257 profile=standard", 29);
    write_at(file_path("../templates"), size, text, sizeof(text));
    open_spool();
    assert_int_equal(size_of(file_path("../templates")), size);
    append_one(2, 1);
    close_spool();
    open_spool();
    assert_int_equal(read_all(0, true), 2);
    assert_int_equal(registry_count(registry), 2);
}

/* What was written before is kept, told, and in nobody's way. */
static void assert_set_aside(const char *why)
{
    open_spool();
    assert_int_equal(count_files(".unreadable-templates"), 1);
    assert_int_equal(count_files(".ipfix"), 0);
    assert_true(spool_is_empty(queue));
    assert_int_equal(read_all(0, true), 0);
    if (count_in_log(why) != 1)
        fail_msg("%s", log_text);
    assert_int_equal(count_in_log("*.ipfix.unreadable-templates: IPFIX files"), 1);
    assert_non_null(strstr(log_text, QUEUE_DIRECTORY));
    assert_int_equal(spool_used(spool), size_of(file_path("00000001.ipfix.unreadable-templates")));
    append_one(3, 0);
    close_spool();
    open_spool();
    assert_int_equal(read_all(0, true), 1);
    assert_int_equal(count_files(".unreadable-templates"), 1);
}

static void another_enterprise_number_sets_the_old_files_aside(void **state)
{
    (void)state;
    open_spool();
    append_one(1, 0);
    close_spool();
    pen = 4242;
    assert_set_aside("has another meaning now");
}

static void a_templates_file_that_is_lost_sets_the_files_aside(void **state)
{
    (void)state;
    open_spool();
    append_one(1, 0);
    close_spool();
    unlink(file_path("../templates"));
    assert_set_aside("cannot read");
}

static void a_changed_line_sets_the_files_aside(void **state)
{
    (void)state;
    open_spool();
    append_one(1, 0);
    close_spool();
    /* Anywhere in the last line. */
    write_at(file_path("../templates"), size_of(file_path("../templates")) - 9, "7", 1);
    assert_set_aside("has another meaning now");
}

static void a_missing_line_sets_the_files_aside(void **state)
{
    char *text, *line;
    long size;
    FILE *f;

    (void)state;
    open_spool();
    append_one(1, 0);
    append_one(2, 1);
    assert_int_equal(read_all(0, false), 2);
    close_spool();
    unlink(segment_path(2));
    size = size_of(file_path("../templates"));
    text = calloc(1, (size_t)size + 1);
    f = fopen(file_path("../templates"), "r");
    assert_int_equal(fread(text, 1, (size_t)size, f), size);
    fclose(f);
    line = strstr(text, "template 256");
    assert_non_null(line);
    f = fopen(file_path("../templates"), "w");
    fwrite(text, 1, (size_t)(line - text), f);
    line = strchr(line, '\n') + 1;
    fputs(line, f);
    fclose(f);
    free(text);
    assert_set_aside("has another meaning now");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(ids_are_the_same_after_a_restart, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_empty_spool_begins_with_new_ids, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_torn_last_line_is_no_damage, set_up, tear_down),
        cmocka_unit_test_setup_teardown(another_enterprise_number_sets_the_old_files_aside, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_templates_file_that_is_lost_sets_the_files_aside, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_changed_line_sets_the_files_aside, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_missing_line_sets_the_files_aside, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
