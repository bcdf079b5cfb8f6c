#include "conf/conf_files.h"

#include "net/terms.h"
#include "vpcflowd/framing.h"

#define TOKEN_0 "correct horse"
#define TOKEN_1 "battery staple"

static struct terms *terms_of(const char *keys, struct error *ret_err)
{
    char text[2048];
    struct conf *conf;
    struct terms *t;

    snprintf(text, sizeof(text), "[listener]\n%s" COLLECTOR VPC, keys);
    write_text("t.conf", text);
    conf = load();
    t = terms_new(conf, ret_err);
    conf_unref(conf); /* the terms have their own */
    return t;
}

static bool knows(const struct terms *t, const char *token)
{
    return terms_know_token(t, token, strlen(token));
}

static void every_token_of_the_file_is_known_and_no_other(void **state)
{
    struct error err = {0};
    struct terms *t;

    (void)state;
    write_text("tokens", TOKEN_0 "\n" TOKEN_1 "\n");
    t = terms_of("token_file = tokens\n", &err);
    assert_non_null(t);
    assert_non_null(t->tokens);
    assert_true(knows(t, TOKEN_0));
    assert_true(knows(t, TOKEN_1));
    assert_false(knows(t, ""));
    assert_false(knows(t, "correct hors"));
    assert_false(knows(t, "correct horse "));
    assert_false(knows(t, "Correct horse"));
    assert_false(knows(t, "orrect horse"));
    /* Zeros fill up what is compared, and must not count as equal. */
    assert_false(terms_know_token(t, TOKEN_0 "\0", sizeof(TOKEN_0)));
    assert_false(terms_know_token(t, "\0", 1));
    terms_unref(t);
}

static void tokens_may_be_as_long_as_a_line_takes(void **state)
{
    char longest[FRAMING_TOKEN_MAX + 2];
    struct error err = {0};
    struct terms *t;

    (void)state;
    memset(longest, 'x', sizeof(longest));
    longest[FRAMING_TOKEN_MAX] = '\0';
    write_text("tokens", longest);
    t = terms_of("token_file = tokens\n", &err);
    assert_non_null(t);
    assert_true(knows(t, longest));
    longest[FRAMING_TOKEN_MAX - 1] = '\0';
    assert_false(knows(t, longest));
    memset(longest, 'x', sizeof(longest));
    assert_false(terms_know_token(t, longest, FRAMING_TOKEN_MAX + 1));
    terms_unref(t);
}

static void without_tokens_none_is_asked_for_and_none_is_known(void **state)
{
    struct error err = {0};
    struct terms *t = terms_of("", &err);

    (void)state;
    assert_non_null(t);
    assert_null(t->tokens);
    assert_null(t->tls);
    assert_false(knows(t, "x"));
    terms_unref(t);
    terms_unref(NULL);
}

/* A token file that gave no tokens must never mean that everybody is let in. */
static void a_snapshot_that_lost_its_tokens_is_refused(void **state)
{
    struct error err = {0};
    struct conf_list none = {0}, tokens;
    struct conf *conf;

    (void)state;
    write_text("tokens", TOKEN_0 "\n");
    write_text("t.conf", "[listener]\ntoken_file = tokens\n" COLLECTOR VPC);
    conf = load();
    tokens = conf->listener_tokens;
    conf->listener_tokens = none;
    assert_null(terms_new(conf, &err));
    assert_non_null(strstr(err.detail, "token_file = tokens: no token is in it"));
    conf->listener_tokens = tokens;
    conf_unref(conf);
}

static void a_certificate_that_cannot_be_used_is_named(void **state)
{
    struct error err = {0};

    (void)state;
    write_text("cert.pem", "no certificate\n");
    write_text("key.pem", "no key\n");
    assert_null(terms_of("tls_certificate = cert.pem\ntls_key = key.pem\n", &err));
    assert_non_null(strstr(err.detail, "[listener] TLS: certificate cert.pem: no PEM certificate is in it"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_token_of_the_file_is_known_and_no_other, enter_directory,
                                        leave_directory),
        cmocka_unit_test_setup_teardown(tokens_may_be_as_long_as_a_line_takes, enter_directory,
                                        leave_directory),
        cmocka_unit_test_setup_teardown(without_tokens_none_is_asked_for_and_none_is_known, enter_directory,
                                        leave_directory),
        cmocka_unit_test_setup_teardown(a_snapshot_that_lost_its_tokens_is_refused, enter_directory,
                                        leave_directory),
        cmocka_unit_test_setup_teardown(a_certificate_that_cannot_be_used_is_named, enter_directory,
                                        leave_directory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
