# shellcheck shell=bash disable=SC2034,SC2154 # sourced by script/bench: what is not set here is set there
# The whole daemon, version 2 in payloads of 2,000, by way in and way out.

make_certificate() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost \
        -addext 'subjectAltName=IP:127.0.0.1' -keyout "$work/key.pem" -out "$work/certificate.pem" 2>/dev/null ||
        die "openssl made no certificate"
    chmod 600 "$work/key.pem"
    printf 'bench-token-of-no-secrecy-0123456789\n' >"$work/token"
    chmod 600 "$work/token"
}

# add_way NAME COLLECTOR [WRITE_CONF-ARGUMENT ...]: a daemon and a sink for a row of the table.
ways=()
declare -A way_port way_daemon way_sink
add_way() {
    local name=$1 transport=$2
    shift 2
    next_port
    start_sink "$name" "$transport" "$free_port"
    if [ "$transport" = gro ]; then transport=udp; fi
    write_conf "$name" 1 "$transport" "$free_port" "$@"
    start_daemon "$name"
    ways+=("$name")
    way_port[$name]=$port way_daemon[$name]=$daemon_pid way_sink[$name]=$sink_pid
}

transports() {
    local records=2000 n way options tls
    command -v openssl >/dev/null || die "transports: no openssl command, for certificates"
    make_certificate
    open_stages v2 $records
    tls="tls_ca = $work/certificate.pem"
    add_way 'UDP' udp
    # The kernel cuts datagrams that were sent in one piece apart for the receiver, in the sender's time on loopback. To this
    # one it does not: between the two is what the receiver's side costs.
    add_way 'UDP, to a collector that takes them whole' gro
    add_way 'TCP' tcp
    add_way 'TLS' tls '' "$tls"
    add_way 'UDP, spool there and not needed' udp '' '' "[spool]
directory = $work/spool-udp"
    add_way 'TCP, spool there and not needed' tcp '' '' "[spool]
directory = $work/spool-tcp"
    add_way 'TLS, spool there and not needed' tls '' "$tls" "[spool]
directory = $work/spool-tls"
    add_way 'UDP; clients by TLS with a token' udp "tls_certificate = $work/certificate.pem
tls_key = $work/key.pem
token_file = $work/token"
    for round in 0 $(seq "$rounds"); do
        n=500000
        if [ "$round" = 0 ]; then n=100000; else stages_round base; fi
        for way in "${ways[@]}"; do
            options=()
            if [[ $way = *clients* ]]; then options=(-t "$work/certificate.pem" -a "$(cat "$work/token")"); fi
            load_row "$way" "$n" $records "${way_port[$way]}" 1 "${way_daemon[$way]}" "${way_sink[$way]}" "${options[@]}"
        done
        spool_away $records "$n"
        if [ "$round" = 0 ]; then : >"$work/samples"; fi
    done
    print_table usage=1
    for way in "${ways[@]}"; do
        end "${way_daemon[$way]}"
        printf '  %s:' "$way"
        sink_pid=${way_sink[$way]}
        compare_messages "$way" "$way"
    done
    close_stages
}

# spool_away EACH RECORDS: the collector is away, so all goes to disk; then it comes, and all goes to it.
spool_away() {
    local each=$1 n=$2 before after admin i
    next_port
    rm -rf "$work/spool-away"
    write_conf away 1 tcp "$free_port" '' '' "[spool]
directory = $work/spool-away
limit = 4G
[admin]
address = 127.0.0.1:0"
    start_daemon away
    wait_for "$work/away.log" 'admin on'
    admin=$(sed -n 's/.*admin on [^ ]*:\([0-9]*\).*/\1/p' "$work/away.log" | head -n 1)
    load_row 'TCP, collector away: to the spool' "$n" "$each" "$port" 1 "$daemon_pid" 0 -c # all that is spooled is counted
    before=$("$bench" cpu "$daemon_pid")
    local begin=$EPOCHREALTIME
    start_sink away tcp "$free_port"
    for ((i = 0; i < 600; i++)); do
        if [ "$(spooled "$admin")" = 0 ]; then break; fi
        sleep 0.05
    done
    if [ "$i" = 600 ]; then die "the spool was not delivered within 30 s"; fi
    after=$("$bench" cpu "$daemon_pid")
    awk -v round="$round" -v n="$n" -v ns=$((after - before)) -v begin="$begin" -v end="$EPOCHREALTIME" -v OFS='\t' \
        'BEGIN { print round, "TCP, collector there again: from the spool", ns / n, end - begin, n, 0, ns, 0, 0, 0 }' >>"$work/samples"
    end "$daemon_pid"
    end "$sink_pid"
    rm -rf "$work/spool-away"
}

# spooled PORT: bytes that wait on disk, as the daemon's metrics tell.
spooled() {
    exec 7<>"/dev/tcp/127.0.0.1/$1"
    printf 'GET /metrics HTTP/1.0\r\n\r\n' >&7
    awk '/^[a-z_]*exporter_spooled_bytes/ { n += $NF } END { print n + 0 }' <&7
    exec 7>&-
}
