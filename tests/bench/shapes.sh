# shellcheck shell=bash disable=SC2034,SC2154 # sourced by script/bench: what is not set here is set there
# Every stage and the whole daemon for one shape of payload; and latency.

# shape_table SHAPE RECORDS: sink, stages and daemons stay for all rounds, and what is compared is measured in turns.
shape_table() {
    local shape=$1 records=$2 n one one_port two two_port full full_port
    open_stages "$shape" "$records"
    next_port
    start_sink shape udp "$free_port"
    write_conf one 1 udp "$free_port"
    write_conf two 2 udp "$free_port"
    write_conf full 1 udp "$free_port" '' 'fields = full'
    start_daemon one; one=$daemon_pid one_port=$port
    start_daemon two; two=$daemon_pid two_port=$port
    start_daemon full; full=$daemon_pid full_port=$port
    for round in 0 $(seq "$rounds"); do # round 0 warms up
        n=500000
        if [ "$shape" = v11 ]; then n=250000; fi
        if [ "$round" = 0 ]; then n=100000; else stages_round all; fi
        load_row 'whole daemon, 1 worker, 1 connection' "$n" "$records" "$one_port" 1 "$one" "$sink_pid"
        load_row 'whole daemon, 2 workers, 1 connection' "$n" "$records" "$two_port" 1 "$two" "$sink_pid"
        load_row 'whole daemon, 2 workers, 8 connections' "$n" "$records" "$two_port" 8 "$two" "$sink_pid"
        load_row 'whole daemon, fields = full, 1 worker' "$n" "$records" "$full_port" 1 "$full" "$sink_pid"
        if [ "$round" = 0 ]; then : >"$work/samples"; fi
    done
    print_table usage=1
    printf '  resident after that: %d MiB with 1 worker, %d with 2\n' \
        $(($(resident_kib "$one") / 1024)) $(($(resident_kib "$two") / 1024))
    if [ "$shape $records" = 'v2 2000' ]; then latency "$two_port" "$records"; fi
    end "$one"; end "$two"; end "$full"
    compare_messages shape one two full
    close_stages
}

# latency PORT RECORDS: at half the rate that was just measured, in 5 rounds of 1.5 s.
latency() {
    local rate i
    rate=$(awk -F '\t' -v each="$2" '$2 ~ /2 workers, 1 conn/ { print $5 / $4 / each }' "$work/samples" | sort -g |
        awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] / 2 }')
    : >"$work/latency"
    for i in 1 2 3 4 5; do
        "$bench" pace "$1" "$work/gzip" "$work/lengths" "$(awk -v r="$rate" 'BEGIN { print int(1.5 * r) + 1 }')" "$rate" \
            >>"$work/latency" || die "latency: round $i failed"
    done
    printf '  at half the rate of 2 workers (%.0f payloads/s), last byte to OK, medians of 5 rounds: ' "$rate"
    printf 'median %s ms, 99%% %s ms, most %s ms' "$(median 1 "$work/latency")" "$(median 2 "$work/latency")" "$(median 3 "$work/latency")"
    printf ' (99%% of each round: %s)\n' "$(awk '{ printf "%s%s", NR == 1 ? "" : " ", $2 }' "$work/latency")"
}

# compare_messages SINK DAEMON ...: after the daemons have ended. Datagrams that a full buffer drops cost less.
compare_messages() {
    local sink=$1 name sent=0 came n
    shift
    end "$sink_pid"
    came=$(sed -n 's/^messages=\([0-9]*\) .*/\1/p' "$work/$sink.sink")
    for name in "$@"; do
        n=$(sed -n 's/.* \([0-9]*\) IPFIX messages sent.*/\1/p' "$work/$name.log")
        sent=$((sent + n))
    done
    printf '  messages: %s sent, %s came to the sink\n' "$sent" "$came"
    grep -q 'wrong=0$' "$work/$sink.sink" || die "the sink got something that is no IPFIX: $(tail -n 1 "$work/$sink.sink")"
}
