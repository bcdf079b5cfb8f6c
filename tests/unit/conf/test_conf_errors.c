/* What people get wrong, and the exact words they are told. */
#include "conf/conf_files.h"

struct mistake {
    const char *text, *error;
};

static void assert_mistakes(const struct mistake *m, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct conf_error err = {""};
        struct conf *conf;

        write_text("t.conf", m[i].text);
        conf = conf_load("t.conf", &err);
        if (conf != NULL)
            fail_msg("loaded:\n%s", m[i].text);
        assert_string_equal(err.text, m[i].error);
    }
}

#define ASSERT_MISTAKES(m) assert_mistakes(m, sizeof(m) / sizeof((m)[0]))

static void lines_that_cannot_be_read_name_the_line(void **state)
{
    static const struct mistake mistakes[] = {
        {"workers = 2\n", "t.conf:1: workers: stands before any section; put it below its own, as [daemon]"},
        {"\n# hi\n[daemon]\nworkers 2\n",
         "t.conf:4: \"workers 2\": no =; expected KEY = VALUE or a [section]"},
        {"[listener]\naddress: 0.0.0.0:1\n",
         "t.conf:2: \"address: 0.0.0.0:1\": no =; expected KEY = VALUE or a [section]"},
        {"[daemon]\n= 2\n", "t.conf:2: \"= 2\": no key before the =; expected KEY = VALUE"},
        {"[daemon]\n  hello\n",
         "t.conf:2: \"hello\": no =; expected KEY = VALUE, or a line that goes on with the value above"},
        {"[daemon\n", "t.conf:1: \"[daemon\": no ] at the end of the section"},
        {"[daemon] x\n", "t.conf:1: \" x\": text after the ] of a section"},
        {"[daemon]\nworkers = 2\x1b[0m\n", "t.conf:2: control character 0x1b at byte 12; expected text"},
        {"[vpc \"abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz\"]\n",
         "t.conf:1: section is too long: at most 49 bytes may stand between [ and ]"},
        {"[daemon]\nabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz = 1\n",
         "t.conf:2: abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvw...: key is too long: at most 49 bytes"},
        /* The first error is the one that is told. */
        {"[daemon]\nworkers = x\nnonsense\n",
         "t.conf:2: [daemon] workers: \"x\": expected auto or a number from 1 to 64"},
    };

    (void)state;
    ASSERT_MISTAKES(mistakes);
}

static void sections_that_are_not_there_say_which_are(void **state)
{
    static const struct mistake mistakes[] = {
        {"[vcp \"prod\"]\n", "t.conf:1: [vcp \"prod\"]: unknown section; did you mean [vpc \"name\"]?"},
        {"[Daemon]\n", "t.conf:1: [Daemon]: unknown section; did you mean [daemon]?"},
        {"[logging]\n",
         "t.conf:1: [logging]: unknown section; expected [daemon], [listener], [collector \"name\"], "
         "[vpc \"name\"], [admin], [spool], [rejects] or [http]"},
        {"[vpc prod]\n", "t.conf:1: [vpc prod]: expected a name in double quotes, as [vpc \"prod\"]"},
        {"[vpc]\n", "t.conf:1: [vpc]: expected a name in double quotes, as [vpc \"name\"]"},
        {"[vpc \"prod]\n", "t.conf:1: [vpc \"prod]: expected a name in double quotes, as [vpc \"name\"]"},
        {"[vpc \"\"]\n", "t.conf:1: [vpc \"\"]: a name is made of letters, digits and . _ - : / @ +"},
        {"[vpc \"a b\"]\n", "t.conf:1: [vpc \"a b\"]: a name is made of letters, digits and . _ - : / @ +"},
        {"[vpc \"a;b\"]\n", "t.conf:1: [vpc \"a;b\"]: a name is made of letters, digits and . _ - : / @ +"},
        {"[daemon \"x\"]\n", "t.conf:1: [daemon \"x\"]: this section has no name; expected [daemon]"},
        {"[vpc \"a\"]\n[vpc \"b\"]\n\n[vpc \"a\"]\n",
         "t.conf:4: [vpc \"a\"]: is there already, at t.conf:1; give it another name"},
        {"[daemon]\n[listener]\n[daemon]\n",
         "t.conf:3: [daemon]: is there already, at t.conf:1; put its keys there"},
    };

    (void)state;
    ASSERT_MISTAKES(mistakes);
}

static void keys_that_are_not_there_suggest_the_nearest(void **state)
{
    static const struct mistake mistakes[] = {
        {"[vpc \"prod\"]\nexporter_ipp = 10.0.0.1\n",
         "t.conf:2: [vpc \"prod\"] exporter_ipp: unknown key; did you mean exporter_ip?"},
        {"[vpc \"prod\"]\nExporter-IP = 10.0.0.1\n",
         "t.conf:2: [vpc \"prod\"] Exporter-IP: unknown key; did you mean exporter_ip?"},
        {"[collector \"c\"]\nexporter_ip = 10.0.0.1\n",
         "t.conf:2: [collector \"c\"] exporter_ip: unknown key; it belongs in a [vpc \"name\"] section"},
        {"[daemon]\nidle_timeout = 3s\n",
         "t.conf:2: [daemon] idle_timeout: unknown key; it belongs in a [listener] section"},
        {"[daemon]\nmessage;size = 3\n",
         "t.conf:2: [daemon] message;size: unknown key; did you mean message_size?"},
        {"[daemon]\nuser = nobody\n",
         "t.conf:2: [daemon] user: unknown key; expected one of workers, log_level, "
         "message_size, enterprise_number"},
        {"[daemon]\nworkers = 1\n\nworkers = 1\n",
         "t.conf:4: [daemon] workers: is set twice, first at t.conf:2"},
        {"[daemon]\nworkers =\n",
         "t.conf:2: [daemon] workers: has no value; give one, or leave the line out for the default"},
        {"[daemon]\nworkers = # two\n",
         "t.conf:2: [daemon] workers: has no value; give one, or leave the line out for the default"},
    };

    (void)state;
    ASSERT_MISTAKES(mistakes);
}

#define IN_DAEMON(line) "[daemon]\n" line "\n"
#define IN_LISTENER(line) "[listener]\n" line "\n"
#define IN_COLLECTOR(line) "[collector \"c\"]\n" line "\n"
#define IN_VPC(line) "[vpc \"v\"]\n" line "\n"

static void values_that_do_not_fit_say_what_is_expected(void **state)
{
    static const struct mistake mistakes[] = {
        {IN_DAEMON("workers = 0"),
         "t.conf:2: [daemon] workers: \"0\": expected auto or a number from 1 to 64"},
        {IN_DAEMON("workers = 65"),
         "t.conf:2: [daemon] workers: \"65\": expected auto or a number from 1 to 64"},
        {IN_DAEMON("log_level = verbose"),
         "t.conf:2: [daemon] log_level: \"verbose\": expected error, warning, info or debug"},
        {IN_DAEMON("message_size = 9000 bytes"),
         "t.conf:2: [daemon] message_size: \"9000 bytes\": expected bytes, as 512, 64k, 8M or 1G"},
        {IN_DAEMON("message_size = 64k"),
         "t.conf:2: [daemon] message_size: \"64k\": out of range; expected 512 to 65535"},
        {IN_LISTENER("max_payload = 2G"),
         "t.conf:2: [listener] max_payload: \"2G\": out of range; expected 1k to 1G"},
        {IN_LISTENER("max_payload = 17179869185G"),
         "t.conf:2: [listener] max_payload: \"17179869185G\": expected bytes, as 512, 64k, 8M or 1G"},
        {IN_LISTENER("max_payload = -1"),
         "t.conf:2: [listener] max_payload: \"-1\": expected bytes, as 512, 64k, 8M or 1G"},
        {IN_DAEMON("enterprise_number = 4294967296"),
         "t.conf:2: [daemon] enterprise_number: \"4294967296\": expected a number from 1 to 4294967295"},
        {IN_DAEMON("enterprise_number = 99999999999999999999999"),
         "t.conf:2: [daemon] enterprise_number: \"99999999999999999999999\": expected a number from 1 to "
         "4294967295"},
        {IN_LISTENER("idle_timeout = 60"),
         "t.conf:2: [listener] idle_timeout: \"60\": expected a time with its "
         "unit, as 500ms, 60s, 5m or 1h"},
        {IN_LISTENER("idle_timeout = 50ms"),
         "t.conf:2: [listener] idle_timeout: \"50ms\": out of range; expected 100ms to 24h"},
        {IN_COLLECTOR("transport = sctp"),
         "t.conf:2: [collector \"c\"] transport: \"sctp\": expected udp, tcp, tls or file"},
        {IN_LISTENER("allow = 10.0.0.0/33"),
         "t.conf:2: [listener] allow: \"10.0.0.0/33\": expected 0 to 32 bits behind the slash"},
        {IN_LISTENER("proxy_from = 10.0.0.1/8"), "t.conf:2: [listener] proxy_from: \"10.0.0.1/8\": is an "
                                                 "address within a network of 8 bits; expected "
                                                 "the network's own address, with zeros behind its bits"},
        {IN_LISTENER("allow = example.com"),
         "t.conf:2: [listener] allow: \"example.com\": expected a network, as 10.0.0.0/8, 192.0.2.1 or "
         "2001:db8::/32"},
        {IN_LISTENER("busy_timeout = 25h"),
         "t.conf:2: [listener] busy_timeout: \"25h\": out of range; expected 0ms to 24h"},
        {"[spool]\nlimit = 512k\n", "t.conf:2: [spool] limit: \"512k\": out of range; expected 1M to 1024G"},
        {"[rejects]\nlimit = 1k\n", "t.conf:2: [rejects] limit: \"1k\": out of range; expected 64k to 1024G"},
        {IN_COLLECTOR("fields = all"),
         "t.conf:2: [collector \"c\"] fields: \"all\": expected standard or full"},
        {IN_VPC("freebind = true"), "t.conf:2: [vpc \"v\"] freebind: \"true\": expected yes or no"},
        {IN_VPC("interface = eni-1, , eni-2"),
         "t.conf:2: [vpc \"v\"] interface: nothing between two commas, or after the last; expected A, B"},
        {IN_VPC("interface = eni-1 eni-2"), "t.conf:2: [vpc \"v\"] interface: \"eni-1 eni-2\": a space "
                                            "within an item; expected commas, as A, B"},
        {IN_VPC("collector = a, b, a"), "t.conf:2: [vpc \"v\"] collector: \"a\" is named twice"},
        {IN_VPC("format = ${version} ${version}"),
         "t.conf:2: [vpc \"v\"] format: \"version\" stands twice; expected the fields' names, as ${version} "
         "${account-id} ${interface-id}"},
        {IN_VPC("format = ${version} ${account-id"),
         "t.conf:2: [vpc \"v\"] format: \"${account-id\" is neither ${name} nor a name of a field; expected "
         "the "
         "fields' names, as ${version} ${account-id} ${interface-id}"},
        {IN_VPC("log_group = /aws/\n  prod"), "t.conf:2: [vpc \"v\"] log_group: goes on over an indented "
                                              "line, which only lists and formats can; an "
                                              "indented line must be KEY = VALUE"},
    };

    (void)state;
    ASSERT_MISTAKES(mistakes);
}

static void addresses_that_are_none_show_one(void **state)
{
    static const struct mistake mistakes[] = {
        {IN_LISTENER("address = 20555"),
         "t.conf:2: [listener] address: \"20555\": no port; expected ADDRESS:PORT, as 0.0.0.0:20555"},
        {IN_LISTENER("address = ::1:20555"),
         "t.conf:2: [listener] address: \"::1:20555\": an IPv6 address with a "
         "port needs brackets; expected as [::1]:20555"},
        {IN_LISTENER("address = [::1]"),
         "t.conf:2: [listener] address: \"[::1]\": not an address and port; expected "
         "[ADDRESS]:PORT, as 0.0.0.0:20555"},
        {IN_LISTENER("address = [127.0.0.1]:1"), "t.conf:2: [listener] address: \"[127.0.0.1]:1\": "
                                                 "\"127.0.0.1\" is not a numeric IPv6 address; expected "
                                                 "as [::1]:20555"},
        {IN_LISTENER("address = 0.0.0.0:65536"),
         "t.conf:2: [listener] address: \"0.0.0.0:65536\": \"65536\" is not "
         "a port; expected 0 to 65535, as 0.0.0.0:20555"},
        {IN_LISTENER("address = 0.0.0.0:ipfix"),
         "t.conf:2: [listener] address: \"0.0.0.0:ipfix\": \"ipfix\" is not "
         "a port; expected 0 to 65535, as 0.0.0.0:20555"},
        {IN_COLLECTOR("address = nfcapd.example.com:4739"),
         "t.conf:2: [collector \"c\"] address: \"nfcapd.example.com:4739\": \"nfcapd.example.com\" is not a "
         "numeric "
         "IPv4 address; expected as 192.0.2.10:4739 (host names are not looked up)"},
        {IN_COLLECTOR("address = 127.0.0.1:0"),
         "t.conf:2: [collector \"c\"] address: \"127.0.0.1:0\": \"0\" is not a port; expected 1 to 65535, as "
         "192.0.2.10:4739"},
        {IN_COLLECTOR("address = 0.0.0.0:4739"),
         "t.conf:2: [collector \"c\"] address: \"0.0.0.0:4739\": not an address to send to; expected the "
         "collector's, as 192.0.2.10:4739"},
        {IN_COLLECTOR("address = 256.0.0.1:4739"),
         "t.conf:2: [collector \"c\"] address: \"256.0.0.1:4739\": \"256.0.0.1\" is not a numeric IPv4 "
         "address; "
         "expected as 192.0.2.10:4739 (host names are not looked up)"},
        {IN_VPC("exporter_ip = 10.0.0.1:4739"), "t.conf:2: [vpc \"v\"] exporter_ip: \"10.0.0.1:4739\": not a "
                                                "numeric address; expected one without a "
                                                "port, as 10.9.0.11 or 2001:db8::11"},
        {IN_VPC("exporter_ip = 0.0.0.0"),
         "t.conf:2: [vpc \"v\"] exporter_ip: \"0.0.0.0\": not an address to send "
         "from; expected a host's own, as 10.9.0.11"},
        {IN_VPC("exporter_ip = ff02::1"),
         "t.conf:2: [vpc \"v\"] exporter_ip: \"ff02::1\": not an address to send "
         "from; expected a host's own, as 10.9.0.11"},
    };

    (void)state;
    ASSERT_MISTAKES(mistakes);
}

#define V(name, lines) "[vpc \"" name "\"]\nlog_group = " name "\n" lines
#define FILE_COLLECTOR "[collector \"f\"]\naddress = file:out.ipfix\n"

static void options_that_do_not_go_together_name_both_places(void **state)
{
    static const struct mistake mistakes[] = {
        {"", "t.conf: no collector is configured; expected a section [collector \"name\"] with address = "
             "ADDRESS:PORT"},
        {COLLECTOR,
         "t.conf: no VPC is configured; expected a section [vpc \"name\"] there or in vpc.d/*.conf beside "
         "it"},
        {"[collector \"c\"]\n" VPC,
         "t.conf:1: [collector \"c\"] address: is missing; expected ADDRESS:PORT, as "
         "192.0.2.10:4739, or a path with transport = file"},
        {"[collector \"c\"]\ntransport = udp\naddress = file:x\n" VPC,
         "t.conf:3: [collector \"c\"] address: \"file:x\": is not for transport = udp; change one of the "
         "two"},
        {"[collector \"c\"]\naddress = file:\n" VPC,
         "t.conf:2: [collector \"c\"] address: expected a path after file:, as file:flows.ipfix, or ./ "
         "before an unusual one"},
        {"[collector \"c\"]\naddress = file:#x\n" VPC,
         "t.conf:2: [collector \"c\"] address: expected a path after file:, as file:flows.ipfix, or ./ "
         "before an unusual one"},
        {"[collector \"c\"]\naddress = tcp://127.0.0.1:4739\n[collector \"d\"]\naddress = "
         "tls://127.0.0.1:4739\n" VPC,
         "t.conf:4: [collector \"d\"] address: is the address of [collector \"c\"] too (t.conf:1); give each "
         "its own"},
        {COLLECTOR "[collector \"d\"]\naddress = udp://127.0.0.1:4739\n" VPC,
         "t.conf:4: [collector \"d\"] address: is the address of [collector \"c\"] too (t.conf:1); give each "
         "its "
         "own"},
        {"[daemon]\nmessage_size = 65535\n" COLLECTOR VPC,
         "t.conf:3: [collector \"c\"] transport: udp cannot carry message_size = 65535; set at most 65507 in "
         "[daemon]"},
        {COLLECTOR "[vpc \"default\"]\n",
         "t.conf:3: [vpc \"default\"] exporter_ip: is missing; [collector \"c\"] is "
         "sent to by udp and needs the address that flows come from, as 10.9.0.11"},
        {COLLECTOR "[vpc \"default\"]\nexporter_ip = ::1\n",
         "t.conf:4: [vpc \"default\"] exporter_ip: ::1 cannot send to [collector \"c\"] at 127.0.0.1:4739; "
         "expected "
         "an IPv4 address"},
        {COLLECTOR VPC "collector = c, d\n",
         "t.conf:5: [vpc \"default\"] collector: there is no [collector \"d\"]; known are c"},
        {COLLECTOR "[vpc \"prod\"]\nexporter_ip = 127.0.0.2\n",
         "t.conf:3: [vpc \"prod\"] has no log_group, account, interface, vpc_id, subnet or tgw: it would "
         "take "
         "every record; name it \"default\" if that is meant"},
        {COLLECTOR VPC "account = 123456789012\n", "t.conf:5: [vpc \"default\"] account: \"default\" takes "
                                                   "what no other [vpc] takes and has no such key; "
                                                   "remove it, or give the section another name"},
        {COLLECTOR V("a", "exporter_ip = 127.0.0.2\n") V("b", "exporter_ip = 127.0.0.2\n"),
         "t.conf:8: [vpc \"b\"] exporter_ip: 127.0.0.2 with observation domain 2130706434 is what [vpc "
         "\"a\"] "
         "(t.conf:3) is to [collector \"c\"] too; set another exporter_ip or observation_domain"},
        {FILE_COLLECTOR V("a", "observation_domain = 7\n")
             V("b", "exporter_ip = 127.0.0.2\nobservation_domain = 7\n"),
         "t.conf:9: [vpc \"b\"] observation_domain: 7 is the domain of [vpc \"a\"] (t.conf:3) in the file of "
         "[collector \"f\"] too; set another observation_domain"},
    };

    (void)state;
    ASSERT_MISTAKES(mistakes);
}

static void errors_in_vpc_d_name_that_file(void **state)
{
    static const struct mistake mistakes[] = {
        {COLLECTOR "[vpc \"x\"]\n",
         "vpc.d/b.conf:2: [vpc \"x\"]: is there already, at t.conf:3; give it another name"},
    };

    (void)state;
    write_text("vpc.d/b.conf", "\n[vpc \"x\"]\n");
    ASSERT_MISTAKES(mistakes);
    assert_int_equal(unlink("vpc.d/b.conf"), 0);
}

static void a_key_in_vpc_d_does_not_go_on_with_the_section_of_the_file_before(void **state)
{
    static const struct mistake mistakes[] = {
        {COLLECTOR "[vpc \"x\"]\n",
         "vpc.d/b.conf:1: account: stands before any section; put it below its own, as [daemon]"},
    };

    (void)state;
    write_text("vpc.d/b.conf", "account = 1\n");
    ASSERT_MISTAKES(mistakes);
    assert_int_equal(unlink("vpc.d/b.conf"), 0);
}

static void a_missing_file_says_what_to_do(void **state)
{
    struct conf_error err = {""};

    (void)state;
    assert_null(conf_load("not-there.conf", &err));
    assert_string_equal(err.text,
                        "cannot open not-there.conf: No such file or directory; name the file with -c FILE, "
                        "or use --listen, --collector and --exporter-ip");
}

static void a_directory_is_no_file(void **state)
{
    struct conf_error err = {""};

    (void)state;
    assert_null(conf_load("vpc.d", &err));
    assert_string_equal(err.text, "cannot read vpc.d: Is a directory");
}

static void endless_and_binary_files_end_early(void **state)
{
    struct conf_error err = {""};

    (void)state;
    assert_null(conf_load("/dev/zero", &err));
    assert_string_equal(err.text, "/dev/zero:1: line is longer than 65536 bytes");
    write_bytes("t.conf", "[daemon]\nwork\0ers = 2\n", 22);
    assert_null(conf_load("t.conf", &err));
    assert_string_equal(err.text, "t.conf:2: control character 0x00 at byte 5; expected text");
}

static void a_value_cannot_grow_without_end(void **state)
{
    struct conf_error err = {""};
    FILE *out = fopen("t.conf", "w");

    (void)state;
    assert_non_null(out);
    fprintf(out, "[vpc \"v\"]\ninterface = eni-0\n");
    for (int i = 0; i < 40000; i++)
        fprintf(out, "  , eni-%d\n", i);
    fclose(out);
    assert_null(conf_load("t.conf", &err));
    assert_string_equal(err.text, "t.conf:2: interface: value is longer than 262144 bytes");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_that_cannot_be_read_name_the_line),
        cmocka_unit_test(sections_that_are_not_there_say_which_are),
        cmocka_unit_test(keys_that_are_not_there_suggest_the_nearest),
        cmocka_unit_test(values_that_do_not_fit_say_what_is_expected),
        cmocka_unit_test(addresses_that_are_none_show_one),
        cmocka_unit_test(options_that_do_not_go_together_name_both_places),
        cmocka_unit_test(errors_in_vpc_d_name_that_file),
        cmocka_unit_test(a_key_in_vpc_d_does_not_go_on_with_the_section_of_the_file_before),
        cmocka_unit_test(a_missing_file_says_what_to_do),
        cmocka_unit_test(a_directory_is_no_file),
        cmocka_unit_test(endless_and_binary_files_end_early),
        cmocka_unit_test(a_value_cannot_grow_without_end),
    };

    return cmocka_run_group_tests(tests, enter_directory, leave_directory);
}
