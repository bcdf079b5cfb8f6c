# shellcheck shell=bash disable=SC2034,SC2154 # sourced by script/bench: what is not set here is set there
# What a second worker brings. The client and the sink need CPU too, and so does the daemon's I/O thread: on two CPUs,
# one worker uses more than one of them. So all is measured on one CPU as well: two CPUs can bring twice that and no more.

scaling() {
    local records=2000 n connections one two held one_port two_port held_port
    if [ "$(nproc)" -lt 2 ]; then
        printf '\nscaling: one CPU only, nothing to measure\n'
        return
    fi
    command -v taskset >/dev/null || die "scaling: no taskset command"
    open_stages v2 $records
    next_port
    start_sink scaling udp "$free_port"
    write_conf one 1 udp "$free_port"
    write_conf two 2 udp "$free_port"
    start_daemon one taskset -c 0,1; one=$daemon_pid one_port=$port
    start_daemon two taskset -c 0,1; two=$daemon_pid two_port=$port
    cp "$work/one.conf" "$work/held.conf"
    start_daemon held taskset -c 0; held=$daemon_pid held_port=$port
    for round in 0 $(seq "$rounds"); do
        n=1200000
        if [ "$round" = 0 ]; then n=100000; else stages_round base; fi
        for connections in 1 8; do
            taskset -a -c -p 0 "$sink_pid" >/dev/null
            load_by=(taskset -c 0)
            load_row "all on 1 CPU, 1 worker, $connections connection(s)" "$n" $records "$held_port" "$connections" "$held" "$sink_pid"
            taskset -a -c -p 0,1 "$sink_pid" >/dev/null
            load_by=(taskset -c '0,1')
            load_row "2 CPUs, 1 worker, $connections connection(s)" "$n" $records "$one_port" "$connections" "$one" "$sink_pid"
            load_row "2 CPUs, 2 workers, $connections connection(s)" "$n" $records "$two_port" "$connections" "$two" "$sink_pid"
        done
        if [ "$round" = 0 ]; then : >"$work/samples"; fi
    done
    load_by=(env)
    print_table usage=1
    for connections in 1 8; do
        speedup "2 CPUs, 2 workers, $connections connection(s)" "2 CPUs, 1 worker, $connections connection(s)"
        speedup "2 CPUs, 2 workers, $connections connection(s)" "all on 1 CPU, 1 worker, $connections connection(s)"
    done
    end "$one"; end "$two"; end "$held"
    compare_messages scaling one two held
    close_stages
}

# speedup ROW OF: throughput and CPU time a record, one by the other, round by round.
speedup() {
    awk -F '\t' -v a="$1" -v b="$2" '
        $2 == a || $2 == b { rate[$2, $1] = $5 / $4; ns[$2, $1] = $3; round[$1] = 1 }
        END { for (r in round) print rate[a, r] / rate[b, r], ns[a, r] / ns[b, r] }' "$work/samples" >"$work/speedup"
    printf '  %s / %s: %.2f of its throughput (%s), %.2f of its CPU time a record\n' "$1" "$2" "$(median 1 "$work/speedup")" \
        "$(sort -g "$work/speedup" | awk '{ v[NR] = $1 } END { printf "%.2f-%.2f", v[1], v[NR] }')" "$(median 2 "$work/speedup")"
}
