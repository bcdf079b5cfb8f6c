/* The listener with real sockets, in one thread: what a reload changes, and for whom. */
#include "certificates.h"
#include "conf/conf_files.h"

#include <arpa/inet.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/socket.h>

#include "vpcflowd/listener.h"
#include "vpcflowd/metrics.h"
#include "vpcflowd/tls.h"

#define PATIENCE 500 /* rounds of 10 ms at most */

struct fixture {
    struct event_base *base;
    struct listener *listener;
    struct ticket *ticket; /* of the last payload, if it is held back */
    bool hold;
    unsigned payloads;
    bool stopped;
};

static void on_payload(void *ctx, struct evbuffer *bytes, struct ticket *ticket)
{
    struct fixture *f = ctx;

    f->payloads++;
    evbuffer_free(bytes);
    if (f->hold)
        f->ticket = ticket;
    else
        listener_reply(ticket, "OK", false);
}

static void on_stopped(void *ctx)
{
    ((struct fixture *)ctx)->stopped = true;
}

static struct conf *conf_of(const char *keys)
{
    char text[4096];

    snprintf(text, sizeof(text), "[listener]\naddress = 127.0.0.1:0\n%s" COLLECTOR VPC, keys);
    write_text("t.conf", text);
    return load();
}

static void open_listener(struct fixture *f, const char *keys)
{
    struct listener_calls calls = {.ctx = f, .on_payload = on_payload, .on_stopped = on_stopped};
    struct conf *conf = conf_of(keys);
    struct error err = {0};

    *f = (struct fixture){.base = event_base_new()};
    f->listener = listener_new(f->base, conf, &calls, &err);
    conf_unref(conf);
    assert_string_equal(err.detail, "");
    assert_non_null(f->listener);
}

static void close_listener(struct fixture *f)
{
    listener_free(f->listener);
    event_base_free(f->base);
}

static int reload(struct fixture *f, const char *keys, struct error *ret_err)
{
    struct conf *conf = conf_of(keys);
    int rc = listener_reload(f->listener, conf, ret_err);

    conf_unref(conf);
    return rc;
}

static int dial(const struct fixture *f, const char *source)
{
    struct sockaddr_in to = {.sin_family = AF_INET}, from = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    to.sin_port = htons((uint16_t)atoi(strrchr(listener_address(f->listener), ':') + 1));
    inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
    inet_pton(AF_INET, source, &from.sin_addr);
    assert_int_equal(bind(fd, (struct sockaddr *)&from, sizeof(from)), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    return fd;
}

static void say(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* Runs the event loop until the connection has something to read. False: it has not. */
static bool readable(struct fixture *f, int fd, int rounds)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    for (int i = 0; i < rounds; i++) {
        event_base_loop(f->base, EVLOOP_NONBLOCK);
        if (poll(&p, 1, 10) == 1)
            return true;
    }
    return false;
}

/* The next line, "" if the connection was closed instead. */
static const char *hear(struct fixture *f, int fd)
{
    static char line[1024];
    size_t n = 0;

    do {
        assert_true(readable(f, fd, PATIENCE));
        if (recv(fd, line + n, 1, 0) <= 0)
            break;
    } while (line[n++] != '\n');
    line[n] = '\0';
    return line;
}

static bool is_open(struct fixture *f, int fd)
{
    say(fd, "PING\n");
    return strcmp(hear(f, fd), "PONG\n") == 0;
}

static void a_reload_that_fails_changes_nothing(void **state)
{
    struct error err = {0};
    struct fixture f;
    int fd;

    (void)state;
    write_text("tokens", "secret\n");
    write_text("broken.pem", "broken\n");
    open_listener(&f, "token_file = tokens\n");
    assert_int_equal(reload(&f, "tls_certificate = broken.pem\ntls_key = broken.pem\n", &err), -1);
    assert_non_null(strstr(err.detail, "broken.pem"));
    fd = dial(&f, "127.0.0.1");
    say(fd, "AUTH secret\nDATA 1\nx");
    assert_string_equal(hear(&f, fd), "OK\n");
    close(fd);
    fd = dial(&f, "127.0.0.1");
    say(fd, "DATA 1\nx");
    assert_int_equal(strncmp(hear(&f, fd), "ERR 401 not authorised: ", 24), 0);
    close(fd);
    close_listener(&f);
}

static void tokens_are_taken_up_and_open_connections_go_on(void **state)
{
    struct error err = {0};
    struct fixture f;
    int old, late, new;

    (void)state;
    write_text("tokens", "first\n");
    open_listener(&f, "token_file = tokens\n");
    old = dial(&f, "127.0.0.1");
    say(old, "AUTH first\nDATA 1\nx");
    assert_string_equal(hear(&f, old), "OK\n");
    write_text("tokens", "second\n");
    assert_int_equal(reload(&f, "token_file = tokens\n", &err), 0);
    say(old, "DATA 1\nx");
    assert_string_equal(hear(&f, old), "OK\n");
    late = dial(&f, "127.0.0.1");
    say(late, "AUTH first\nDATA 1\nx");
    assert_int_equal(strncmp(hear(&f, late), "ERR 401 ", 8), 0);
    assert_string_equal(hear(&f, late), "");
    new = dial(&f, "127.0.0.1");
    say(new, "AUTH second\nDATA 1\nx");
    assert_string_equal(hear(&f, new), "OK\n");
    assert_int_equal(f.payloads, 3);
    close(old);
    close(late);
    close(new);
    close_listener(&f);
}

static void who_may_send_no_more_ends_between_payloads(void **state)
{
    struct error err = {0};
    struct fixture f;
    int idle, sending, waiting, allowed;

    (void)state;
    open_listener(&f, "");
    idle = dial(&f, "127.0.0.2");
    sending = dial(&f, "127.0.0.2");
    waiting = dial(&f, "127.0.0.2");
    allowed = dial(&f, "127.0.0.3");
    assert_true(is_open(&f, idle) && is_open(&f, sending) && is_open(&f, waiting) && is_open(&f, allowed));
    f.hold = true;
    say(waiting, "DATA 1\nx");
    for (int i = 0; i < PATIENCE && f.ticket == NULL; i++)
        event_base_loop(f.base, EVLOOP_ONCE);
    f.hold = false;
    say(sending, "PING\nDATA 2\nx");
    assert_string_equal(hear(&f, sending), "PONG\n");
    assert_int_equal(reload(&f, "allow = 127.0.0.3, 127.0.0.4\n", &err), 0);

    assert_string_equal(hear(&f, idle), "");
    say(sending, "xDATA 1\ny");
    assert_string_equal(hear(&f, sending), "OK\n"); /* what had begun is served, what follows is not */
    assert_string_equal(hear(&f, sending), "");
    listener_reply(f.ticket, "OK late", false);
    assert_string_equal(hear(&f, waiting), "OK late\n");
    assert_string_equal(hear(&f, waiting), "");
    assert_true(is_open(&f, allowed));
    assert_int_equal(f.payloads, 2);
    close(idle);
    close(sending);
    close(waiting);
    close(allowed);
    close_listener(&f);
}

static void limits_are_taken_up(void **state)
{
    struct error err = {0};
    struct fixture f;
    int one, two, three;

    (void)state;
    open_listener(&f, "max_connections_per_address = 1\nmax_payload = 2000\n");
    one = dial(&f, "127.0.0.1");
    assert_true(is_open(&f, one));
    two = dial(&f, "127.0.0.1");
    assert_int_equal(strncmp(hear(&f, two), "ERR 503 ", 8), 0);
    assert_int_equal(reload(&f, "max_connections_per_address = 2\nmax_payload = 3000\n", &err), 0);
    three = dial(&f, "127.0.0.1");
    say(three, "DATA 2999\n");
    assert_true(!readable(&f, three, 5));
    say(one, "DATA 2999\n"); /* came under the old limit */
    assert_int_equal(strncmp(hear(&f, one), "ERR 413 ", 8), 0);
    close(one);
    close(two);
    close(three);
    close_listener(&f);
}

/* The subject of the certificate that a new connection is shown; "" if it can't be had. */
static const char *shown_certificate(struct fixture *f)
{
    struct tls_context *context;
    static char name[ERROR_DETAIL_MAX];
    enum tls_result result = TLS_WANT_READ;
    struct error err = {0};
    struct tls *t;
    int fd = dial(f, "127.0.0.1");

    context = tls_client(path_of("ca.pem"), NULL, NULL, &err);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    t = tls_connect(context, fd, "collector.example.net");
    tls_context_free(context);
    for (int i = 0; i < PATIENCE && (result == TLS_WANT_READ || result == TLS_WANT_WRITE); i++) {
        result = tls_handshake(t, &err);
        if (result == TLS_WANT_READ)
            readable(f, fd, 1);
    }
    snprintf(name, sizeof(name), "%s", result == TLS_DONE ? tls_peer_name(t) : err.detail);
    tls_end(t);
    tls_free(t);
    close(fd);
    return name;
}

static void certificates_are_taken_up(void **state)
{
    struct error err = {0};
    struct fixture f;
    char keys[512];
    int plain;

    (void)state;
    open_listener(&f, "");
    plain = dial(&f, "127.0.0.1");
    assert_true(is_open(&f, plain));
    snprintf(keys, sizeof(keys), "tls_certificate = %s\ntls_key = %s\n", path_of("server.pem"),
             path_of("server.key"));
    assert_int_equal(reload(&f, keys, &err), 0);
    assert_string_equal(shown_certificate(&f), "CN=collector");
    assert_true(is_open(&f, plain));
    snprintf(keys, sizeof(keys), "tls_certificate = %s\ntls_key = %s\n", path_of("expired.pem"),
             path_of("expired.key"));
    assert_int_equal(reload(&f, keys, &err), 0);
    assert_non_null(strstr(shown_certificate(&f), "has expired"));
    assert_int_equal(reload(&f, "", &err), 0);
    close(plain);
    plain = dial(&f, "127.0.0.1");
    assert_true(is_open(&f, plain));
    close(plain);
    close_listener(&f);
}

static void a_stop_waits_for_no_greeting(void **state)
{
    struct fixture f;
    char keys[512];
    int fd;

    (void)state;
    snprintf(keys, sizeof(keys), "proxy_from = 127.0.0.9\ntls_certificate = %s\ntls_key = %s\n",
             path_of("server.pem"), path_of("server.key"));
    open_listener(&f, keys);
    fd = dial(&f, "127.0.0.9");
    assert_false(readable(&f, fd, 3));
    listener_stop(f.listener);
    for (int i = 0; i < PATIENCE && !f.stopped; i++)
        event_base_loop(f.base, EVLOOP_ONCE);
    assert_true(f.stopped);
    assert_string_equal(hear(&f, fd), "");
    close(fd);
    close_listener(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_reload_that_fails_changes_nothing, enter_directory,
                                        leave_directory),
        cmocka_unit_test_setup_teardown(tokens_are_taken_up_and_open_connections_go_on, enter_directory,
                                        leave_directory),
        cmocka_unit_test_setup_teardown(who_may_send_no_more_ends_between_payloads, enter_directory,
                                        leave_directory),
        cmocka_unit_test_setup_teardown(limits_are_taken_up, enter_directory, leave_directory),
        cmocka_unit_test_setup_teardown(certificates_are_taken_up, enter_directory, leave_directory),
        cmocka_unit_test_setup_teardown(a_stop_waits_for_no_greeting, enter_directory, leave_directory),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, make_certificates, remove_certificates);
}
