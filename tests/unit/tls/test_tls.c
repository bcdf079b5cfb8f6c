#include "certificates.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "vpcflowd/tls.h"

#define ROUNDS 1000 /* calls until a handshake of two ends must be over */

struct pair {
    int fd[2];
    struct tls *client, *server;
    enum tls_result client_result, server_result;
    struct error client_error, server_error;
};

static void open_sockets(struct pair *p)
{
    *p = (struct pair){0};
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, p->fd), 0);
}

static void close_pair(struct pair *p)
{
    tls_free(p->client);
    tls_free(p->server);
    if (p->fd[0] >= 0)
        close(p->fd[0]);
    if (p->fd[1] >= 0)
        close(p->fd[1]);
}

static struct tls_context *server_context(const char *client_ca)
{
    struct error err = {0};
    struct tls_context *context = tls_server(path_of("server.pem"), path_of("server.key"), client_ca, &err);

    assert_string_equal(err.detail, "");
    assert_non_null(context);
    return context;
}

static struct tls_context *client_context(const char *ca, const char *certificate, const char *key)
{
    struct error err = {0};
    struct tls_context *context = tls_client(ca, certificate, key, &err);

    assert_string_equal(err.detail, "");
    assert_non_null(context);
    return context;
}

static bool waits(enum tls_result result)
{
    return result == TLS_WANT_READ || result == TLS_WANT_WRITE;
}

/* Both ends, until neither waits. Frees the contexts: the sessions keep theirs. */
static void shake(struct pair *p, struct tls_context *client, struct tls_context *server, const char *name)
{
    open_sockets(p);
    p->client = tls_connect(client, p->fd[0], name);
    p->server = tls_accept(server, p->fd[1]);
    tls_context_free(client);
    tls_context_free(server);
    assert_non_null(p->client);
    assert_non_null(p->server);
    p->client_result = p->server_result = TLS_WANT_READ;
    for (int i = 0; i < ROUNDS && (waits(p->client_result) || waits(p->server_result)); i++) {
        if (waits(p->client_result))
            p->client_result = tls_handshake(p->client, &p->client_error);
        if (waits(p->server_result))
            p->server_result = tls_handshake(p->server, &p->server_error);
        if (p->client_result == TLS_FAILED && waits(p->server_result))
            shutdown(p->fd[0], SHUT_WR);
        if (p->server_result == TLS_FAILED && waits(p->client_result))
            shutdown(p->fd[1], SHUT_WR);
    }
}

static void shake_well(struct pair *p)
{
    shake(p, client_context(path_of("ca.pem"), NULL, NULL), server_context(NULL), "collector.example.net");
    assert_string_equal(p->client_error.detail, "");
    assert_string_equal(p->server_error.detail, "");
    assert_int_equal(p->client_result, TLS_DONE);
    assert_int_equal(p->server_result, TLS_DONE);
}

static void assert_says(const struct error *err, const char *words)
{
    assert_int_equal(err->kind, ERROR_INTERNAL);
    if (strstr(err->detail, words) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", err->detail, words);
    assert_int_equal(ERR_peek_error(), 0);
}

/* ---- data ---- */

static void send_through(struct tls *from, struct tls *to, size_t size, size_t piece)
{
    unsigned char *sent = malloc(size), *got = malloc(size);
    size_t out = 0, in = 0, n;
    struct error err = {0};

    for (size_t i = 0; i < size; i++)
        sent[i] = (unsigned char)(i * 2654435761u >> 24);
    while (in < size) {
        size_t most = size - out < piece ? size - out : piece;
        enum tls_result result = TLS_DONE;

        if (out < size) {
            unsigned char *moved = malloc(most); /* a repeated write may come from elsewhere */

            memcpy(moved, sent + out, most);
            result = tls_write(from, moved, most, &n, &err);
            free(moved);
            if (result == TLS_DONE) {
                assert_in_range(n, 1, most);
                out += n;
            }
            assert_true(result == TLS_DONE || waits(result));
        }
        if (result == TLS_DONE && out < size && out % 7 != 0)
            continue;
        while ((result = tls_read(to, got + in, size - in < piece ? size - in : piece, &n, &err)) ==
               TLS_DONE) {
            assert_in_range(n, 1, piece);
            in += n;
            if (in == size)
                break;
        }
        assert_true(result == TLS_DONE || result == TLS_WANT_READ);
    }
    assert_memory_equal(sent, got, size);
    free(sent);
    free(got);
}

static void data_goes_both_ways_in_any_pieces(void **state)
{
    struct pair p;

    (void)state;
    shake_well(&p);
    for (size_t piece = 1; piece <= 100000; piece = piece * 3 + 1) {
        send_through(p.client, p.server, piece < 100 ? 2000 : 300000, piece);
        send_through(p.server, p.client, piece < 100 ? 2000 : 300000, piece);
    }
    close_pair(&p);
}

/* The same with a socket that takes and gives little at a time. */
static void data_arrives_through_a_narrow_socket(void **state)
{
    int size = 2048;
    struct pair p;

    (void)state;
    shake_well(&p);
    setsockopt(p.fd[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    setsockopt(p.fd[1], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    send_through(p.client, p.server, 200000, 60000);
    send_through(p.server, p.client, 200000, 60000);
    close_pair(&p);
}

static void pending_tells_of_bytes_that_the_socket_does_not_show(void **state)
{
    struct error err = {0};
    char byte, rest[100];
    struct pair p;
    int waiting;
    size_t n;

    (void)state;
    shake_well(&p);
    assert_int_equal(tls_pending(p.server), 0);
    assert_int_equal(tls_write(p.client, "first", 5, &n, &err), TLS_DONE);
    assert_int_equal(tls_write(p.client, "second", 6, &n, &err), TLS_DONE);
    assert_int_equal(tls_read(p.server, &byte, 1, &n, &err), TLS_DONE);
    assert_int_equal(ioctl(p.fd[1], FIONREAD, &waiting), 0);
    assert_int_equal(waiting, 0);
    assert_int_equal(tls_pending(p.server), 4);
    assert_int_equal(tls_read(p.server, rest, sizeof(rest), &n, &err), TLS_DONE);
    assert_int_equal(n, 4);
    assert_int_not_equal(tls_pending(p.server), 0);
    assert_int_equal(tls_read(p.server, rest, sizeof(rest), &n, &err), TLS_DONE);
    assert_int_equal(n, 6);
    assert_int_equal(tls_read(p.server, rest, sizeof(rest), &n, &err), TLS_WANT_READ);
    assert_int_equal(tls_pending(p.server), 0);
    close_pair(&p);
}

/* Moves what waits in one socket to another, a few bytes at a time; returns how many. */
static uint64_t carry(int from, int to)
{
    uint64_t all = 0;
    char bytes[113];
    ssize_t n;

    while ((n = read(from, bytes, sizeof(bytes))) > 0) {
        assert_int_equal(write(to, bytes, (size_t)n), n);
        all += (uint64_t)n;
    }
    return all;
}

static void wire_bytes_are_what_the_other_side_got(void **state)
{
    struct tls_context *server = server_context(NULL);
    struct tls_context *client = client_context(path_of("ca.pem"), NULL, NULL);
    int a[2], b[2]; /* client - a, carried, b - server */
    uint64_t from_client = 0, from_server = 0;
    struct tls *c, *s;
    struct error err = {0};
    char bytes[5000] = {0};
    size_t n, got = 0;

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, a), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, b), 0);
    c = tls_connect(client, a[0], "192.0.2.1");
    s = tls_accept(server, b[0]);
    assert_int_equal(tls_wire_bytes(c), 0);
    for (int i = 0; i < 20; i++) {
        tls_handshake(c, &err);
        tls_handshake(s, &err);
        from_client += carry(a[1], b[1]);
        from_server += carry(b[1], a[1]);
    }
    assert_int_equal(tls_handshake(c, &err), TLS_DONE);
    assert_int_equal(tls_handshake(s, &err), TLS_DONE);
    assert_int_equal(tls_wire_bytes(c), from_client);
    assert_int_equal(tls_wire_bytes(s), from_server);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(tls_write(c, bytes, sizeof(bytes), &n, &err), TLS_DONE);
        from_client += carry(a[1], b[1]);
        while (tls_read(s, bytes, sizeof(bytes), &n, &err) == TLS_DONE)
            got += n;
    }
    assert_int_equal(got, 10 * sizeof(bytes));
    assert_int_equal(tls_wire_bytes(c), from_client);
    assert_true(from_client > got);
    tls_end(c);
    assert_int_equal(tls_wire_bytes(c), from_client + carry(a[1], b[1]));
    tls_free(c);
    tls_free(s);
    tls_context_free(client);
    tls_context_free(server);
    for (int i = 0; i < 2; i++) {
        close(a[i]);
        close(b[i]);
    }
}

/* ---- the end ---- */

static void close_notify_is_an_end_in_order(void **state)
{
    struct error err = {0};
    char bytes[16];
    struct pair p;
    size_t n;

    (void)state;
    shake_well(&p);
    assert_int_equal(tls_write(p.client, "last", 4, &n, &err), TLS_DONE);
    tls_end(p.client);
    close(p.fd[0]);
    p.fd[0] = -1;
    assert_int_equal(tls_read(p.server, bytes, sizeof(bytes), &n, &err), TLS_DONE);
    assert_int_equal(n, 4);
    assert_int_equal(tls_read(p.server, bytes, sizeof(bytes), &n, &err), TLS_ENDED);
    assert_int_equal(tls_read(p.server, bytes, sizeof(bytes), &n, &err), TLS_ENDED);
    close_pair(&p);
}

static void behind_the_peers_close_notify_replies_still_go_out(void **state)
{
    struct error err = {0};
    char bytes[16];
    struct pair p;
    size_t n;

    (void)state;
    shake_well(&p);
    tls_end(p.client);
    assert_int_equal(tls_read(p.server, bytes, sizeof(bytes), &n, &err), TLS_ENDED);
    assert_int_equal(tls_write(p.server, "reply", 5, &n, &err), TLS_DONE);
    tls_end(p.server);
    assert_int_equal(tls_read(p.client, bytes, sizeof(bytes), &n, &err), TLS_DONE);
    assert_int_equal(n, 5);
    assert_int_equal(tls_read(p.client, bytes, sizeof(bytes), &n, &err), TLS_ENDED);
    close_pair(&p);
}

static void a_cut_connection_is_no_end(void **state)
{
    struct error err = {0};
    char bytes[16];
    struct pair p;
    size_t n;

    (void)state;
    shake_well(&p);
    close(p.fd[0]);
    p.fd[0] = -1;
    assert_int_equal(tls_read(p.server, bytes, sizeof(bytes), &n, &err), TLS_FAILED);
    assert_says(&err, "cut the connection without ending TLS");
    assert_int_equal(tls_read(p.server, bytes, sizeof(bytes), &n, &err), TLS_FAILED);
    assert_int_equal(tls_write(p.server, "x", 1, &n, &err), TLS_FAILED);
    tls_end(p.server);
    close_pair(&p);
}

static void a_write_to_a_peer_that_is_gone_fails_in_plain_words(void **state)
{
    struct error err = {0};
    struct pair p;
    size_t n;

    (void)state;
    shake_well(&p);
    close(p.fd[0]);
    p.fd[0] = -1;
    assert_int_equal(tls_write(p.server, "x", 1, &n, &err), TLS_FAILED);
    assert_says(&err, "Broken pipe");
    close_pair(&p);
}

static void damaged_bytes_fail(void **state)
{
    struct error err = {0};
    unsigned char bytes[200];
    struct pair p;
    size_t n;

    (void)state;
    shake_well(&p);
    assert_int_equal(tls_write(p.client, "some words", 10, &n, &err), TLS_DONE);
    n = (size_t)read(p.fd[1], bytes, sizeof(bytes));
    bytes[n - 1] ^= 1;
    assert_int_equal(write(p.fd[0], bytes, n), n);
    assert_int_equal(tls_read(p.server, bytes, sizeof(bytes), &n, &err), TLS_FAILED);
    assert_says(&err, "TLS failed: decryption failed or bad record mac");
    close_pair(&p);
}

/* ---- whom to trust ---- */

static void names_and_addresses_are_checked(void **state)
{
    static const struct {
        const char *name;
        bool good;
    } cases[] = {
        {"collector.example.net", true},
        {"COLLECTOR.example.net", true},
        {"192.0.2.1", true},
        {"2001:db8::1", true},
        {"2001:db8:0:0::1", true},
        {"collector.example.org", false},
        {"example.net", false},
        {"192.0.2.2", false},
        {"2001:db8::2", false},
        {"collector", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct pair p;

        shake(&p, client_context(path_of("ca.pem"), NULL, NULL), server_context(NULL), cases[i].name);
        assert_int_equal(p.client_result, cases[i].good ? TLS_DONE : TLS_FAILED);
        if (cases[i].good) {
            assert_string_equal(tls_peer_name(p.client), "CN=collector");
        } else {
            assert_says(&p.client_error, "certificate is not for the name");
            assert_says(&p.client_error, cases[i].name);
        }
        close_pair(&p);
    }
}

static void a_wrong_authority_is_named(void **state)
{
    struct pair p;

    (void)state;
    shake(&p, client_context(path_of("other-ca.pem"), NULL, NULL), server_context(NULL), "192.0.2.1");
    assert_int_equal(p.client_result, TLS_FAILED);
    assert_says(&p.client_error, "the peer's certificate is not from an authority in ");
    assert_says(&p.client_error, "other-ca.pem (");
    assert_int_equal(p.server_result, TLS_FAILED);
    assert_says(&p.server_error, "the peer does not know the authority of our certificate");
    close_pair(&p);
}

static void the_systems_authorities_do_not_know_ours(void **state)
{
    struct pair p;

    (void)state;
    shake(&p, client_context(NULL, NULL, NULL), server_context(NULL), "192.0.2.1");
    assert_int_equal(p.client_result, TLS_FAILED);
    assert_says(&p.client_error, "is not from an authority in the system's store");
    close_pair(&p);
}

static struct tls_context *other_server(const char *certificate, const char *key)
{
    struct error err = {0};
    struct tls_context *context = tls_server(path_of(certificate), path_of(key), NULL, &err);

    assert_string_equal(err.detail, "");
    return context;
}

static void a_self_signed_certificate_is_taken_when_it_is_the_authority_itself(void **state)
{
    struct pair p;

    (void)state;
    shake(&p, client_context(path_of("self.pem"), NULL, NULL), other_server("self.pem", "self.key"),
          "collector.example.net");
    assert_int_equal(p.client_result, TLS_DONE);
    close_pair(&p);
    shake(&p, client_context(path_of("ca.pem"), NULL, NULL), other_server("self.pem", "self.key"),
          "collector.example.net");
    assert_int_equal(p.client_result, TLS_FAILED);
    assert_says(&p.client_error, "(self-signed certificate)");
    close_pair(&p);
}

static void an_expired_certificate_is_for_the_peer_to_refuse(void **state)
{
    struct tls_context *server = other_server("expired.pem", "expired.key");
    struct pair p;

    (void)state;
    assert_in_range((uint64_t)tls_context_expires(server), (uint64_t)(time(NULL) - DAY - 600),
                    (uint64_t)(time(NULL) - DAY + 1));
    shake(&p, client_context(path_of("ca.pem"), NULL, NULL), server, "collector.example.net");
    assert_int_equal(p.client_result, TLS_FAILED);
    assert_says(&p.client_error, "has expired");
    assert_says(&p.server_error, "finds our certificate expired");
    close_pair(&p);
}

static void a_client_certificate_can_be_demanded(void **state)
{
    struct pair p;

    (void)state;
    shake(&p, client_context(path_of("ca.pem"), path_of("client.pem"), path_of("client.key")),
          server_context(path_of("ca.pem")), "192.0.2.1");
    assert_int_equal(p.client_result, TLS_DONE);
    assert_int_equal(p.server_result, TLS_DONE);
    assert_string_equal(tls_peer_name(p.server), "CN=sender\\0A2026 forged\\1B[31m");
    send_through(p.client, p.server, 100, 100);
    close_pair(&p);
}

static void without_the_client_certificate_nothing_is_read(void **state)
{
    struct error err = {0};
    struct pair p;
    char byte;
    size_t n;

    (void)state;
    shake(&p, client_context(path_of("ca.pem"), NULL, NULL), server_context(path_of("ca.pem")), "192.0.2.1");
    assert_int_equal(p.server_result, TLS_FAILED);
    assert_says(&p.server_error, "the peer showed no certificate; it must show one from an authority in ");
    assert_says(&p.server_error, "/ca.pem");
    assert_string_equal(tls_peer_name(p.server), "");
    /* In TLS 1.3 the client learns of it with its first read. */
    assert_int_equal(tls_read(p.client, &byte, 1, &n, &err), TLS_FAILED);
    assert_says(&err, "the peer demands a certificate of us");
    close_pair(&p);
    shake(&p, client_context(path_of("ca.pem"), path_of("stranger.pem"), path_of("stranger.key")),
          server_context(path_of("ca.pem")), "192.0.2.1");
    assert_int_equal(p.server_result, TLS_FAILED);
    assert_says(&p.server_error, "is not from an authority in ");
    close_pair(&p);
}

/* ---- other peers ---- */

/* A client of the library's own, without our settings. Returns whether its handshake came to an end. */
static bool foreign_client(struct pair *p, int min, int max, const char *ciphers)
{
    struct tls_context *server = server_context(NULL);
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL *ssl;
    bool done;

    open_sockets(p);
    SSL_CTX_set_security_level(ctx, 0);
    SSL_CTX_set_min_proto_version(ctx, min);
    SSL_CTX_set_max_proto_version(ctx, max);
    assert_int_equal(SSL_CTX_set_cipher_list(ctx, ciphers), 1);
    ssl = SSL_new(ctx);
    SSL_set_fd(ssl, p->fd[0]);
    SSL_set_connect_state(ssl);
    p->server = tls_accept(server, p->fd[1]);
    tls_context_free(server);
    for (int i = 0; i < 20 && p->server_result != TLS_FAILED; i++) {
        SSL_do_handshake(ssl);
        p->server_result = tls_handshake(p->server, &p->server_error);
        ERR_clear_error();
    }
    done = SSL_is_init_finished(ssl);
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    return done && p->server_result == TLS_DONE;
}

static void tls_1_2_and_1_3_are_taken_and_older_ones_refused(void **state)
{
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION, TLS1_1_VERSION, TLS1_VERSION};
    struct pair p;

    (void)state;
    for (int i = 0; i < 4; i++) {
        assert_int_equal(foreign_client(&p, versions[i], versions[i], "ALL:@SECLEVEL=0"), i < 2);
        if (i >= 2) {
            assert_int_equal(p.server_result, TLS_FAILED);
            assert_says(&p.server_error, "the peer speaks only old versions");
        }
        close_pair(&p);
    }
}

static void weak_ciphers_are_refused(void **state)
{
    struct pair p;

    (void)state;
    assert_false(foreign_client(&p, TLS1_2_VERSION, TLS1_2_VERSION, "ECDHE-ECDSA-AES128-SHA"));
    assert_says(&p.server_error, "the peer offers no cipher that is taken here");
    close_pair(&p);
    assert_true(foreign_client(&p, TLS1_2_VERSION, TLS1_2_VERSION, "ECDHE-ECDSA-CHACHA20-POLY1305"));
    close_pair(&p);
}

static void refusal_of(const char *sent, size_t n, const char *words)
{
    struct tls_context *server = server_context(NULL);
    struct pair p;

    open_sockets(&p);
    p.server = tls_accept(server, p.fd[1]);
    tls_context_free(server);
    assert_int_equal(write(p.fd[0], sent, n), n);
    assert_int_equal(tls_handshake(p.server, &p.server_error), TLS_FAILED);
    assert_says(&p.server_error, words);
    close_pair(&p);
}

static void what_is_no_tls_is_refused_in_plain_words(void **state)
{
    /* A ClientHello of TLS 1.1, made by hand. */
    static const char old[] = "\x16\x03\x01\x00\x2f\x01\x00\x00\x2b\x03\x02"
                              "0123456789abcdef0123456789abcdef"
                              "\x00\x00\x04\xc0\x09\x00\x35\x01\x00";

    (void)state;
    refusal_of("DATA 100\nH4sIAAAA", 17, "the peer speaks no TLS: it sent plain text");
    refusal_of("{\"messageType\":\"DATA_MESSAGE\"}", 30, "the peer speaks no TLS: it sent plain text");
    refusal_of("POST /firehose HTTP/1.1\r\n\r\n", 27, "the peer speaks no TLS: it sent a plain HTTP request");
    refusal_of(old, sizeof(old) - 1, "the peer speaks only old versions");
}

static void a_peer_that_leaves_during_the_handshake_is_told_of(void **state)
{
    struct tls_context *server = server_context(NULL);
    struct pair p;

    (void)state;
    open_sockets(&p);
    p.server = tls_accept(server, p.fd[1]);
    tls_context_free(server);
    assert_int_equal(tls_handshake(p.server, &p.server_error), TLS_WANT_READ);
    close(p.fd[0]);
    p.fd[0] = -1;
    assert_int_equal(tls_handshake(p.server, &p.server_error), TLS_FAILED);
    assert_says(&p.server_error, "the peer cut the connection during the TLS handshake");
    close_pair(&p);
}

/* ---- files ---- */

static void refused(const char *certificate, const char *key, const char *client_ca, const char *file,
                    const char *words)
{
    struct error err = {0};

    assert_null(tls_server(path_of(certificate), key == NULL ? NULL : path_of(key),
                           client_ca == NULL ? NULL : path_of(client_ca), &err));
    assert_says(&err, path_of(file));
    assert_says(&err, words);
}

static void files_that_cannot_be_used_are_named(void **state)
{
    (void)state;
    write_pem("empty.pem", "");
    write_pem("words.pem", "these are words\n");
    write_pem("damaged.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    refused("absent.pem", "server.key", NULL, "absent.pem", "No such file");
    refused("server.pem", "absent.key", NULL, "absent.key", "No such file");
    refused("server.pem", "server.key", "absent.pem", "absent.pem", "No such file");
    refused("empty.pem", "server.key", NULL, "empty.pem", "the file is empty");
    refused("words.pem", "server.key", NULL, "words.pem", "no PEM certificate is in it");
    refused("damaged.pem", "server.key", NULL, "damaged.pem", "can't be used");
    refused("server.pem", "words.pem", NULL, "words.pem", "no PEM private key is in it");
    refused("server.pem", "server.pem", NULL, "server.pem", "no PEM private key is in it");
    refused("server.pem", NULL, NULL, "server.pem", "no PEM private key is in it");
    refused("server.pem", "server.key", "words.pem", "words.pem", "no PEM certificate is in it");
    refused("server.pem", "client.key", NULL, "client.key", "does not belong to the (first) certificate in ");
    refused("server.pem", "locked.key", NULL, "locked.key", "it has a passphrase");
    refused(".", "server.key", NULL, ".", "Is a directory");
}

static void a_client_needs_readable_files_too(void **state)
{
    struct error err = {0};

    (void)state;
    assert_null(tls_client(path_of("absent.pem"), NULL, NULL, &err));
    assert_says(&err, "absent.pem");
    assert_null(tls_client(path_of("ca.pem"), path_of("client.pem"), path_of("server.key"), &err));
    assert_says(&err, "does not belong");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(data_goes_both_ways_in_any_pieces),
        cmocka_unit_test(data_arrives_through_a_narrow_socket),
        cmocka_unit_test(pending_tells_of_bytes_that_the_socket_does_not_show),
        cmocka_unit_test(wire_bytes_are_what_the_other_side_got),
        cmocka_unit_test(close_notify_is_an_end_in_order),
        cmocka_unit_test(behind_the_peers_close_notify_replies_still_go_out),
        cmocka_unit_test(a_cut_connection_is_no_end),
        cmocka_unit_test(a_write_to_a_peer_that_is_gone_fails_in_plain_words),
        cmocka_unit_test(damaged_bytes_fail),
        cmocka_unit_test(names_and_addresses_are_checked),
        cmocka_unit_test(a_wrong_authority_is_named),
        cmocka_unit_test(the_systems_authorities_do_not_know_ours),
        cmocka_unit_test(a_self_signed_certificate_is_taken_when_it_is_the_authority_itself),
        cmocka_unit_test(an_expired_certificate_is_for_the_peer_to_refuse),
        cmocka_unit_test(a_client_certificate_can_be_demanded),
        cmocka_unit_test(without_the_client_certificate_nothing_is_read),
        cmocka_unit_test(tls_1_2_and_1_3_are_taken_and_older_ones_refused),
        cmocka_unit_test(weak_ciphers_are_refused),
        cmocka_unit_test(what_is_no_tls_is_refused_in_plain_words),
        cmocka_unit_test(a_peer_that_leaves_during_the_handshake_is_told_of),
        cmocka_unit_test(files_that_cannot_be_used_are_named),
        cmocka_unit_test(a_client_needs_readable_files_too),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, make_certificates, remove_certificates);
}
