"""/metrics, /status and /healthz, for monitoring."""
import http.client
import json
import re
import time

import collectors
import payloads
from daemon import udp, write_config
from flows import DEV, PROD, count_idle
from scenario import reply_to, two_vpcs
from wire import SLOW, TIMEOUT, Client

ADMIN = re.compile(r'admin on (\S+):(\d+)')


def start_with_admin(start, directory, collector, **sections):
    path = write_config(directory, {'sink': collector}, two_vpcs(), **sections)
    path.write_text(path.read_text() + '[admin]\naddress = 127.0.0.1:0\n')
    daemon = start(['-c', path])
    match = ADMIN.search(daemon.stderr)
    return daemon, (match[1], int(match[2]))


def get(address, path, method='GET'):
    connection = http.client.HTTPConnection(*address, timeout=TIMEOUT)
    connection.request(method, path)
    response = connection.getresponse()
    body = response.read().decode()
    connection.close()
    return response.status, response.headers['Content-Type'], body


def samples(text):
    """{name and labels: value}; every line must be a comment or a sample, every sample's metric be described before."""
    result, described = {}, set()
    for line in text.splitlines():
        comment = re.fullmatch(r'# (HELP|TYPE) (\w+) (.+)', line)
        if comment:
            if comment[1] == 'TYPE':
                assert comment[3] in ('counter', 'gauge')
                assert comment[2] not in described
                described.add(comment[2])
            continue
        sample = re.fullmatch(r'(\w+)(\{(?:\w+="[^"]*",?)+\})? (\d+)', line)
        assert sample, line
        assert sample[1] in described, line
        result[sample[1] + (sample[2] or '')] = int(sample[3])
    return result


def test_metrics_count_what_happened(start, tmp_path, sink, generator):
    daemon, address = start_with_admin(start, tmp_path, udp(sink.port))
    status, kind, text = get(address, '/metrics')
    assert status == 200 and kind.startswith('text/plain; version=0.0.4')
    assert samples(text)['vpcflowd_payloads_accepted_total'] == 0
    lines = generator.mixed_lines(500)
    with Client(daemon.address) as client:
        assert client.ask(payloads.simple_document(lines)) == reply_to(lines)
        assert client.ask(b'nonsense').startswith('ERR 422')
        now = samples(get(address, '/metrics')[2])
    idle = count_idle(lines)
    assert now['vpcflowd_payloads_accepted_total'] == 1 and now['vpcflowd_payloads_refused_total'] == 1
    assert now['vpcflowd_flows_exported_total'] == len(lines) - idle and now['vpcflowd_flows_skipped_total'] == idle
    assert now['vpcflowd_connections'] == 1 and now['vpcflowd_payloads_in_flight'] == 0
    for vpc in (PROD, DEV):
        labels = f'{{vpc="{vpc.name}",collector="sink",exporter="{vpc.exporter_ip}",domain="{vpc.domain}"}}'
        assert now['vpcflowd_exporter_up' + labels] == 1
        assert now['vpcflowd_exporter_records_total' + labels] > 0
    assert sum(n for name, n in now.items() if name.startswith('vpcflowd_exporter_messages_total')) == \
        now['vpcflowd_messages_sent_total']
    daemon.stop()


def test_a_collector_that_is_away_shows(start, tmp_path, generator):
    daemon, address = start_with_admin(start, tmp_path, udp(collectors.free_udp_port()))
    with Client(daemon.address) as client:
        client.data(payloads.simple_document(generator.mixed_lines(300)))
        found = {}

        def away():
            found.update(json.loads(get(address, '/status')[2]))
            return found['payloads_in_flight'] == 1 and all(e['state'] == 'away' for e in found['exporters']) and \
                any(e['waiting'] > 0 for e in found['exporters'])
        collectors.until(away, 20 * SLOW, 'exporters away')
        assert {e['vpc'] for e in found['exporters']} == {'prod', 'dev'}
        assert get(address, '/healthz') == (200, 'text/plain', 'ok\n')  # it works, if slowly: a restart would not help
        daemon.send_signal(15)
        time.sleep(0.3)
        assert get(address, '/healthz')[0] == 503
        daemon.send_signal(15)
        assert daemon.wait() == 1


def test_what_waits_in_the_spool_shows(start, tmp_path, generator):
    daemon, address = start_with_admin(start, tmp_path, udp(collectors.free_udp_port()), spool={'directory': tmp_path / 'spool'})
    lines = generator.mixed_lines(300)
    assert {e['spooled_bytes'] for e in json.loads(get(address, '/status')[2])['exporters']} == {0}
    with Client(daemon.address) as client:
        assert client.ask(payloads.simple_document(lines)) == reply_to(lines)
    spooled = {e['vpc']: e['spooled_bytes'] for e in json.loads(get(address, '/status')[2])['exporters']}
    on_disk = {f.parent.name: f.stat().st_size for f in (tmp_path / 'spool').glob('*/*.ipfix')}
    assert set(spooled) == {'prod', 'dev'} and sorted(spooled.values()) == sorted(on_disk.values())
    metrics = samples(get(address, '/metrics')[2])
    assert sorted(n for name, n in metrics.items() if name.startswith('vpcflowd_exporter_spooled_bytes')) == \
        sorted(on_disk.values())
    daemon.stop()


def test_status_says_who_and_what(start, tmp_path, sink):
    daemon, address = start_with_admin(start, tmp_path, udp(sink.port))
    status, kind, text = get(address, '/status')
    found = json.loads(text)
    assert (status, kind) == (200, 'application/json')
    assert found['state'] == 'running' and found['vpcs'] == 2 and found['collectors'] == 1
    assert found['listening'] == '%s:%d' % daemon.address
    assert {(e['vpc'], e['exporter_ip'], e['observation_domain'], e['transport']) for e in found['exporters']} == \
        {(v.name, v.exporter_ip, v.domain, 'udp') for v in (PROD, DEV)}
    daemon.stop()


def test_anything_else_is_refused(start, tmp_path, sink):
    daemon, address = start_with_admin(start, tmp_path, udp(sink.port))
    assert get(address, '/')[0] == 404
    assert get(address, '/metrics', 'POST')[0] in (405, 501)
    assert get(address, '/healthz', 'HEAD') == (200, 'text/plain', '')
    daemon.stop()
