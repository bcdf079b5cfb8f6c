#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

/* The payloads one behind another, and the length of each on a line of its own. */
static int generate(enum bench_shape shape, unsigned records, const char *gzip_path, const char *lengths_path)
{
    struct buffer plain = {0}, gzip = {0};
    char format[BENCH_FORMAT_MAX];
    FILE *g = fopen(gzip_path, "wb"), *l = fopen(lengths_path, "w");

    if (g == NULL || l == NULL)
        return 1;
    for (unsigned seed = 1; seed <= bench_payloads(records); seed++) {
        if (bench_document(shape, records, seed, &plain) != 0 || bench_gzip(&plain, &gzip) != 0)
            return 1;
        fwrite(gzip.data, 1, gzip.len, g);
        fprintf(l, "%zu\n", gzip.len);
    }
    bench_format(shape, format, sizeof(format));
    puts(format);
    return fclose(g) != 0 || fclose(l) != 0;
}

int main(int argc, char **argv)
{
    int shape = argc > 2 ? bench_shape_of(argv[2]) : -1;

    if (argc == 4 && strcmp(argv[1], "stages") == 0 && shape >= 0)
        return bench_stages((enum bench_shape)shape, (unsigned)atoi(argv[3]));
    if (argc == 6 && strcmp(argv[1], "generate") == 0 && shape >= 0)
        return generate((enum bench_shape)shape, (unsigned)atoi(argv[3]), argv[4], argv[5]);
    if (argc == 7 && strcmp(argv[1], "load") == 0)
        return bench_load(argv[2], argv[3], argv[4], (unsigned)atoi(argv[5]), (unsigned)atoi(argv[6]));
    if (argc == 7 && strcmp(argv[1], "pace") == 0)
        return bench_pace(argv[2], argv[3], argv[4], (unsigned)atoi(argv[5]), atof(argv[6]));
    if (argc == 3 && strcmp(argv[1], "sink") == 0)
        return bench_sink(argv[2]);
    fputs("vpcflowd-bench stages SHAPE RECORDS | generate SHAPE RECORDS GZIP LENGTHS | "
          "load PORT GZIP LENGTHS TIMES CONNECTIONS | pace PORT GZIP LENGTHS TIMES RATE | sink PORT\nSHAPE: "
          "v2, ipv6, v5, v11\n",
          stderr);
    return 2;
}
