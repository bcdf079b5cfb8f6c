/* The files that keys name, systemd's credentials, and the tokens in them. */
#include <pwd.h>

#include "conf/conf_files.h"

#define LISTENER COLLECTOR VPC "[listener]\naddress = 127.0.0.1:0\n" /* six lines */
#define TOKENS LISTENER "token_file = tokens\n"

static struct conf *load_tokens(const char *tokens)
{
    write_text("tokens", tokens);
    assert_int_equal(chmod("tokens", 0600), 0);
    return load_text(TOKENS);
}

static void assert_error(const char *conf_text, const char *wanted)
{
    struct conf_error err = {""};

    write_text("t.conf", conf_text);
    assert_null(conf_load("t.conf", &err));
    assert_string_equal(err.text, wanted);
}

static void assert_token_error(const char *tokens, size_t len, const char *wanted)
{
    write_bytes("tokens", tokens, len);
    assert_error(TOKENS, wanted);
}

static void tokens_stand_one_on_a_line(void **state)
{
    struct conf *conf =
        load_tokens("\xef\xbb\xbf# for the Lambda\n\nfirst token\r\n  \t\n  # old\n\tsecond#2 \n"
                    "th\xc3\xaerd");

    (void)state;
    assert_int_equal(conf->listener_tokens.count, 3);
    assert_string_equal(conf->listener_tokens.item[0], "first token");
    assert_string_equal(conf->listener_tokens.item[1], "second#2");
    assert_string_equal(conf->listener_tokens.item[2], "th\xc3\xaerd");
    assert_int_equal(conf->http_keys.count, 0);
    conf_unref(conf);
}

static void access_keys_are_http_s_own(void **state)
{
    struct conf *conf;

    (void)state;
    write_text("keys", "the-key\n");
    assert_int_equal(chmod("keys", 0600), 0);
    conf = load_text(COLLECTOR VPC "[http]\naddress = 127.0.0.1:0\naccess_key_file = keys\n");
    assert_int_equal(conf->http_keys.count, 1);
    assert_string_equal(conf->http_keys.item[0], "the-key");
    assert_int_equal(conf->listener_tokens.count, 0);
    conf_unref(conf);
}

static void a_file_that_is_loaded_again_is_read_again(void **state)
{
    struct conf *before = load_tokens("old\n"), *after = load_tokens("old\nnew\n");

    (void)state;
    assert_int_equal(before->listener_tokens.count, 1);
    assert_int_equal(after->listener_tokens.count, 2);
    conf_unref(before);
    conf_unref(after);
}

static void t_prints_no_token_and_loads_again(void **state)
{
    struct conf *conf = load_tokens("geheim\n");
    char *first = printed(conf), *second;

    (void)state;
    conf_unref(conf);
    assert_null(strstr(first, "geheim"));
    assert_non_null(strstr(first, "\ntoken_file = tokens\n"));
    conf = load_text(first);
    second = printed(conf);
    assert_string_equal(first, second);
    conf_unref(conf);
    free(first);
    free(second);
}

static void the_longest_token_is_taken_and_the_most(void **state)
{
    char *text = calloc(CONF_TOKENS_MAX + 1, CONF_TOKEN_LENGTH_MAX + 2), *p = text;
    struct conf *conf;

    (void)state;
    assert_non_null(text);
    for (int i = 0; i < CONF_TOKENS_MAX; i++)
        p += sprintf(p, "%0*d\n", CONF_TOKEN_LENGTH_MAX, i);
    conf = load_tokens(text);
    assert_int_equal(conf->listener_tokens.count, CONF_TOKENS_MAX);
    assert_int_equal(strlen(conf->listener_tokens.item[0]), CONF_TOKEN_LENGTH_MAX);
    conf_unref(conf);
    strcpy(p, "one more");
    assert_token_error(text, strlen(text),
                       "t.conf:7: [listener] token_file: \"tokens\": line 257: more than 256 tokens");
    memset(text, 'x', CONF_TOKEN_LENGTH_MAX + 1);
    assert_token_error(
        text, CONF_TOKEN_LENGTH_MAX + 1,
        "t.conf:7: [listener] token_file: \"tokens\": line 1 is longer than 512 bytes, the most "
        "that a token may have");
    free(text);
}

static void files_that_hold_no_tokens_say_what_is_wrong(void **state)
{
    static char large[(256 << 10) + 1];

    (void)state;
    assert_token_error(
        "", 0,
        "t.conf:7: [listener] token_file: \"tokens\": holds no token; expected one on a line, as "
        "openssl rand -hex 32 makes them");
    assert_token_error(
        "# all are comments\n\n", 20,
        "t.conf:7: [listener] token_file: \"tokens\": holds no token; expected one on a line, as "
        "openssl rand -hex 32 makes them");
    assert_token_error("good\nsec\x01ret\n", 13,
                       "t.conf:7: [listener] token_file: \"tokens\": line 2 has the control character 0x01; "
                       "expected a token of printable characters");
    assert_token_error("\0\n", 2,
                       "t.conf:7: [listener] token_file: \"tokens\": line 1 has the control character 0x00; "
                       "expected a token of printable characters");
    memset(large, '\n', sizeof(large));
    assert_token_error(large, sizeof(large),
                       "t.conf:7: [listener] token_file: \"tokens\": is larger than 262144 bytes; expected a "
                       "token on each line");
}

static void every_file_that_a_key_names_must_be_one(void **state)
{
    static const struct {
        const char *section, *key, *more;
        unsigned line;
    } keys[] = {
        {"listener", "tls_certificate", "tls_key = tokens\n", 6},
        {"listener", "tls_key", "tls_certificate = tokens\n", 6},
        {"listener", "tls_client_ca", "tls_certificate = tokens\ntls_key = tokens\n", 6},
        {"listener", "token_file", "", 6},
        {"collector \"t\"", "tls_ca", "address = tls://127.0.0.1:1\n", 6},
        {"collector \"t\"", "tls_certificate", "address = tls://127.0.0.1:1\ntls_key = tokens\n", 6},
        {"collector \"t\"", "tls_key", "address = tls://127.0.0.1:1\ntls_certificate = tokens\n", 6},
        {"http", "tls_certificate", "address = 127.0.0.1:0\ntls_key = tokens\n", 6},
        {"http", "tls_key", "address = 127.0.0.1:0\ntls_certificate = tokens\n", 6},
        {"http", "access_key_file", "address = 127.0.0.1:0\n", 6},
    };
    char text[512], wanted[512];

    (void)state;
    write_text("tokens", "x\n");
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        snprintf(text, sizeof(text), COLLECTOR VPC "[%s]\n%s = not-there\n%s", keys[i].section, keys[i].key,
                 keys[i].more);
        snprintf(
            wanted, sizeof(wanted),
            "t.conf:%u: [%s] %s: \"not-there\": No such file or directory; expected the path of a file, or "
            "credential:NAME",
            keys[i].line, keys[i].section, keys[i].key);
        assert_error(text, wanted);
    }
}

static void what_is_no_file_is_refused(void **state)
{
    (void)state;
    assert_error(LISTENER "token_file = vpc.d\n",
                 "t.conf:7: [listener] token_file: \"vpc.d\": is a directory; expected the path of a file");
    assert_int_equal(mkfifo("fifo", 0600), 0);
    assert_error(
        LISTENER "token_file = fifo\n",
        "t.conf:7: [listener] token_file: \"fifo\": is not a regular file; expected the path of a file");
    assert_int_equal(unlink("fifo"), 0);
}

/* As root every file can be read, so the test is somebody else for a moment. */
static void what_the_daemons_user_may_not_read_names_the_user(void **state)
{
    uid_t user = geteuid(), other = user == 0 ? 65534 : user;
    struct passwd *pw = getpwuid(other);
    struct conf_error err = {""};
    struct conf *conf;
    char wanted[512];

    (void)state;
    assert_int_equal(chmod(".", 0755) | chmod("vpc.d", 0755), 0);
    write_text("t.conf", TOKENS);
    write_text("tokens", "x\n");
    assert_int_equal(chmod("tokens", 0), 0);
    assert_int_equal(seteuid(other), 0);
    conf = conf_load("t.conf", &err);
    assert_int_equal(seteuid(user), 0);
    assert_null(conf);
    snprintf(wanted, sizeof(wanted),
             "t.conf:7: [listener] token_file: \"tokens\": Permission denied; the daemon runs as user %s, "
             "who must "
             "be able to read the file and to pass through the directories above it",
             pw->pw_name);
    assert_string_equal(err.text, wanted);
}

static void secrets_that_everybody_can_read_are_warned_of(void **state)
{
    (void)state;
    write_text("tokens", "x\n");
    assert_int_equal(chmod("tokens", 0644), 0);
    assert_warnings(TOKENS,
                    "t.conf:7: [listener] token_file: \"tokens\" can be read by every user of this host; "
                    "forbid it with chmod o-r\n");
    assert_warnings(
        LISTENER "tls_certificate = tokens\ntls_key = tokens\n",
        "t.conf:8: [listener] tls_key: \"tokens\" can be read by every user of this host; forbid it "
        "with chmod o-r\n");
    assert_int_equal(chmod("tokens", 0640), 0);
    assert_warnings(TOKENS, "");
}

static void credentials_are_found_in_their_directory(void **state)
{
    char wanted[128], directory[64];
    struct conf *conf;

    write_text("vpc.d/tokens", "from systemd\n");
    write_text("vpc.d/cert", "x\n");
    assert_int_equal(chmod("vpc.d/tokens", 0400), 0);
    snprintf(directory, sizeof(directory), "%s/vpc.d", (char *)*state);
    assert_int_equal(setenv("CREDENTIALS_DIRECTORY", directory, 1), 0);
    conf = load_text(LISTENER "token_file = credential:tokens\ntls_certificate = credential:cert\n"
                              "tls_key = credential:tokens\n");
    snprintf(wanted, sizeof(wanted), "%s/tokens", directory);
    assert_string_equal(conf->listener.token_file, wanted);
    assert_string_equal(conf->listener.tls_key, wanted);
    snprintf(wanted, sizeof(wanted), "%s/cert", directory);
    assert_string_equal(conf->listener.tls_certificate, wanted);
    assert_string_equal(conf->listener_tokens.item[0], "from systemd");
    conf_unref(conf);
    assert_int_equal(unsetenv("CREDENTIALS_DIRECTORY"), 0);
    assert_int_equal(unlink("vpc.d/tokens") | unlink("vpc.d/cert"), 0);
}

static void credentials_that_are_not_there_say_where_they_come_from(void **state)
{
    (void)state;
    assert_error(
        LISTENER "token_file = credential:tokens\n",
        "t.conf:7: [listener] token_file: \"credential:tokens\": there is no CREDENTIALS_DIRECTORY in the "
        "environment; systemd sets it for a service with LoadCredential=tokens:PATH, elsewhere set it to "
        "the directory where the file is");
    assert_int_equal(setenv("CREDENTIALS_DIRECTORY", "/nowhere", 1), 0);
    assert_error(
        LISTENER "token_file = credential:tokens\n",
        "t.conf:7: [listener] token_file: \"/nowhere/tokens\": No such file or directory; expected the "
        "path of a file, or credential:NAME");
    assert_error(LISTENER "token_file = credential:../etc/shadow\n",
                 "t.conf:7: [listener] token_file: \"credential:../etc/shadow\": expected the name of a "
                 "credential, as credential:tokens");
    assert_error(LISTENER "token_file = credential:\n",
                 "t.conf:7: [listener] token_file: \"credential:\": expected the name of a credential, as "
                 "credential:tokens");
    assert_int_equal(unsetenv("CREDENTIALS_DIRECTORY"), 0);
}

static void whoever_only_converts_files_needs_no_secrets(void **state)
{
    struct conf_error err = {""};
    struct conf *conf;

    (void)state;
    write_text("t.conf", LISTENER "token_file = credential:tokens\ntls_certificate = not-there\n"
                                  "tls_key = not-there\n");
    conf = conf_load_to_read("t.conf", &err);
    if (conf == NULL)
        fail_msg("%s", err.text);
    assert_int_equal(conf->listener_tokens.count, 0);
    conf_unref(conf);
    write_text("t.conf", "[collector \"t\"]\naddress = tls://127.0.0.1:1\ntls_ca = not-there\n" VPC);
    assert_null(conf_load_to_read("t.conf", &err));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tokens_stand_one_on_a_line),
        cmocka_unit_test(access_keys_are_http_s_own),
        cmocka_unit_test(a_file_that_is_loaded_again_is_read_again),
        cmocka_unit_test(t_prints_no_token_and_loads_again),
        cmocka_unit_test(the_longest_token_is_taken_and_the_most),
        cmocka_unit_test(files_that_hold_no_tokens_say_what_is_wrong),
        cmocka_unit_test(every_file_that_a_key_names_must_be_one),
        cmocka_unit_test(what_is_no_file_is_refused),
        cmocka_unit_test(what_the_daemons_user_may_not_read_names_the_user),
        cmocka_unit_test(secrets_that_everybody_can_read_are_warned_of),
        cmocka_unit_test(credentials_are_found_in_their_directory),
        cmocka_unit_test(credentials_that_are_not_there_say_where_they_come_from),
        cmocka_unit_test(whoever_only_converts_files_needs_no_secrets),
    };

    unsetenv("CREDENTIALS_DIRECTORY");
    return cmocka_run_group_tests(tests, enter_directory, leave_directory);
}
