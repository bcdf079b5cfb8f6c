#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <zlib.h>

#include "vpcflowd/inflate.h"

#define GZIP (MAX_WBITS + 16)
#define ZLIB MAX_WBITS
#define NO_LIMIT ((size_t)1 << 30)

/* Each test runs once with each backend that the build has. */
struct setup {
    struct inflater *inf;
    struct buffer out, text, packed;
};

static int set_up(void **state, enum inflate_backend backend)
{
    struct setup *s = calloc(1, sizeof(*s));

    s->inf = inflater_new(backend);
    *state = s;
    return 0;
}

static int set_up_zlib(void **state)
{
    return set_up(state, INFLATE_ZLIB);
}

static int set_up_isal(void **state)
{
    return set_up(state, INFLATE_ISAL);
}

static int tear_down(void **state)
{
    struct setup *s = *state;

    inflater_free(s->inf);
    buffer_free(&s->out);
    buffer_free(&s->text);
    buffer_free(&s->packed);
    free(s);
    return 0;
}

/* The test's setup; skips the test where the build lacks the backend. */
static struct setup *setup_of(void **state)
{
    struct setup *s = *state;

    if (s->inf == NULL)
        skip();
    return s;
}

/* Text that shrinks like flow logs do. */
static void make_text(struct setup *s, size_t lines)
{
    uint32_t seed = 1;

    s->text.len = 0;
    for (size_t i = 0; i < lines; i++) {
        char line[128];
        int n;

        seed = seed * 1664525 + 1013904223;
        n = snprintf(line, sizeof(line), "2 111122223333 eni-%08x 10.0.%u.%u 192.0.2.%u %u 443 6 %u %u OK\n",
                     seed >> 8 & 15, seed >> 9 & 31, seed >> 14 & 255, seed >> 20 & 63, seed >> 16,
                     seed >> 24, seed);
        assert_int_equal(buffer_append(&s->text, line, (size_t)n, NO_LIMIT), BUFFER_OK);
    }
}

static void pack_with(struct setup *s, int window, int level, int strategy, gz_header *header)
{
    z_stream z = {0};

    assert_int_equal(deflateInit2(&z, level, Z_DEFLATED, window, 8, strategy), Z_OK);
    if (header != NULL)
        assert_int_equal(deflateSetHeader(&z, header), Z_OK);
    assert_int_equal(buffer_reserve(&s->packed, deflateBound(&z, s->text.len) + 1000, NO_LIMIT), BUFFER_OK);
    z.next_in = (Bytef *)s->text.data;
    z.avail_in = (uInt)s->text.len;
    z.next_out = (Bytef *)s->packed.data + s->packed.len;
    z.avail_out = (uInt)(s->packed.cap - s->packed.len);
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    s->packed.len += z.total_out;
    deflateEnd(&z);
}

/* Append text, compressed, to packed. */
static void pack(struct setup *s, int window)
{
    pack_with(s, window, Z_DEFAULT_COMPRESSION, Z_DEFAULT_STRATEGY, NULL);
}

/* Inflate bytes in pieces, each in memory of its own size. */
static int inflate_pieces(struct setup *s, struct slice bytes, size_t piece, size_t max, struct error *err)
{
    int rc = 0;

    s->out.len = 0;
    inflate_begin(s->inf);
    for (size_t pos = 0; rc == 0 && pos < bytes.len; pos += piece) {
        size_t n = bytes.len - pos < piece ? bytes.len - pos : piece;
        char *copy = malloc(n);

        memcpy(copy, bytes.ptr + pos, n);
        rc = inflate_feed(s->inf, slice_of(copy, n), &s->out, max, err);
        free(copy);
        assert_true(s->out.len <= max);
    }
    return rc != 0 ? rc : inflate_end(s->inf, err);
}

static struct slice packed(const struct setup *s)
{
    return slice_of(s->packed.data, s->packed.len);
}

static void expect_text_from(struct setup *s, struct slice bytes, size_t piece, unsigned times)
{
    struct error err = {0};

    if (inflate_pieces(s, bytes, piece, NO_LIMIT, &err) != 0)
        fail_msg("%s", err.detail);
    assert_int_equal(s->out.len, s->text.len * times);
    for (unsigned i = 0; i < times; i++)
        assert_memory_equal(s->out.data + i * s->text.len, s->text.data, s->text.len);
}

static void expect_text(struct setup *s)
{
    expect_text_from(s, packed(s), SIZE_MAX, 1);
}

static void expect_error(struct setup *s, struct slice bytes, enum error_kind kind, const char *detail)
{
    static const size_t pieces[] = {SIZE_MAX, 1, 7};

    for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        struct error err = {0};

        assert_int_equal(inflate_pieces(s, bytes, pieces[i], NO_LIMIT, &err), -1);
        assert_int_equal(err.kind, kind);
        if (strstr(err.detail, detail) == NULL)
            fail_msg("'%s' lacks '%s'", err.detail, detail);
    }
}

static void gzip_comes_out_the_same_in_any_pieces(void **state)
{
    struct setup *s = setup_of(state);

    make_text(s, 5000);
    pack(s, GZIP);
    for (size_t piece = 1; piece < s->packed.len * 2; piece = piece * 3 + 1)
        expect_text_from(s, packed(s), piece, 1);
}

static void zlib_wrapped_deflate_is_taken_too(void **state)
{
    struct setup *s = setup_of(state);

    make_text(s, 500);
    pack(s, ZLIB);
    for (size_t piece = 1; piece < s->packed.len * 2; piece = piece * 3 + 1)
        expect_text_from(s, packed(s), piece, 1);
}

static void every_level_strategy_and_size_comes_out_the_same(void **state)
{
    static const size_t lines[] = {0, 1, 3, 100, 3000};
    struct setup *s = setup_of(state);

    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        make_text(s, lines[i]);
        for (int level = 0; level <= 9; level += 3)
            for (int strategy = Z_DEFAULT_STRATEGY; strategy <= Z_FIXED; strategy++) {
                s->packed.len = 0;
                pack_with(s, GZIP, level, strategy, NULL);
                expect_text(s);
            }
    }
}

static void members_follow_each_other_cut_anywhere(void **state)
{
    struct setup *s = setup_of(state);

    make_text(s, 3);
    for (int i = 0; i < 4; i++)
        pack(s, GZIP);
    for (size_t piece = 1; piece <= s->packed.len; piece++)
        expect_text_from(s, packed(s), piece, 4);
}

static void an_empty_member_changes_nothing(void **state)
{
    struct setup *s = setup_of(state);

    make_text(s, 0);
    pack(s, GZIP);
    pack(s, GZIP);
    make_text(s, 3);
    pack(s, GZIP);
    expect_text(s);
}

static void optional_header_parts_are_passed_over(void **state)
{
    struct setup *s = setup_of(state);

    make_text(s, 3);
    for (int flags = 0; flags < 16; flags++) {
        unsigned char extra[300] = {1, 2, 0, 0x1f, 0x8b};
        gz_header header = {.text = 1, .time = 1700000000, .os = 3, .hcrc = flags & 1};

        if (flags & 2)
            header.extra = extra, header.extra_len = sizeof(extra);
        if (flags & 4)
            header.name = (Bytef *)"flows.log";
        if (flags & 8)
            header.comment = (Bytef *)"";
        s->packed.len = 0;
        pack_with(s, GZIP, 6, Z_DEFAULT_STRATEGY, &header);
        for (size_t piece = 1; piece < 400; piece += 13)
            expect_text_from(s, packed(s), piece, 1);
    }
}

static void an_empty_extra_field_is_passed_over(void **state)
{
    struct setup *s = setup_of(state);
    unsigned char extra[1];
    gz_header header = {.extra = extra, .extra_len = 0, .name = (Bytef *)"n"};

    make_text(s, 3);
    pack_with(s, GZIP, 6, Z_DEFAULT_STRATEGY, &header);
    expect_text_from(s, packed(s), 1, 1);
    expect_text(s);
}

static void a_damaged_header_is_refused(void **state)
{
    struct setup *s = setup_of(state);
    gz_header header = {.name = (Bytef *)"flows.log", .hcrc = 1};

    make_text(s, 3);
    pack_with(s, GZIP, 6, Z_DEFAULT_STRATEGY, &header);
    s->packed.data[12] ^= 1; /* in the name */
    expect_error(s, packed(s), ERROR_MALFORMED, "gzip header CRC mismatch");
    s->packed.data[12] ^= 1;
    s->packed.data[3] |= 0x40;
    expect_error(s, packed(s), ERROR_MALFORMED, "unknown flags: 0x4a");
    s->packed.data[2] = 7;
    expect_error(s, packed(s), ERROR_MALFORMED, "gzip compression method 7: expected 8");
    expect_error(s, SLICE_LIT("{\"a\":1}"), ERROR_MALFORMED,
                 "bytes 0x7b 0x22 begin neither a gzip nor a zlib stream");
    expect_error(s, SLICE_LIT("\x78\xbb\0\0\0\0\0\0\0\0"), ERROR_MALFORMED, "preset dictionary");
}

static void each_bit_of_a_trailer_is_checked(void **state)
{
    struct setup *s = setup_of(state);
    size_t first, end;

    make_text(s, 20);
    pack(s, GZIP);
    first = s->packed.len;
    pack(s, GZIP);
    end = s->packed.len;
    for (unsigned bit = 0; bit < 64; bit++) {
        const char *detail = bit < 32 ? "gzip CRC mismatch" : "gzip length mismatch";

        s->packed.data[first - 8 + bit / 8] ^= (char)(1 << bit % 8);
        expect_error(s, packed(s), ERROR_MALFORMED, detail);
        s->packed.data[first - 8 + bit / 8] ^= (char)(1 << bit % 8);
        s->packed.data[end - 8 + bit / 8] ^= (char)(1 << bit % 8);
        expect_error(s, packed(s), ERROR_MALFORMED, detail);
        s->packed.data[end - 8 + bit / 8] ^= (char)(1 << bit % 8);
    }
    expect_text_from(s, packed(s), SIZE_MAX, 2);
    s->packed.len = 0;
    pack(s, ZLIB);
    for (unsigned bit = 0; bit < 32; bit++) {
        s->packed.data[s->packed.len - 4 + bit / 8] ^= (char)(1 << bit % 8);
        expect_error(s, packed(s), ERROR_MALFORMED, "zlib Adler-32 mismatch");
        s->packed.data[s->packed.len - 4 + bit / 8] ^= (char)(1 << bit % 8);
    }
}

static void a_stream_cut_off_anywhere_is_refused(void **state)
{
    static const int windows[] = {GZIP, ZLIB};
    struct setup *s = setup_of(state);
    gz_header header = {
        .name = (Bytef *)"n", .comment = (Bytef *)"c", .extra = (Bytef *)"e", .extra_len = 1, .hcrc = 1};

    make_text(s, 30);
    for (int i = 0; i < 2; i++) {
        s->packed.len = 0;
        pack_with(s, windows[i], 6, Z_DEFAULT_STRATEGY, windows[i] == GZIP ? &header : NULL);
        for (size_t n = 0; n < s->packed.len; n++) {
            char detail[64];

            snprintf(detail, sizeof(detail), "the %s stream is cut off after %zu bytes",
                     windows[i] == GZIP || n < 2 ? "gzip" : "zlib", n);
            expect_error(s, slice_of(s->packed.data, n), ERROR_MALFORMED, detail);
        }
    }
}

static void a_second_member_cut_off_is_refused(void **state)
{
    struct setup *s = setup_of(state);
    size_t first;

    make_text(s, 3);
    pack(s, GZIP);
    first = s->packed.len;
    pack(s, GZIP);
    for (size_t n = first + 1; n < s->packed.len; n++)
        expect_error(s, slice_of(s->packed.data, n), ERROR_MALFORMED, "is cut off after");
}

static void only_zeros_may_follow_the_last_member(void **state)
{
    struct setup *s = setup_of(state);
    size_t end;

    make_text(s, 3);
    pack(s, GZIP);
    end = s->packed.len;
    buffer_append(&s->packed, "\0\0\0\0\0\0\0\0\0\0", 10, NO_LIMIT);
    for (size_t n = end; n <= s->packed.len; n++)
        for (size_t piece = 1; piece <= n; piece++)
            expect_text_from(s, slice_of(s->packed.data, n), piece, 1);
    s->packed.data[end + 9] = '\n';
    expect_error(s, packed(s), ERROR_MALFORMED, "is 0x0a behind the gzip stream's zero padding");
    s->packed.data[end] = '\n';
    expect_error(s, packed(s), ERROR_MALFORMED, "is 0x0a behind the gzip stream's end");
    s->packed.data[end] = 0x1f;
    expect_error(s, packed(s), ERROR_MALFORMED, "is 0x00 behind a gzip member's end");
}

static void nothing_may_follow_a_zlib_stream(void **state)
{
    struct setup *s = setup_of(state);

    make_text(s, 3);
    pack(s, ZLIB);
    buffer_append(&s->packed, "\0", 1, NO_LIMIT);
    expect_error(s, packed(s), ERROR_MALFORMED, "is 0x00 behind the zlib stream's end");
}

static void output_up_to_the_limit_is_taken_and_no_longer(void **state)
{
    struct setup *s = setup_of(state);
    struct error err;

    for (size_t lines = 1; lines < 10000; lines *= 7) {
        make_text(s, lines);
        s->packed.len = 0;
        pack(s, GZIP);
        for (size_t piece = 1; piece < s->packed.len * 100; piece *= 100) {
            assert_int_equal(inflate_pieces(s, packed(s), piece, s->text.len, &err), 0);
            assert_memory_equal(s->out.data, s->text.data, s->text.len);
            assert_int_equal(inflate_pieces(s, packed(s), piece, s->text.len - 1, &err), -1);
            assert_int_equal(err.kind, ERROR_TOO_LARGE);
            assert_non_null(strstr(err.detail, "more than"));
        }
    }
    assert_int_equal(inflate_pieces(s, packed(s), SIZE_MAX, 0, &err), -1);
    assert_int_equal(err.kind, ERROR_TOO_LARGE);
    make_text(s, 0);
    s->packed.len = 0;
    pack(s, GZIP);
    assert_int_equal(inflate_pieces(s, packed(s), SIZE_MAX, 0, &err), 0);
}

static void a_compression_bomb_takes_no_memory_beyond_the_limit(void **state)
{
    enum { LIMIT = 1 << 20 };
    struct setup *s = setup_of(state);
    struct error err;

    assert_int_equal(buffer_reserve(&s->text, 64 << 20, NO_LIMIT), BUFFER_OK);
    memset(s->text.data, 0, 64 << 20);
    s->text.len = 64 << 20;
    pack(s, GZIP);
    assert_int_equal(inflate_pieces(s, packed(s), SIZE_MAX, LIMIT, &err), -1);
    assert_int_equal(err.kind, ERROR_TOO_LARGE);
    assert_string_equal(err.detail, "the payload inflates to more than 1048576 bytes (max_inflated)");
    assert_true(s->out.cap <= 2 * LIMIT);
}

static void output_is_appended(void **state)
{
    struct setup *s = setup_of(state);
    struct error err;

    make_text(s, 3);
    pack(s, GZIP);
    buffer_append(&s->out, "before", 6, NO_LIMIT);
    inflate_begin(s->inf);
    assert_int_equal(inflate_feed(s->inf, packed(s), &s->out, 6 + s->text.len, &err), 0);
    assert_int_equal(inflate_end(s->inf, &err), 0);
    assert_memory_equal(s->out.data, "before", 6);
    assert_memory_equal(s->out.data + 6, s->text.data, s->text.len);
}

static void a_failed_stream_stays_failed_and_the_next_one_is_fine(void **state)
{
    struct setup *s = setup_of(state);
    struct error err;

    make_text(s, 300);
    pack(s, GZIP);
    for (size_t at = 0; at < s->packed.len; at += 5) {
        char *data = s->packed.data;

        data[at] ^= 0x55;
        if (inflate_pieces(s, packed(s), SIZE_MAX, NO_LIMIT, &err) != 0) {
            assert_int_equal(inflate_end(s->inf, &err), -1);
            assert_int_equal(err.kind, ERROR_MALFORMED);
        }
        data[at] ^= 0x55;
        expect_text(s);
    }
    inflate_begin(s->inf);
    assert_int_equal(inflate_feed(s->inf, SLICE_LIT("xx"), &s->out, NO_LIMIT, &err), -1);
    assert_int_equal(inflate_feed(s->inf, packed(s), &s->out, NO_LIMIT, &err), -1);
    assert_int_equal(err.kind, ERROR_MALFORMED);
}

static void the_backends_take_and_refuse_the_same_damaged_streams(void **state)
{
    struct setup *s = setup_of(state);
    struct setup zlib = {.inf = inflater_new(INFLATE_ZLIB)};
    struct error err;
    unsigned taken = 0;

    make_text(s, 40);
    pack(s, GZIP);
    for (size_t bit = 0; bit < s->packed.len * 8; bit++) {
        int rc, expected;

        s->packed.data[bit / 8] ^= (char)(1 << bit % 8);
        expected = inflate_pieces(&zlib, packed(s), SIZE_MAX, NO_LIMIT, &err);
        rc = inflate_pieces(s, packed(s), SIZE_MAX, NO_LIMIT, &err);
        assert_int_equal(rc, expected);
        if (rc == 0) {
            taken++;
            assert_int_equal(s->out.len, zlib.out.len);
            assert_memory_equal(s->out.data, zlib.out.data, s->out.len);
        }
        s->packed.data[bit / 8] ^= (char)(1 << bit % 8);
    }
    /* MTIME, XFL, OS and the text flag: at least these 49 bits mean nothing to us. */
    assert_true(taken >= 49 && taken < 100);
    inflater_free(zlib.inf);
    buffer_free(&zlib.out);
}

static void sniffing_never_takes_text_for_zlib(void **state)
{
    static const char text[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_= \t\r\n";
    static const struct slice packed_starts[] = {SLICE_LIT("\x1f\x8b"),     SLICE_LIT("\x1f\x8b\x08"),
                                                 SLICE_LIT("\x78\x01\x01"), SLICE_LIT("\x78\x5e\x01"),
                                                 SLICE_LIT("\x78\x9c\x01"), SLICE_LIT("\x78\xda"),
                                                 SLICE_LIT("\x58\x85"),     SLICE_LIT("\x08\x1d")};
    static const struct slice others[] = {SLICE_LIT(""),         SLICE_LIT("\x1f"),        SLICE_LIT("\x78"),
                                          SLICE_LIT("\x78\x9d"), SLICE_LIT("\x88\x1c"),    SLICE_LIT("{\"a"),
                                          SLICE_LIT("[{"),       SLICE_LIT("2 1"),         SLICE_LIT("H4sI"),
                                          SLICE_LIT("\x1f\x9d"), SLICE_LIT("\xef\xbb\xbf")};

    (void)state;
    for (size_t i = 0; i < sizeof(packed_starts) / sizeof(packed_starts[0]); i++)
        assert_true(inflate_sniff(packed_starts[i]));
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        assert_false(inflate_sniff(others[i]));
    for (const char *a = text; *a != '\0'; a++)
        for (const char *b = text; *b != '\0'; b++)
            assert_false(inflate_sniff(slice_of((char[]){*a, *b, 'A'}, 3)));
}

static void the_best_backend_is_always_there(void **state)
{
    struct inflater *inf = inflater_new(INFLATE_BEST), *isal = inflater_new(INFLATE_ISAL);

    (void)state;
    assert_non_null(inf);
    assert_string_equal(inflater_backend(inf), isal != NULL ? "isa-l" : "zlib");
    inflater_free(inf);
    inflater_free(isal);
    inflater_free(NULL);
}

#define WITH_EACH_BACKEND(test)                                                                              \
    {#test " (zlib)", test, set_up_zlib, tear_down, NULL},                                                   \
    {                                                                                                        \
#test " (isa-l)", test, set_up_isal, tear_down, NULL                                                 \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_EACH_BACKEND(gzip_comes_out_the_same_in_any_pieces),
        WITH_EACH_BACKEND(zlib_wrapped_deflate_is_taken_too),
        WITH_EACH_BACKEND(every_level_strategy_and_size_comes_out_the_same),
        WITH_EACH_BACKEND(members_follow_each_other_cut_anywhere),
        WITH_EACH_BACKEND(an_empty_member_changes_nothing),
        WITH_EACH_BACKEND(optional_header_parts_are_passed_over),
        WITH_EACH_BACKEND(an_empty_extra_field_is_passed_over),
        WITH_EACH_BACKEND(a_damaged_header_is_refused),
        WITH_EACH_BACKEND(each_bit_of_a_trailer_is_checked),
        WITH_EACH_BACKEND(a_stream_cut_off_anywhere_is_refused),
        WITH_EACH_BACKEND(a_second_member_cut_off_is_refused),
        WITH_EACH_BACKEND(only_zeros_may_follow_the_last_member),
        WITH_EACH_BACKEND(nothing_may_follow_a_zlib_stream),
        WITH_EACH_BACKEND(output_up_to_the_limit_is_taken_and_no_longer),
        WITH_EACH_BACKEND(a_compression_bomb_takes_no_memory_beyond_the_limit),
        WITH_EACH_BACKEND(output_is_appended),
        WITH_EACH_BACKEND(a_failed_stream_stays_failed_and_the_next_one_is_fine),
        WITH_EACH_BACKEND(the_backends_take_and_refuse_the_same_damaged_streams),
        cmocka_unit_test(sniffing_never_takes_text_for_zlib),
        cmocka_unit_test(the_best_backend_is_always_there),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
