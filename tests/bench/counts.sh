# shellcheck shell=bash disable=SC2034,SC2154 # sourced by script/bench: what is not set here is set there
# Allocations and system calls of the daemon by 100,000 records, and its memory at rest. UDP, 2 workers, 1 connection.

counts() {
    local records
    "${CC:-cc}" -O2 -shared -fPIC -o "$work/allocations.so" tests/bench/preload/allocations.c || die "counts: no C compiler"
    for records in 500 2000; do
        open_stages v2 $records
        next_port
        start_sink counts udp "$free_port"
        write_conf counts 2 udp "$free_port"
        count_allocations $records
        count_calls $records
        if [ $records = 500 ]; then memory_at_rest $records; fi
        end "$sink_pid"
        close_stages
    done
}

# plain_load EACH RECORDS
plain_load() {
    "$bench" load -c "$port" "$work/gzip" "$work/lengths" $(($2 / $1)) 1 >/dev/null || die "counts: the load failed"
}

count_now() { od -An -t u8 "$work/count" | tr -d ' '; }

count_allocations() {
    local before after
    start_daemon counts env "LD_PRELOAD=$work/allocations.so" "VPCFLOWD_BENCH_COUNT=$work/count"
    plain_load "$1" 1000000
    before=$(count_now)
    plain_load "$1" 1000000
    after=$(count_now)
    end "$daemon_pid"
    printf '  allocations for 100,000 records in %d payloads: %d (%.2f a payload)\n' $((100000 / $1)) $(((after - before) / 10)) \
        "$(awk -v n=$((after - before)) -v payloads=$((1000000 / $1)) 'BEGIN { print n / payloads }')"
}

# strace holds the daemon up at each call, so more piles up between two of them than without it: the least that it takes.
count_calls() {
    local strace
    if ! command -v strace >/dev/null; then
        printf '  system calls: not counted, there is no strace (apt-get install strace)\n'
        return
    fi
    start_daemon counts
    plain_load "$1" 200000
    strace -c -f -o "$work/strace" -p "$daemon_pid" 2>"$work/strace.log" &
    strace=$!
    pids+=("$strace")
    wait_for "$work/strace.log" attached
    sleep 0.2
    plain_load "$1" 1000000
    kill -INT "$strace"
    wait "$strace" 2>/dev/null || :
    end "$daemon_pid"
    awk '$NF == "total" { total = $(NF - 1); if (total !~ /^[0-9]+$/ || NF == 6) total = $4 }
        $1 ~ /^[0-9.]+$/ && $NF != "total" && ++n <= 6 { list = list sprintf(" %s %d,", $NF, $4 / 10) }
        END { sub(/,$/, "", list); printf "  system calls for 100,000 records, under strace: %d (%s )\n", total / 10, list }' "$work/strace"
}

memory_at_rest() {
    local fresh loaded rested
    start_daemon counts
    sleep 1
    fresh=$(resident_kib "$daemon_pid")
    plain_load "$1" 1000000
    loaded=$(resident_kib "$daemon_pid")
    sleep 3
    rested=$(resident_kib "$daemon_pid")
    end "$daemon_pid"
    awk -v a="$fresh" -v b="$loaded" -v c="$rested" \
        'BEGIN { printf "  resident: %.1f MiB a second after start, %.1f after a million records, %.1f three seconds later\n", a / 1024, b / 1024, c / 1024 }'
}
