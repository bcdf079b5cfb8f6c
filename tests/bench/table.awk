# Samples in, a table out. A sample is a line of fields with tabs between them:
#   ROUND NAME NS [SECONDS RECORDS CLIENT_NS DAEMON_NS IO_NS SINK_NS MACHINE_NS]
# Ratios are taken within each round; printed are the median of a row's rounds, and the least and the most of its ratios.
# Set `usage` to 1 for the CPUs that each process kept busy.
BEGIN { FS = "\t" }
{
    if (!($2 in known)) { known[$2] = 1; row[++rows] = $2 }
    if (!($1 in seen)) { seen[$1] = 1; round[++rounds] = $1 }
    ns[$2, $1] = $3
    if (NF > 3) {
        whole[$2] = 1
        rate[$2, $1] = $5 / $4 / 1e6
        client[$2, $1] = $6 / $4 / 1e9
        daemon[$2, $1] = $7 / $4 / 1e9
        io[$2, $1] = $8 / $4 / 1e9
        sink[$2, $1] = $9 / $4 / 1e9
        others[$2, $1] = $10 < $6 + $7 + $9 ? 0 : ($10 - $6 - $7 - $9) / $4 / 1e9
    }
}
function sort(n,    i, j, v) {
    for (i = 2; i <= n; i++) {
        v = list[i]
        for (j = i - 1; j >= 1 && list[j] > v; j--) list[j + 1] = list[j]
        list[j + 1] = v
    }
}
function gather(what, name,    i, n) {
    for (i = 1; i <= rounds; i++) if ((name, round[i]) in what) list[++n] = what[name, round[i]]
    sort(n)
    return n
}
function median(what, name,    n) {
    n = gather(what, name)
    return n == 0 ? 0 : n % 2 ? list[(n + 1) / 2] : (list[n / 2] + list[n / 2 + 1]) / 2
}
function ratio(name, base,    i, n, m) {
    for (i = 1; i <= rounds; i++)
        if ((name, round[i]) in ns && (base, round[i]) in ns) list[++n] = ns[name, round[i]] / ns[base, round[i]]
    if (n == 0) return sprintf("  %17s", "")
    sort(n)
    m = n % 2 ? list[(n + 1) / 2] : (list[n / 2] + list[n / 2 + 1]) / 2
    return sprintf("  %5.2f (%.2f-%.2f)", m, list[1], list[n])
}
END {
    printf "  %-46s %9s  %-18s  %-18s  %-18s%s\n", "CPU time a record, median of " rounds " rounds", "", "/zlib (min-max)",
        "/gzip -dc", "/ISA-L", usage ? "   M rec/s  CPUs: daemon (I/O) client sink others" : "   M rec/s"
    for (r = 1; r <= rows; r++) {
        name = row[r]
        printf "  %-46s %6.1f ns%-20s%-20s%-20s", name, median(ns, name), ratio(name, "zlib's inflate alone"),
            ratio(name, "gzip -dc of the same bytes"), ratio(name, "inflate, ISA-L")
        if (name in whole) printf " %8.2f", median(rate, name)
        if (usage && name in whole)
            printf "        %.2f  (%.2f)  %.2f  %.2f  %.2f", median(daemon, name), median(io, name), median(client, name), median(sink, name), median(others, name)
        printf "\n"
    }
}
