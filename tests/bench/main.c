#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

static int generate(enum bench_shape shape, unsigned records, const char *plain_path, const char *gzip_path)
{
    struct buffer plain = {0}, gzip = {0};
    char format[BENCH_FORMAT_MAX];
    FILE *p = fopen(plain_path, "wb"), *g = fopen(gzip_path, "wb");

    if (p == NULL || g == NULL || bench_document(shape, records, 1, &plain) != 0 ||
        bench_gzip(&plain, &gzip) != 0)
        return 1;
    fwrite(plain.data, 1, plain.len, p);
    fwrite(gzip.data, 1, gzip.len, g);
    bench_format(shape, format, sizeof(format));
    puts(format);
    return fclose(p) != 0 || fclose(g) != 0;
}

int main(int argc, char **argv)
{
    int shape = argc > 2 ? bench_shape_of(argv[2]) : -1;

    if (argc == 4 && strcmp(argv[1], "stages") == 0 && shape >= 0)
        return bench_stages((enum bench_shape)shape, (unsigned)atoi(argv[3]));
    if (argc == 6 && strcmp(argv[1], "generate") == 0 && shape >= 0)
        return generate((enum bench_shape)shape, (unsigned)atoi(argv[3]), argv[4], argv[5]);
    if (argc == 6 && strcmp(argv[1], "load") == 0)
        return bench_load(argv[2], argv[3], (unsigned)atoi(argv[4]), (unsigned)atoi(argv[5]));
    if (argc == 3 && strcmp(argv[1], "sink") == 0)
        return bench_sink(argv[2]);
    fputs("vpcflowd-bench stages SHAPE RECORDS | generate SHAPE RECORDS PLAIN GZIP | "
          "load PORT FILE TIMES CONNECTIONS | sink PORT\nSHAPE: v2, ipv6, v5, v11\n",
          stderr);
    return 2;
}
