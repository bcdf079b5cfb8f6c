# shellcheck shell=bash disable=SC2034,SC2154 # sourced by script/bench: what is not set here is set there
# A long load at a steady rate: whether memory stays what it is.

# hour MINUTES RATE RECORDS: RATE records a second in payloads of RECORDS.
hour() {
    local minutes=$1 rate=$2 records=$3 times per_second begin now cpu client failed=0 ok=yes
    open_stages v2 "$records"
    close_stages
    next_port
    start_sink hour udp "$free_port"
    write_conf hour "$(nproc)" udp "$free_port"
    start_daemon hour
    per_second=$(awk -v r="$rate" -v n="$records" 'BEGIN { print r / n }')
    times=$(awk -v s=$((minutes * 60)) -v r="$per_second" 'BEGIN { n = int(s * r); print n < 1 ? 1 : n }')
    printf '  %s payloads, %s a second, for %s minute(s)\n' "$times" "$per_second" "$minutes"
    : >"$work/resident"
    begin=$SECONDS
    "$bench" pace "$port" "$work/gzip" "$work/lengths" "$times" "$per_second" >"$work/latency" &
    client=$!
    pids+=("$client")
    while kill -0 "$client" 2>/dev/null; do
        now=$((SECONDS - begin))
        cpu=$("$bench" cpu "$daemon_pid")
        printf '%d %d %.0f\n' "$now" "$(resident_kib "$daemon_pid")" "$((cpu / 1000000))" >>"$work/resident"
        if [ $((now / 60)) -ne "${minute:-0}" ]; then
            minute=$((now / 60))
            awk -v m="$minute" 'END { printf "  minute %d: %.1f MiB, CPU %.1f s\n", m, $2 / 1024, $3 / 1000 }' "$work/resident"
        fi
        if [ $((SECONDS - begin)) -gt $((minutes * 60 + 60)) ]; then
            printf '  a minute late, and the client has not ended\n'
            break
        fi
        sleep "$([ "$minutes" -ge 10 ] && echo 5 || echo 1)"
    done
    end_client "$client" || failed=1
    end "$daemon_pid"
    awk -v seconds=$((minutes * 60)) '
        { q = int($1 * 4 / seconds); if (q > 3) q = 3; if (!(q in low) || $2 < low[q]) low[q] = $2; if ($2 > high[q]) high[q] = $2; last = $3 }
        END {
            for (q = 0; q < 4; q++) if (q in low) printf "  quarter %d: resident %.1f to %.1f MiB\n", q + 1, low[q] / 1024, high[q] / 1024
            printf "  the daemon used %.1f %% of a CPU\n", last / 10 / seconds }' "$work/resident"
    printf '  records sent: %s; every payload answered OK: %s; waited, ms (median, 99%%, most): %s\n' "$((times * records))" \
        "$([ $failed = 0 ] && echo yes || echo NO)" "$(cat "$work/latency")"
    sed -n 's/^[^ ]* info: \(stopped:.*\)/  the daemon: \1/p' "$work/hour.log"
    compare_messages hour hour
    grep -q "stopped: $times payloads accepted, 0 refused; flows: $((times * records)) exported" "$work/hour.log" || ok=no
    if [ "$failed" != 0 ] || [ "$ok" != yes ]; then die "hour: not all that was sent was accepted and exported"; fi
}

# end_client PID: what it returned; one that still runs is ended.
end_client() {
    if kill -0 "$1" 2>/dev/null; then
        end "$1"
        return 1
    fi
    wait "$1"
}
