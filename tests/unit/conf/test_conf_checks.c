/* What does not go together in one section, or in two, and what is only warned of. */
#include "conf/conf_files.h"

static void assert_mistake(const char *text, const char *wanted)
{
    struct conf_error err = {""};

    write_text("t.conf", text);
    if (conf_load("t.conf", &err) != NULL)
        fail_msg("loaded:\n%s", text);
    assert_string_equal(err.text, wanted);
}

static int enter(void **state)
{
    if (enter_directory(state) < 0)
        return -1;
    write_text("cert.pem", "-----BEGIN CERTIFICATE-----\n");
    write_text("key.pem", "-----BEGIN PRIVATE KEY-----\n");
    write_text("tokens", "one\n");
    return chmod("key.pem", 0600) < 0 || chmod("tokens", 0640) < 0 ? -1 : 0;
}

#define BASE COLLECTOR VPC /* four lines */
#define TLS "tls_certificate = cert.pem\ntls_key = key.pem\n"

static void a_certificate_and_its_key_need_each_other(void **state)
{
    (void)state;
    assert_mistake(
        BASE "[listener]\ntls_certificate = cert.pem\n",
        "t.conf:6: [listener] tls_certificate: needs tls_key; set it as well (both may name the same "
        "file), or remove this line");
    assert_mistake(BASE "[http]\naddress = 127.0.0.1:0\ntls_key = key.pem\n",
                   "t.conf:7: [http] tls_key: needs tls_certificate; set it as well (both may name the same "
                   "file), or remove this line");
    assert_mistake(
        "[collector \"t\"]\naddress = tls://127.0.0.1:1\ntls_key = key.pem\n" VPC,
        "t.conf:3: [collector \"t\"] tls_key: needs tls_certificate; set it as well (both may name the "
        "same file), or remove this line");
    conf_unref(load_text(BASE "[listener]\n" TLS "tls_client_ca = cert.pem\n"));
}

static void to_ask_clients_for_certificates_takes_one_of_ones_own(void **state)
{
    (void)state;
    assert_mistake(
        BASE "[listener]\ntls_client_ca = cert.pem\n",
        "t.conf:6: [listener] tls_client_ca: needs TLS; set tls_certificate and tls_key as well, or "
        "remove this line");
}

static void tls_keys_are_for_tls_collectors(void **state)
{
    (void)state;
    assert_mistake(
        "[collector \"t\"]\naddress = tcp://127.0.0.1:1\ntls_ca = cert.pem\n" VPC,
        "t.conf:3: [collector \"t\"] tls_ca: is for transport = tls, and this collector's is tcp; set "
        "transport = tls, or remove this line");
    assert_mistake(
        "[collector \"t\"]\ntls_name = c.example.com\naddress = 127.0.0.1:1\n" VPC,
        "t.conf:2: [collector \"t\"] tls_name: is for transport = tls, and this collector's is udp; set "
        "transport = tls, or remove this line");
    assert_mistake(
        "[collector \"t\"]\ntls_name = c.example.com/x\naddress = tls://127.0.0.1:1\n" VPC,
        "t.conf:2: [collector \"t\"] tls_name: \"c.example.com/x\": expected a host name or an address, "
        "as collector.example.com");
    conf_unref(load_text("[collector \"t\"]\naddress = 127.0.0.1:1\ntransport = tls\ntls_ca = cert.pem\n"
                         "tls_name = c.example.com\n" TLS VPC));
}

static void keys_without_what_makes_them_work_are_mistakes(void **state)
{
    (void)state;
    assert_mistake(BASE "[spool]\nlimit = 1G\n",
                   "t.conf:6: [spool] limit: has no effect without directory; set "
                   "directory as well, or remove this line");
    assert_mistake(BASE "[rejects]\nlimit = 1G\n",
                   "t.conf:6: [rejects] limit: has no effect without directory; "
                   "set directory as well, or remove this line");
    assert_mistake(BASE "[http]\n" TLS,
                   "t.conf:6: [http] tls_certificate: has no effect without address; set "
                   "address as well, or remove this line");
    assert_mistake(BASE "[http]\naccess_key_file = tokens\n",
                   "t.conf:6: [http] access_key_file: has no effect without address; set address as well, or "
                   "remove this line");
    conf_unref(load_text(BASE "[spool]\n[rejects]\n[http]\n[admin]\n"));
}

static void places_to_listen_on_are_apart(void **state)
{
    (void)state;
    assert_mistake(
        BASE "[listener]\naddress = 127.0.0.1:7\n[http]\naddress = 127.0.0.1:7\n",
        "t.conf:8: [http] address: 127.0.0.1:7 is taken by [listener] address = 127.0.0.1:7; give each "
        "its own port");
    assert_mistake(
        BASE "[admin]\naddress = 127.0.0.1:20555\n",
        "t.conf:6: [admin] address: 127.0.0.1:20555 is taken by [listener] address = 0.0.0.0:20555; give "
        "each its own port");
    assert_mistake(
        BASE "[admin]\naddress = 127.0.0.1:7\n[http]\naddress = [::]:7\n",
        "t.conf:6: [admin] address: 127.0.0.1:7 is taken by [http] address = [::]:7; give each its own "
        "port");
    conf_unref(load_text(BASE "[listener]\naddress = 0.0.0.0:7\n[http]\naddress = [::1]:7\n"
                              "[admin]\naddress = 127.0.0.1:8\n"));
    conf_unref(load_text(BASE "[listener]\naddress = 127.0.0.1:0\n[http]\naddress = 127.0.0.1:0\n"
                              "[admin]\naddress = 127.0.0.1:0\n"));
}

static void directories_may_be_there_or_not_but_are_directories(void **state)
{
    (void)state;
    assert_mistake(
        BASE "[spool]\ndirectory = tokens\n",
        "t.conf:6: [spool] directory: \"tokens\": is not a directory, or lies in something that is "
        "none; expected one, or a path where one can be made");
    assert_mistake(
        BASE "[rejects]\ndirectory = tokens/rejects\n",
        "t.conf:6: [rejects] directory: \"tokens/rejects\": is not a directory, or lies in something "
        "that is none; expected one, or a path where one can be made");
    conf_unref(load_text(BASE "[spool]\ndirectory = vpc.d\nlimit = 1M\n[rejects]\ndirectory = new\n"));
    assert_int_equal(access("new", F_OK), -1); /* to look is not to make */
}

static void spool_and_rejects_have_a_directory_each(void **state)
{
    (void)state;
    assert_mistake(
        BASE "[spool]\ndirectory = new\n[rejects]\ndirectory = new//\n",
        "t.conf:8: [rejects] directory: \"new//\": is the directory of [spool] too; give each its own");
    assert_mistake(
        BASE "[spool]\ndirectory = vpc.d\n[rejects]\ndirectory = ./vpc.d/../vpc.d\n",
        "t.conf:8: [rejects] directory: \"./vpc.d/../vpc.d\": is the directory of [spool] too; give "
        "each its own");
}

#define CLEAR(place, address)                                                                                \
    place ": travels in clear text to " address                                                              \
          "; set tls_certificate and tls_key, unless something in front of the daemon takes TLS off "        \
          "and the way from there is safe\n"

static void secrets_in_clear_text_are_warned_of(void **state)
{
    (void)state;
    assert_warnings(BASE "[listener]\ntoken_file = tokens\n",
                    CLEAR("t.conf:6: [listener] token_file", "0.0.0.0:20555"));
    assert_warnings(BASE "[http]\naddress = [::]:80\naccess_key_file = tokens\n",
                    CLEAR("t.conf:7: [http] access_key_file", "[::]:80"));
    assert_warnings(BASE "[listener]\ntoken_file = tokens\n" TLS, "");
    assert_warnings(BASE "[listener]\naddress = 127.3.2.1:20555\ntoken_file = tokens\n", "");
    assert_warnings(BASE "[listener]\naddress = [::1]:20555\ntoken_file = tokens\n", "");
    assert_warnings(BASE "[listener]\naddress = [::ffff:127.0.0.1]:20555\ntoken_file = tokens\n", "");
}

static void an_admin_address_that_others_reach_is_warned_of(void **state)
{
    (void)state;
    assert_warnings(
        BASE "[admin]\naddress = 0.0.0.0:9465\n",
        "t.conf:6: [admin] address: 0.0.0.0:9465 can be reached from other hosts, and asks nobody who "
        "they are; take a loopback address, as 127.0.0.1:9465, or let the firewall decide who may "
        "connect\n");
    assert_warnings(BASE "[admin]\naddress = 127.0.0.1:9465\n", "");
}

static void what_t_prints_of_everything_loads_again_as_the_same(void **state)
{
    static const char text[] =
        "[listener]\nallow = 10.0.0.0/8, ::1\nproxy_from = 192.0.2.1\ntoken_file = tokens\n" TLS
        "tls_client_ca = cert.pem\nbusy_timeout = 0ms\nduplicate_window = 0s\nhandshake_timeout = 3s\n"
        "max_connections_per_address = 9\n"
        "[collector \"t\"]\naddress = tls://127.0.0.1:1\ntls_ca = cert.pem\ntls_name = c.example.com\n" TLS
        "replay_window = 0\n[collector \"u\"]\naddress = tcp://127.0.0.1:2\n" VPC
        "[spool]\ndirectory = spool\nlimit = 2G\n[rejects]\ndirectory = rejects\n"
        "[http]\naddress = 127.0.0.1:8443\naccess_key_file = tokens\n" TLS "[admin]\naddress = 0.0.0.0:1\n";
    struct conf *conf = load_text(text);
    char *first = printed(conf), *second;

    (void)state;
    conf_unref(conf);
    assert_non_null(strstr(first, "\nallow = 10.0.0.0/8, ::1/128\nproxy_from = 192.0.2.1/32\n"));
    assert_non_null(strstr(first, "\ntransport = tls\n"));
    assert_non_null(strstr(first, "\nreplay_window = 0\n"));
    assert_non_null(strstr(first, "[spool]\ndirectory = spool\nlimit = 2G\n"));
    assert_non_null(strstr(first, "[rejects]\ndirectory = rejects\nlimit = 64M\n"));
    assert_non_null(strstr(first, "[admin]\n# warning: address: 0.0.0.0:1 can be reached"));
    conf = load_text(first);
    second = printed(conf);
    assert_string_equal(first, second);
    conf_unref(conf);
    free(first);
    free(second);
}

static void t_shows_what_has_no_effect_as_comments(void **state)
{
    struct conf *conf = load_text(BASE);
    char *text = printed(conf);

    (void)state;
    assert_non_null(strstr(text, "\n[admin]\n#address = \n"));
    assert_non_null(strstr(text, "\n[spool]\n#directory = \n#limit = 1G\n"));
    assert_non_null(strstr(text, "\n[rejects]\n#directory = \n#limit = 64M\n"));
    conf_unref(conf);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_certificate_and_its_key_need_each_other),
        cmocka_unit_test(to_ask_clients_for_certificates_takes_one_of_ones_own),
        cmocka_unit_test(tls_keys_are_for_tls_collectors),
        cmocka_unit_test(keys_without_what_makes_them_work_are_mistakes),
        cmocka_unit_test(places_to_listen_on_are_apart),
        cmocka_unit_test(directories_may_be_there_or_not_but_are_directories),
        cmocka_unit_test(spool_and_rejects_have_a_directory_each),
        cmocka_unit_test(secrets_in_clear_text_are_warned_of),
        cmocka_unit_test(an_admin_address_that_others_reach_is_warned_of),
        cmocka_unit_test(what_t_prints_of_everything_loads_again_as_the_same),
        cmocka_unit_test(t_shows_what_has_no_effect_as_comments),
    };

    return cmocka_run_group_tests(tests, enter, leave_directory);
}
