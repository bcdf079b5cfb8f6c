/* What a configuration comes to: files in order, defaults, resolved values, -t's output, and the three
 * settings. */
#include <arpa/inet.h>
#include <sched.h>

#include "conf/conf_files.h"

static void a_minimal_file_gets_every_default(void **state)
{
    struct conf *conf = load_text(COLLECTOR VPC);
    cpu_set_t set;

    (void)state;
    assert_int_equal(sched_getaffinity(0, sizeof(set), &set), 0);
    assert_int_equal(conf->daemon.workers, CPU_COUNT(&set) > 64 ? 64 : CPU_COUNT(&set));
    assert_int_equal(conf->daemon.log_level, LEVEL_INFO);
    assert_int_equal(conf->daemon.message_size, 1400);
    assert_int_equal(conf->daemon.enterprise_number, 32473);
    assert_string_equal(conf->listener.address.text, "0.0.0.0:20555");
    assert_int_equal(conf->listener.max_payload, 16 << 20);
    assert_int_equal(conf->listener.max_inflated, 128 << 20);
    assert_int_equal(conf->listener.max_connections, 1024);
    assert_int_equal(conf->listener.idle_timeout, 60000);
    assert_int_equal(conf->listener.max_connections_per_address, 512);
    assert_int_equal(conf->listener.handshake_timeout, 10000);
    assert_int_equal(conf->listener.busy_timeout, 900000);
    assert_int_equal(conf->listener.duplicate_window, 3600000);
    assert_null(conf->listener.tls_certificate);
    assert_null(conf->listener.token_file);
    assert_int_equal(conf->listener_tokens.count, 0);
    assert_int_equal(conf->listener.allow.count, 0);
    assert_int_equal(conf->admin.address.len, 0);
    assert_null(conf->spool.directory);
    assert_int_equal(conf->spool.limit, 1 << 30);
    assert_null(conf->rejects.directory);
    assert_int_equal(conf->rejects.limit, 64 << 20);
    assert_int_equal(conf->http.address.len, 0);
    assert_int_equal(conf->warning_count, 0);
    assert_int_equal(conf->collector_count, 1);
    assert_string_equal(conf->collectors[0].name, "c");
    assert_int_equal(conf->collectors[0].replay_window, 4 << 20);
    assert_int_equal(conf->collectors[0].transport, TRANSPORT_UDP);
    assert_int_equal(conf->collectors[0].template_refresh, 60000);
    assert_int_equal(conf->collectors[0].fields, FIELDS_STANDARD);
    assert_int_equal(conf->collectors[0].burst, 32);
    assert_int_equal(conf->vpc_count, 1);
    assert_true(conf->vpcs[0].is_default);
    assert_null(conf->vpcs[0].format);
    assert_null(conf->vpcs[0].log_group);
    assert_false(conf->vpcs[0].freebind);
    conf_unref(conf);
}

static void every_type_of_value_is_taken(void **state)
{
    struct conf *conf = load_text("[daemon]\nworkers = 3\nlog_level = debug\nmessage_size = 8k\n"
                                  "[listener]\naddress = [::]:0\nidle_timeout = 2m\nmax_payload = 3M\n"
                                  "[collector \"a\"]\naddress = localhost:9995\nfields = full\nburst = 0\n"
                                  "template_refresh = 1500ms\n"
                                  "[collector \"b\"]\ntransport = file\naddress = flows.ipfix\n"
                                  "[vpc \"v\"]\naccount = 1234*\ninterface = eni-1 ,eni-2\nfreebind = yes\n"
                                  "vpc_id = vpc-?\nsubnet = subnet-*\ntgw = tgw-1\n"
                                  "collector = b, a\nexporter_ip = 127.0.0.9\n"
                                  "format = version, start\n");
    const struct conf_vpc *v = &conf->vpcs[0];

    (void)state;
    assert_int_equal(conf->daemon.workers, 3);
    assert_int_equal(conf->daemon.log_level, LEVEL_DEBUG);
    assert_int_equal(conf->daemon.message_size, 8192);
    assert_string_equal(conf->listener.address.text, "[::]:0");
    assert_int_equal(conf->listener.address.addr.ss_family, AF_INET6);
    assert_int_equal(conf->listener.address.len, sizeof(struct sockaddr_in6));
    assert_int_equal(conf->listener.idle_timeout, 120000);
    assert_int_equal(conf->listener.max_payload, 3 << 20);
    assert_string_equal(conf->collectors[0].address.text, "127.0.0.1:9995");
    assert_int_equal(conf->collectors[0].fields, FIELDS_FULL);
    assert_int_equal(conf->collectors[0].burst, 0);
    assert_int_equal(conf->collectors[0].template_refresh, 1500);
    assert_int_equal(conf->collectors[1].transport, TRANSPORT_FILE);
    assert_string_equal(conf->collectors[1].address_text, "flows.ipfix");
    assert_string_equal(v->account, "1234*");
    assert_string_equal(v->vpc_id, "vpc-?");
    assert_string_equal(v->subnet, "subnet-*");
    assert_string_equal(v->tgw, "tgw-1");
    assert_int_equal(v->interface.count, 2);
    assert_string_equal(v->interface.item[0], "eni-1");
    assert_string_equal(v->interface.item[1], "eni-2");
    assert_true(v->freebind);
    assert_int_equal(v->collector_count, 2);
    assert_int_equal(v->collectors[0], 1);
    assert_int_equal(v->collectors[1], 0);
    assert_string_equal(v->exporter_ip.text, "127.0.0.9");
    assert_int_equal(v->format->count, 2);
    assert_int_equal(v->format->field[1], FIELD_START);
    assert_string_equal(v->format_text, "version, start");
    conf_unref(conf);
}

static void leniency_is_the_formats(void **state)
{
    struct conf *conf = load_text(
        COLLECTOR VPC "lenient_trailing = yes\n"
                      "[vpc \"v\"]\nlog_group = /g\nexporter_ip = 127.0.0.3\n"
                      "lenient_trailing = yes\nformat = version start\n"
                      "[vpc \"strict\"]\nlog_group = /h\nexporter_ip = 127.0.0.4\nformat = version\n");
    char *text = printed(conf);

    (void)state;
    assert_true(conf->vpcs[0].format->lenient);
    assert_int_equal(conf->vpcs[0].format->count, 2);
    assert_false(conf->vpcs[1].format->lenient);
    assert_true(conf->vpcs[2].format->lenient);
    assert_true(conf->vpcs[2].format->is_default_v2);
    assert_false(format_default()->lenient);
    assert_non_null(strstr(text, "\n#format = ${version} ${account-id} "));
    assert_non_null(strstr(text, "\nlenient_trailing = yes\n"));
    free(text);
    conf_unref(conf);
}

static void names_that_are_no_fields_are_warned_of_one_by_one(void **state)
{
    (void)state;
    assert_warnings(COLLECTOR VPC "format = ${version} ${brand-new}\n  ${srcaddr} other\n",
                    "t.conf:5: [vpc \"default\"] format: \"brand-new\" is no field that this version knows: "
                    "its values are "
                    "passed over\n"
                    "t.conf:5: [vpc \"default\"] format: \"other\" is no field that this version knows: its "
                    "values are passed "
                    "over\n");
    assert_warnings(COLLECTOR VPC "format = version\n", "");
    assert_warnings(COLLECTOR VPC, "");
}

#define UNUSED(place, name)                                                                                  \
    place " format: is not used: lines without a header are read by the format of [vpc \"" name              \
          "\"], which differs; tell the two apart by log_group or account\n"
#define SECTION(name, ip, keys) "[vpc \"" name "\"]\nexporter_ip = 127.0.0." ip "\n" keys "\n"

static void formats_that_cannot_be_used_are_warned_of(void **state)
{
    (void)state;
    assert_warnings(COLLECTOR VPC SECTION("a", "3", "interface = eni-1\nformat = version"),
                    UNUSED("t.conf:3: [vpc \"default\"]", "a"));
    assert_warnings(COLLECTOR VPC "format = start\n" SECTION("a", "3", "interface = eni-1\nformat = version"),
                    UNUSED("t.conf:5: [vpc \"default\"]", "a"));
    assert_warnings(COLLECTOR SECTION("a", "3", "log_group = /g\nvpc_id = vpc-1\nformat = vpc-id")
                        SECTION("b", "4", "log_group = /g\nvpc_id = vpc-2"),
                    UNUSED("t.conf:8: [vpc \"b\"]", "a"));
    assert_warnings(COLLECTOR VPC SECTION("a", "3", "log_group = /a\nformat = version")
                        SECTION("b", "4", "log_group = /b\nformat = start")
                            SECTION("c", "5", "account = 1\nformat = end")
                                SECTION("d", "6", "account = 2\nformat = bytes"),
                    "");
    assert_warnings(COLLECTOR SECTION("a", "3", "log_group = /a\nformat = version")
                        SECTION("b", "4", "log_group = /a\naccount = 1\nformat = ${version}"),
                    "");
}

static void warnings_about_the_command_line_name_the_flag(void **state)
{
    struct conf_error err = {""};
    struct conf *conf =
        conf_quick(&(struct conf_quick){NULL, "file:x.ipfix", NULL, "${version} ${brand-new}"}, &err);
    char *text;

    (void)state;
    assert_non_null(conf);
    text = warnings_in(conf);
    assert_string_equal(
        text, "--format: \"brand-new\" is no field that this version knows: its values are passed over\n");
    assert_ptr_equal(conf->warnings[0].what, conf->warnings[0].text + strlen("--"));
    free(text);
    conf_unref(conf);
}

static void an_address_without_a_host_listens_on_any(void **state)
{
    struct conf *conf = load_text("[listener]\naddress = :1234\n" COLLECTOR VPC);
    const struct sockaddr_in *sin = (const struct sockaddr_in *)&conf->listener.address.addr;

    (void)state;
    assert_string_equal(conf->listener.address.text, "0.0.0.0:1234");
    assert_int_equal(sin->sin_addr.s_addr, 0);
    assert_int_equal(ntohs(sin->sin_port), 1234);
    conf_unref(conf);
}

static void a_collector_address_may_say_its_transport(void **state)
{
    struct conf *conf = load_text("[collector \"u\"]\naddress = udp://127.0.0.1:1\n"
                                  "[collector \"f\"]\naddress = file:/tmp/x.ipfix\n"
                                  "[collector \"g\"]\ntransport = file\naddress = file:y.ipfix\n" VPC);

    (void)state;
    assert_int_equal(conf->collectors[0].transport, TRANSPORT_UDP);
    assert_string_equal(conf->collectors[0].address_text, "127.0.0.1:1");
    assert_string_equal(conf->collectors[0].address.text, "127.0.0.1:1");
    assert_int_equal(conf->collectors[1].transport, TRANSPORT_FILE);
    assert_string_equal(conf->collectors[1].address_text, "/tmp/x.ipfix");
    assert_string_equal(conf->collectors[2].address_text, "y.ipfix");
    assert_string_equal(conf_transport_name(conf->collectors[2].transport), "file");
    conf_unref(conf);
}

static void a_vpc_without_collectors_goes_to_all_of_them(void **state)
{
    struct conf *conf = load_text(COLLECTOR "[collector \"d\"]\naddress = 127.0.0.1:4740\n" VPC);

    (void)state;
    assert_int_equal(conf->vpcs[0].collector_count, 2);
    assert_int_equal(conf->vpcs[0].collectors[0], 0);
    assert_int_equal(conf->vpcs[0].collectors[1], 1);
    conf_unref(conf);
}

static void the_domain_comes_from_option_address_or_name(void **state)
{
    struct conf *conf =
        load_text("[collector \"f\"]\naddress = file:x\n"
                  "[vpc \"a\"]\nlog_group = a\nobservation_domain = 11\nexporter_ip = 10.0.0.1\n"
                  "[vpc \"b\"]\nlog_group = b\nexporter_ip = 10.0.0.1\n"
                  "[vpc \"c\"]\nlog_group = c\nexporter_ip = 2001:db8::1\n"
                  "[vpc \"foobar\"]\nlog_group = d\n");
    uint32_t h = 2166136261u;
    uint8_t v6[16];

    (void)state;
    assert_int_equal(inet_pton(AF_INET6, "2001:db8::1", v6), 1);
    for (size_t i = 0; i < sizeof(v6); i++)
        h = (h ^ v6[i]) * 16777619u;
    assert_int_equal(conf->vpcs[0].domain, 11);
    assert_int_equal(conf->vpcs[1].domain, 0x0a000001);
    assert_int_equal(conf->vpcs[2].domain, h);
    assert_int_equal(conf->vpcs[3].domain, 0xbf9cf968); /* FNV-1a's published value for "foobar" */
    conf_unref(conf);
}

static void one_exporter_ip_may_have_several_domains(void **state)
{
    struct conf *conf =
        load_text(COLLECTOR "[vpc \"a\"]\nlog_group = a\nexporter_ip = 127.0.0.2\nobservation_domain = 1\n"
                            "[vpc \"b\"]\nlog_group = b\nexporter_ip = 127.0.0.2\nobservation_domain = 2\n"
                            "[vpc \"c\"]\nlog_group = c\nexporter_ip = 127.0.0.3\nobservation_domain = 2\n");

    (void)state;
    assert_int_equal(conf->vpc_count, 3);
    conf_unref(conf);
}

static void default_is_last_wherever_it_stands(void **state)
{
    struct conf *conf = load_text(COLLECTOR VPC "[vpc \"a\"]\nlog_group = a\nexporter_ip = 127.0.0.3\n"
                                                "[vpc \"b\"]\nlog_group = b\nexporter_ip = 127.0.0.4\n");

    (void)state;
    assert_string_equal(conf->vpcs[0].name, "a");
    assert_string_equal(conf->vpcs[1].name, "b");
    assert_string_equal(conf->vpcs[2].name, "default");
    assert_true(conf->vpcs[2].is_default);
    assert_false(conf->vpcs[0].is_default);
    conf_unref(conf);
}

static void vpc_d_is_read_in_name_order_after_the_main_file(void **state)
{
    struct conf *conf;

    (void)state;
    write_text("vpc.d/b.conf", "[vpc \"b\"]\nlog_group = b\nexporter_ip = 127.0.0.4\n");
    write_text("vpc.d/B.conf", "[vpc \"B\"]\nlog_group = B\nexporter_ip = 127.0.0.5\n");
    write_text("vpc.d/10.conf", "[vpc \"ten\"]\nlog_group = 10\nexporter_ip = 127.0.0.6\n");
    write_text("vpc.d/a.conf.bak", "nonsense");
    write_text("vpc.d/.conf", "nonsense");
    write_text("vpc.d/.#a.conf", "nonsense");
    conf = load_text(COLLECTOR "[vpc \"main\"]\nlog_group = m\nexporter_ip = 127.0.0.3\n");
    assert_int_equal(conf->vpc_count, 4);
    assert_string_equal(conf->vpcs[0].name, "main");
    assert_string_equal(conf->vpcs[1].name, "ten");
    assert_string_equal(conf->vpcs[2].name, "B");
    assert_string_equal(conf->vpcs[3].name, "b");
    assert_string_equal(conf->vpcs[3].origin.file, "vpc.d/b.conf");
    assert_int_equal(conf->vpcs[3].origin.line, 1);
    assert_int_equal(conf->files.count, 4);
    conf_unref(conf);
    assert_int_equal(system("rm vpc.d/*.conf vpc.d/.??* vpc.d/*.bak"), 0);
}

static void a_reference_keeps_the_snapshot(void **state)
{
    struct conf *conf = load_text(COLLECTOR VPC);

    (void)state;
    assert_ptr_equal(conf_ref(conf), conf);
    conf_unref(conf);
    assert_string_equal(conf->vpcs[0].name, "default");
    conf_unref(conf);
    conf_unref(NULL);
}

static void what_t_prints_loads_again_as_the_same(void **state)
{
    struct conf *conf = load_text("[listener]\naddress = [::1]:0\nidle_timeout = 90s\n"
                                  "[collector \"u\"]\naddress = udp://127.0.0.1:4739\nfields = full\n"
                                  "[collector \"f\"]\naddress = file:/tmp/a;b.ipfix\n"
                                  "[vpc \"default\"]\nexporter_ip = 127.0.0.2\n"
                                  "[vpc \"v\"]\nlog_group = /aws/*\ninterface = eni-1, eni-2\naccount = 1\n"
                                  "vpc_id = vpc-1\nsubnet = s-*\ntgw = tgw-1\n"
                                  "exporter_ip = 127.0.0.3\ncollector = f\n"
                                  "format = ${version}   ${no-such-field}\n\t${vpc-id}\n");
    char *first = printed(conf), *second;

    (void)state;
    conf_unref(conf);
    assert_non_null(strstr(first, "[vpc \"default\"]\n# takes what no other [vpc] takes\n"));
    assert_non_null(
        strstr(first, "[vpc \"v\"]\n# takes records with log group /aws/* and account 1 and VPC vpc-1 and "
                      "subnet s-* and Transit Gateway tgw-1 and interface eni-1 or eni-2\n"
                      "# warning: format: \"no-such-field\" is no field"));
    assert_non_null(strstr(first, "\nformat = ${version} ${no-such-field} ${vpc-id}\n"));
    assert_non_null(strstr(first, "\n#format = ${version} ${account-id} ${interface-id} "));
    assert_non_null(strstr(first, "\nidle_timeout = 90s\n"));
    assert_non_null(strstr(first, "\nmax_payload = 16M\n"));
    assert_non_null(strstr(first, "\ncollector = u, f\n"));
    assert_non_null(strstr(first, "\nobservation_domain = 2130706434\n"));
    assert_non_null(strstr(first, "\naddress = /tmp/a;b.ipfix\ntransport = file\n"));
    conf = load_text(first);
    second = printed(conf);
    assert_string_equal(first, second);
    conf_unref(conf);
    free(first);
    free(second);
}

static struct conf *quick(const char *listen, const char *collector, const char *exporter_ip,
                          const char *format)
{
    struct conf_error err = {""};
    struct conf *conf = conf_quick(&(struct conf_quick){listen, collector, exporter_ip, format}, &err);

    if (conf == NULL)
        fail_msg("%s", err.text);
    return conf;
}

static void three_settings_make_a_whole_configuration(void **state)
{
    struct conf *conf = quick("127.0.0.1:0", "udp://127.0.0.1:4739", "127.0.0.2", "${version} ${start}"),
                *again;
    char *text = printed(conf);

    (void)state;
    assert_string_equal(conf->listener.address.text, "127.0.0.1:0");
    assert_int_equal(conf->collector_count, 1);
    assert_string_equal(conf->collectors[0].name, "collector");
    assert_string_equal(conf->collectors[0].address.text, "127.0.0.1:4739");
    assert_int_equal(conf->collectors[0].template_refresh, 60000);
    assert_int_equal(conf->vpc_count, 1);
    assert_string_equal(conf->vpcs[0].name, "default");
    assert_true(conf->vpcs[0].is_default);
    assert_int_equal(conf->vpcs[0].domain, 0x7f000002);
    assert_int_equal(conf->vpcs[0].collector_count, 1);
    assert_int_equal(conf->vpcs[0].format->count, 2);
    again = load_text(text);
    conf_unref(again);
    conf_unref(conf);
    free(text);
}

static void the_url_of_a_collector_says_its_transport(void **state)
{
    static const struct {
        const char *url;
        enum conf_transport transport;
    } urls[] = {{"udp://127.0.0.1:4739", TRANSPORT_UDP},
                {"tcp://127.0.0.1:4739", TRANSPORT_TCP},
                {"tls://127.0.0.1:4739", TRANSPORT_TLS}};

    (void)state;
    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        struct conf *conf = quick("127.0.0.1:0", urls[i].url, "127.0.0.2", NULL), *again;
        char *text = printed(conf);

        assert_int_equal(conf->collectors[0].transport, urls[i].transport);
        assert_string_equal(conf->collectors[0].address.text, "127.0.0.1:4739");
        again = load_text(text);
        assert_int_equal(again->collectors[0].transport, urls[i].transport);
        conf_unref(again);
        conf_unref(conf);
        free(text);
    }
}

static void a_file_or_print_needs_less(void **state)
{
    struct conf *conf = quick(NULL, "file:out.ipfix", NULL, NULL);

    (void)state;
    assert_int_equal(conf->collectors[0].transport, TRANSPORT_FILE);
    assert_string_equal(conf->collectors[0].address_text, "out.ipfix");
    assert_string_equal(conf->listener.address.text, "0.0.0.0:20555");
    assert_int_not_equal(conf->vpcs[0].domain, 0);
    conf_unref(conf);

    conf = quick(NULL, NULL, NULL, NULL);
    assert_int_equal(conf->collector_count, 0);
    assert_int_equal(conf->vpc_count, 1);
    assert_int_equal(conf->vpcs[0].collector_count, 0);
    conf_unref(conf);
}

static void mistakes_on_the_command_line_name_the_flag(void **state)
{
    static const struct {
        struct conf_quick quick;
        const char *error;
    } mistakes[] = {
        {{"20555", "udp://127.0.0.1:1", "127.0.0.2", NULL},
         "--listen: \"20555\": no port; expected ADDRESS:PORT, as 0.0.0.0:20555"},
        {{NULL, "sctp://127.0.0.1:1", "127.0.0.2", NULL},
         "--collector: \"sctp://127.0.0.1:1\": expected udp://ADDRESS:PORT, tcp://ADDRESS:PORT, "
         "tls://ADDRESS:PORT or file:PATH, as udp://127.0.0.1:4739"},
        {{NULL, "127.0.0.1:1", "127.0.0.2", NULL},
         "--collector: \"127.0.0.1:1\": expected udp://ADDRESS:PORT, tcp://ADDRESS:PORT, tls://ADDRESS:PORT "
         "or file:PATH, as udp://127.0.0.1:4739"},
        {{NULL, "tls://127.0.0.1:0", "127.0.0.2", NULL},
         "--collector: \"127.0.0.1:0\": \"0\" is not a port; expected 1 to 65535, as 192.0.2.10:4739"},
        {{NULL, "tcp://127.0.0.1:1", NULL, NULL},
         "--exporter-ip: is needed with a tcp collector: the address that flows come from"},
        {{NULL, "udp://127.0.0.1", "127.0.0.2", NULL},
         "--collector: \"127.0.0.1\": no port; expected ADDRESS:PORT, as 192.0.2.10:4739"},
        {{NULL, "file:", NULL, NULL}, "--collector: expected a path after file:, as file:flows.ipfix"},
        {{NULL, "file:a #b", NULL, NULL},
         "--collector: control characters, and # after a space, cannot be in a setting"},
        {{NULL, "udp://127.0.0.1:1", NULL, NULL},
         "--exporter-ip: is needed with a udp collector: the address that flows come from"},
        {{NULL, "udp://127.0.0.1:1", "localhost", NULL},
         "--exporter-ip: \"localhost\": not a numeric address; expected one without a port, as 10.9.0.11 or "
         "2001:db8::11"},
        {{NULL, "udp://127.0.0.1:1", "::1", NULL},
         "command line: [vpc \"default\"] exporter_ip: ::1 cannot send to [collector \"collector\"] at "
         "127.0.0.1:1; expected an IPv4 address"},
        {{NULL, NULL, NULL, ""}, "--format: has no value"},
        {{NULL, NULL, NULL, "a b"},
         "--format: \"a\" is not a field, and no other word is; expected the fields' "
         "names, as ${version} ${account-id} ${interface-id}"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(mistakes) / sizeof(mistakes[0]); i++) {
        struct conf_error err = {""};

        assert_null(conf_quick(&mistakes[i].quick, &err));
        assert_string_equal(err.text, mistakes[i].error);
    }
}

static void a_glob_matches_the_whole_text(void **state)
{
    static const struct {
        const char *pattern, *text;
        bool matches;
    } cases[] = {
        {"", "", true},
        {"", "a", false},
        {"a", "a", true},
        {"a", "A", false},
        {"a", "ab", false},
        {"a*", "ab", true},
        {"a*", "a", true},
        {"*", "", true},
        {"*a", "bca", true},
        {"*a", "ab", false},
        {"?", "", false},
        {"?", "x", true},
        {"a?c", "abc", true},
        {"a*b*c", "a1b2b3c", true},
        {"a*b*c", "a1b2b3", false},
        {"**", "x", true},
        {"*?", "", false},
        {"/aws/vpc/prod*", "/aws/vpc/prod-eu", true},
        {"eni-?", "eni-12", false},
        {"a*ab", "aab", true},
        {"*.conf", "x.conf.bak", false},
        {"a[b]", "ab", false},
        {"a[b]", "a[b]", true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        if (conf_glob(cases[i].pattern, slice_str(cases[i].text)) != cases[i].matches)
            fail_msg("\"%s\" on \"%s\"", cases[i].pattern, cases[i].text);
}

static void a_glob_of_many_stars_stays_cheap(void **state)
{
    char text[4096], pattern[129];

    (void)state;
    memset(text, 'a', sizeof(text));
    for (size_t i = 0; i < sizeof(pattern) - 1; i++)
        pattern[i] = i % 2 == 0 ? '*' : 'a';
    strcpy(pattern + sizeof(pattern) - 2, "b");
    assert_false(conf_glob(pattern, slice_of(text, sizeof(text))));
}

static void thousands_of_vpcs_load(void **state)
{
    struct conf_error err = {""};
    struct conf *conf;
    FILE *out = fopen("t.conf", "w");

    (void)state;
    assert_non_null(out);
    fputs(COLLECTOR, out);
    for (int i = 0; i < CONF_VPCS_MAX; i++)
        fprintf(out, "[vpc \"v%d\"]\nlog_group = g%d\nexporter_ip = 127.1.%d.%d\n", i, i, i / 250,
                1 + i % 250);
    fclose(out);
    conf = load();
    assert_int_equal(conf->vpc_count, CONF_VPCS_MAX);
    assert_string_equal(conf->vpcs[4095].log_group, "g4095");
    conf_unref(conf);

    write_text("vpc.d/one-more.conf", "[vpc \"x\"]\n");
    assert_null(conf_load("t.conf", &err));
    assert_string_equal(err.text, "vpc.d/one-more.conf:1: more than 4096 VPCs");
    assert_int_equal(unlink("vpc.d/one-more.conf"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_minimal_file_gets_every_default),
        cmocka_unit_test(every_type_of_value_is_taken),
        cmocka_unit_test(leniency_is_the_formats),
        cmocka_unit_test(names_that_are_no_fields_are_warned_of_one_by_one),
        cmocka_unit_test(formats_that_cannot_be_used_are_warned_of),
        cmocka_unit_test(warnings_about_the_command_line_name_the_flag),
        cmocka_unit_test(an_address_without_a_host_listens_on_any),
        cmocka_unit_test(a_collector_address_may_say_its_transport),
        cmocka_unit_test(a_vpc_without_collectors_goes_to_all_of_them),
        cmocka_unit_test(the_domain_comes_from_option_address_or_name),
        cmocka_unit_test(one_exporter_ip_may_have_several_domains),
        cmocka_unit_test(default_is_last_wherever_it_stands),
        cmocka_unit_test(vpc_d_is_read_in_name_order_after_the_main_file),
        cmocka_unit_test(a_reference_keeps_the_snapshot),
        cmocka_unit_test(what_t_prints_loads_again_as_the_same),
        cmocka_unit_test(three_settings_make_a_whole_configuration),
        cmocka_unit_test(the_url_of_a_collector_says_its_transport),
        cmocka_unit_test(a_file_or_print_needs_less),
        cmocka_unit_test(mistakes_on_the_command_line_name_the_flag),
        cmocka_unit_test(a_glob_matches_the_whole_text),
        cmocka_unit_test(a_glob_of_many_stars_stays_cheap),
        cmocka_unit_test(thousands_of_vpcs_load),
    };

    return cmocka_run_group_tests(tests, enter_directory, leave_directory);
}
