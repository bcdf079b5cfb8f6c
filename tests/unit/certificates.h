/* Certificates made for a test, in its own directory. */
#ifndef TEST_CERTIFICATES_H
#define TEST_CERTIFICATES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#define DAY (24L * 60 * 60)

static char directory[] = "/tmp/vpcflowd-tls-XXXXXX";

/* PATH_OF("name") is good until the eighth call from now. */
static inline const char *path_of(const char *name)
{
    static char paths[8][128];
    static unsigned next;
    char *path = paths[next++ % 8];

    snprintf(path, sizeof(paths[0]), "%s/%s", directory, name);
    return path;
}

static inline void write_pem(const char *name, const char *text)
{
    FILE *f = fopen(path_of(name), "w");

    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    fclose(f);
}

static inline void write_key(const char *name, EVP_PKEY *key, const char *passphrase)
{
    FILE *f = fopen(path_of(name), "w");

    assert_non_null(f);
    assert_int_equal(PEM_write_PKCS8PrivateKey(f, key, passphrase == NULL ? NULL : EVP_aes_256_cbc(), NULL, 0,
                                               NULL, (void *)passphrase),
                     1);
    fclose(f);
}

static inline void write_certificate(const char *name, X509 *certificate)
{
    FILE *f = fopen(path_of(name), "w");

    assert_non_null(f);
    assert_int_equal(PEM_write_X509(f, certificate), 1);
    fclose(f);
}

static inline void add_extension(X509 *certificate, int nid, const char *value)
{
    X509V3_CTX context;
    X509_EXTENSION *extension;

    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, certificate, certificate, NULL, NULL, 0);
    extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    assert_non_null(extension);
    assert_int_equal(X509_add_ext(certificate, extension, -1), 1);
    X509_EXTENSION_free(extension);
}

struct authority {
    X509 *certificate;
    EVP_PKEY *key;
};

/* alt: a subjectAltName as openssl.cnf has it, or NULL for an authority. by NULL: signed by itself. */
static inline struct authority issue(const char *common_name, const char *alt, long from, long to,
                                     const struct authority *by)
{
    static long serial = 1;
    struct authority made = {X509_new(), EVP_EC_gen("P-256")};
    X509_NAME *name = X509_get_subject_name(made.certificate);

    assert_non_null(made.key);
    X509_set_version(made.certificate, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(made.certificate), serial++);
    X509_gmtime_adj(X509_getm_notBefore(made.certificate), from);
    X509_gmtime_adj(X509_getm_notAfter(made.certificate), to);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)common_name, -1, -1, 0);
    X509_set_issuer_name(made.certificate, by == NULL ? name : X509_get_subject_name(by->certificate));
    X509_set_pubkey(made.certificate, made.key);
    if (alt == NULL)
        add_extension(made.certificate, NID_basic_constraints, "critical,CA:TRUE");
    else
        add_extension(made.certificate, NID_subject_alt_name, alt);
    assert_true(X509_sign(made.certificate, by == NULL ? made.key : by->key, EVP_sha256()) > 0);
    return made;
}

static inline void forget(struct authority *a)
{
    X509_free(a->certificate);
    EVP_PKEY_free(a->key);
}

static inline void issue_files(const char *certificate, const char *key, const char *common_name,
                               const char *alt, long from, long to, const struct authority *by)
{
    struct authority made = issue(common_name, alt, from, to, by);

    write_certificate(certificate, made.certificate);
    write_key(key, made.key, NULL);
    forget(&made);
}

static inline int make_certificates(void **state)
{
    struct authority ours, other;

    (void)state;
    assert_non_null(mkdtemp(directory));
    ours = issue("Test authority", NULL, -DAY, DAY, NULL);
    other = issue("Another authority", NULL, -DAY, DAY, NULL);
    write_certificate("ca.pem", ours.certificate);
    write_certificate("other-ca.pem", other.certificate);
    issue_files("server.pem", "server.key", "collector",
                "DNS:collector.example.net,IP:192.0.2.1,IP:2001:db8::1", -DAY, DAY, &ours);
    issue_files("client.pem", "client.key", "sender\n2026 forged\x1b[31m", "DNS:sender", -DAY, DAY, &ours);
    issue_files("stranger.pem", "stranger.key", "stranger", "DNS:stranger", -DAY, DAY, &other);
    issue_files("expired.pem", "expired.key", "collector", "DNS:collector.example.net", -2 * DAY, -DAY,
                &ours);
    issue_files("self.pem", "self.key", "collector", "DNS:collector.example.net", -DAY, DAY, NULL);
    write_key("locked.key", ours.key, "passphrase");
    forget(&ours);
    forget(&other);
    return 0;
}

static inline int remove_certificates(void **state)
{
    char command[sizeof(directory) + 16];

    (void)state;
    snprintf(command, sizeof(command), "rm -rf %s", directory);
    return system(command);
}

#endif
