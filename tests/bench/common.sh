# shellcheck shell=bash disable=SC2034,SC2154 # sourced by script/bench: what is not set here is set there
# What the sections of script/bench share: the daemon, the sink, one round of measuring, and the table.

rounds=${ROUNDS:-5}
bench=$build/vpcflowd-bench
work=$(mktemp -d)
pids=()
cleanup() {
    local pid
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || :; done
    wait
    rm -rf "$work"
    if [ -n "${group_nice-}" ]; then echo "$group_nice" >/proc/self/autogroup; fi
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

die() {
    printf 'bench: %s\n' "$*" >&2
    exit 1
}

# On a machine that others use: the kernel shares the CPUs out among sessions, and nice counts within one only.
if [ -n "${FIRST-}" ]; then
    group_nice=$(sed -n 's/.* nice //p' /proc/self/autogroup 2>/dev/null)
    if ! echo -19 2>/dev/null >/proc/self/autogroup; then die "FIRST: needs root, and a kernel with autogroups"; fi
fi

# wait_for FILE TEXT: until a process has said so.
wait_for() {
    local i
    for ((i = 0; i < 200; i++)); do
        if grep -q -- "$2" "$1"; then return; fi
        sleep 0.05
    done
    cat "$1" >&2
    die "no '$2' within 10 s"
}

# end PID: ends a process of ours and waits for it.
end() {
    local left=() pid
    kill "$1" 2>/dev/null || :
    wait "$1" 2>/dev/null || :
    for pid in "${pids[@]}"; do if [ "$pid" != "$1" ]; then left+=("$pid"); fi; done
    pids=("${left[@]}")
}

free_port=$((20000 + RANDOM % 9000))
next_port() { free_port=$((free_port + 1)); }

# start_sink NAME TRANSPORT PORT: sets sink_pid. What it says goes to $work/NAME.sink.
start_sink() {
    : >"$work/$1.sink"
    "$bench" sink "$2" "$3" "$work/certificate.pem" "$work/key.pem" >"$work/$1.sink" &
    sink_pid=$!
    pids+=("$sink_pid")
    wait_for "$work/$1.sink" ready
}

# write_conf NAME WORKERS COLLECTOR PORT [LISTENER-LINES [COLLECTOR-LINES [SECTIONS]]]
write_conf() {
    cat >"$work/$1.conf" <<CONF
[daemon]
workers = $2
[listener]
address = 127.0.0.1:0
${5-}
[collector "sink"]
address = $3://127.0.0.1:$4
burst = 0
${6-}
[vpc "default"]
exporter_ip = 127.0.0.2
format = $(cat "$work/format")
${7-}
CONF
}

# start_daemon NAME [COMMAND ...]: with $work/NAME.conf, started by way of the command. Sets daemon_pid and port.
start_daemon() {
    local name=$1
    shift
    : >"$work/$name.log"
    "$@" "$build/vpcflowd" -c "$work/$name.conf" 2>"$work/$name.log" &
    daemon_pid=$!
    pids+=("$daemon_pid")
    wait_for "$work/$name.log" 'listening on'
    port=$(sed -n 's/.*listening on .*://p' "$work/$name.log" | head -n 1)
}

# load_row NAME RECORDS OF-EACH PORT CONNECTIONS DAEMON SINK [OPTION ...]: a sample of the whole daemon, RECORDS in all.
load_row() {
    local name=$1 records=$2 each=$3 at=$4 connections=$5 daemon=$6 sink=$7 times usage
    shift 7
    times=$(((records + each - 1) / each))
    usage=$("${load_by[@]}" "$bench" load "$@" -d "$daemon" -s "$sink" "$at" "$work/gzip" "$work/lengths" "$times" "$connections") ||
        die "$name: the load failed"
    awk -v round="$round" -v name="$name" -v n=$((times * each)) -v OFS='\t' \
        '{ print round, name, $3 / n, $1, n, $2, $3, $4, $5, $6 }' <<<"$usage" >>"$work/samples"
}
load_by=(env)

# The stages run in a process of their own that makes the payloads once and measures a round when it is asked for.
# open_stages SHAPE RECORDS: $work/gzip, lengths and format are there then.
open_stages() {
    mkfifo "$work/ask" "$work/say"
    "$bench" stages "$1" "$2" "$work/gzip" "$work/lengths" <"$work/ask" >"$work/say" &
    stages_pid=$!
    pids+=("$stages_pid")
    exec 8>"$work/ask" 9<"$work/say"
    read -r format <&9 || die "no payloads"
    printf '%s\n' "$format" >"$work/format"
    read -r headline <&9
    printf '\n%s, %s fields: %s\n' "$1" "$(wc -w <"$work/format")" "$headline"
    payloads=$(wc -l <"$work/lengths")
    copies=$((400000 / ($2 * payloads) + 1))
    rm -f "$work/many.gz"
    for ((i = 0; i < copies; i++)); do cat "$work/gzip"; done >"$work/many.gz"
    gzip_records=$((copies * payloads * $2))
    : >"$work/samples"
}
close_stages() {
    exec 8>&- 9<&-
    end "$stages_pid"
    rm -f "$work/ask" "$work/say"
}

# stages_round all|base: samples of the stages and of gzip -dc.
stages_round() {
    local line TIMEFORMAT='%3U %3S' times
    printf '%s\n' "$1" >&8
    while read -r line <&9; do
        if [ "$line" = end ]; then break; fi
        printf '%s\t%s\n' "$round" "$line" >>"$work/samples"
    done
    times=$({ time gzip -dc "$work/many.gz" >/dev/null; } 2>&1)
    awk -v round="$round" -v n="$gzip_records" -v OFS='\t' \
        '{ print round, "gzip -dc of the same bytes", ($1 + $2) * 1e9 / n }' <<<"$times" >>"$work/samples"
}

# print_table [usage=1]
print_table() { awk -v "${1-usage=0}" -f tests/bench/table.awk "$work/samples"; }

# median COLUMN FILE
median() { awk -v c="$1" '{ print $c }' "$2" | sort -g | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }

resident_kib() { awk '/^VmRSS/ { print $2 }' "/proc/$1/status"; }
