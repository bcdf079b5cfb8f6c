"""The command line: quick mode, --read, --print, exit codes."""
import gzip
import json
import subprocess

import pytest

import collectors
import daemon as daemon_module
import flows
import ipfix
import payloads
from daemon import file, run, write_config
from scenario import article_line, exported_as, reply_to, two_vpcs
from wire import Client

QUICK_IP = '127.0.0.5'


@pytest.mark.parametrize('args', (
    ['--no-such-option'], ['-x'], ['--listen'], ['stray'], ['--read'], ['--print=xml', '--read', '-'],
    ['--listen', '127.0.0.1:0'], ['--collector', 'udp://127.0.0.1:4739', '--exporter-ip', '127.0.0.1'],
    ['-c', '/nowhere', '--listen', '127.0.0.1:0'],
), ids=' '.join)
def test_wrong_usage_is_2(vpcflowd, args):
    result = run(args)
    assert result.returncode == 2, (result.returncode, result.stderr)
    assert result.stderr.strip()


@pytest.mark.parametrize('args,word', (
    (['--listen', 'nonsense', '--collector', 'udp://127.0.0.1:4739', '--exporter-ip', '127.0.0.1'], 'listen'),
    (['--listen', '127.0.0.1:0', '--collector', 'tcp:127.0.0.1', '--exporter-ip', '127.0.0.1'], 'collector'),
    (['--listen', '127.0.0.1:0', '--collector', 'udp://127.0.0.1:4739', '--exporter-ip', 'me'], 'exporter'),
    (['--listen', '127.0.0.1:0', '--collector', 'udp://127.0.0.1:4739'], 'exporter'),
), ids=lambda value: value if isinstance(value, str) else ' '.join(value))
def test_a_setting_of_quick_mode_that_makes_no_sense_is_named(vpcflowd, args, word):
    result = run(args)
    assert result.returncode in (2, 78), (result.returncode, result.stderr)
    assert word in result.stderr


def test_help_and_version(vpcflowd):
    for option in ('--help', '--version'):
        result = run([option])
        assert result.returncode == 0 and 'vpcflowd' in result.stdout


def test_a_port_in_use_is_an_error_at_start(start, sink, tmp_path):
    collector = ['--collector', f'udp://127.0.0.1:{sink.port}', '--exporter-ip', QUICK_IP]
    daemon = start(['--listen', '127.0.0.1:0', *collector])
    address = '%s:%d' % daemon.address
    result = run(['--listen', address, *collector])
    assert result.returncode == 1
    assert address in result.stderr


def test_quick_mode_needs_three_settings(start, sink, generator):
    daemon = start(['--listen', '127.0.0.1:0', '--collector', f'udp://127.0.0.1:{sink.port}', '--exporter-ip', QUICK_IP])
    lines = generator.mixed_lines(300)
    with Client(daemon.address) as client:
        assert client.ask(payloads.simple_document(lines)) == reply_to(lines)
    daemon.stop()
    sink.finish()
    problem = collectors.difference(sink.flows(), exported_as(QUICK_IP, lines))
    assert not problem, problem


def test_quick_mode_into_a_file(start, tmp_path, generator):
    path = tmp_path / 'out.ipfix'
    daemon = start(['--listen', '127.0.0.1:0', '--collector', f'file:{path}', '--exporter-ip', QUICK_IP])
    lines = generator.mixed_lines(300)
    with Client(daemon.address) as client:
        assert client.ask(payloads.simple_document(lines)) == reply_to(lines)
    daemon.stop()
    problem = collectors.difference(collectors.IpfixDump(path).flows(), exported_as(QUICK_IP, lines))
    assert not problem, problem


def test_quick_mode_with_a_format(start, sink):
    daemon = start(['--listen', '127.0.0.1:0', '--collector', f'udp://127.0.0.1:{sink.port}', '--exporter-ip', QUICK_IP,
                    '--format', '${dstaddr} ${srcaddr} ${bytes}'])
    with Client(daemon.address) as client:
        client.ask(payloads.simple_document(['10.9.9.2 10.9.9.1 77']))
    sink.wait_for(flows.flows_of_lines(['10.9.9.2 10.9.9.1 77'], QUICK_IP, ['dstaddr', 'srcaddr', 'bytes']))


# --- --read ---

def json_lines(result):
    assert result.returncode == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_read_print_writes_the_independent_parse(vpcflowd, tmp_path, generator):
    lines = generator.mixed_lines(500)
    path = tmp_path / 'x.json'
    path.write_bytes(payloads.simple_document(lines))
    assert json_lines(run(['--print', '--read', path])) == flows.parse_text('\n'.join(lines))


def test_read_print_keeps_the_order_of_files_and_records(vpcflowd, tmp_path, generator):
    everything, paths = [], []
    for n in range(12):
        lines = generator.mixed_lines((400, 3)[n % 2])
        everything += lines
        paths.append(tmp_path / f'{n}.log')
        paths[-1].write_bytes(payloads.text(lines, ' '.join(flows.V2_FORMAT)))
    assert json_lines(run(['--print', '--read', *paths])) == flows.parse_text('\n'.join(everything))


@pytest.mark.parametrize('encoding', payloads.ENCODINGS)
def test_read_takes_any_encoding(vpcflowd, tmp_path, generator, encoding):
    lines = generator.mixed_lines(20)
    path = tmp_path / 'payload'
    path.write_bytes(payloads.ENCODINGS[encoding](payloads.simple_document(lines)))
    assert json_lines(run(['--print', '--read', path])) == flows.parse_text('\n'.join(lines))


def test_read_takes_an_s3_object(vpcflowd, tmp_path, generator):
    lines = generator.mixed_lines(200)
    path = tmp_path / '111122223333_vpcflowlogs_eu-west-1_fl-1_20240101T0000Z_h.log.gz'
    path.write_bytes(gzip.compress(payloads.text(lines, ' '.join(flows.V2_FORMAT))))
    assert json_lines(run(['--print', '--read', path])) == flows.parse_text('\n'.join(lines))


def test_read_takes_standard_input(vpcflowd, generator):
    lines = generator.mixed_lines(20)
    result = run(['--print', '--read', '-'], stdin=gzip.compress(payloads.text(lines)))
    assert json_lines(result) == flows.parse_text('\n'.join(lines))


def test_read_prints_the_csv_of_ftsq(vpcflowd, generator):
    lines = generator.mixed_lines(20)
    result = run(['--print=ftsq', '--exporter-ip', QUICK_IP, '--read', '-'], stdin=payloads.text(lines))
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == [article_line(line, QUICK_IP) for line in lines if line.endswith(' OK')]


def test_print_shows_numbers_as_numbers_and_leaves_absent_fields_out(vpcflowd):
    line = '2 - eni-1 2001:db8:: 2001:db8::1 - 443 6 18446744073709551615 0 1700000000123 1700000060456 ACCEPT OK'
    record, = json_lines(run(['--print', '--read', '-'], stdin=payloads.text([line])))
    assert record == {'version': 2, 'interface-id': 'eni-1', 'srcaddr': '2001:db8::', 'dstaddr': '2001:db8::1', 'dstport': 443,
                      'protocol': 6, 'packets': 2**64 - 1, 'bytes': 0, 'start': 1700000000123, 'end': 1700000060456,
                      'action': 'ACCEPT', 'log-status': 'OK'}


def test_print_escapes_what_json_must(vpcflowd):
    line = '2 "\\é eni-🔑 192.0.2.1 192.0.2.2 1 2 6 1 1 1700000000 1700000060 ACCEPT OK'
    record, = json_lines(run(['--print', '--read', '-'], stdin=payloads.simple_document([line])))
    assert record['account-id'] == '"\\é' and record['interface-id'] == 'eni-🔑'


def test_read_into_an_ipfix_file(vpcflowd, tmp_path, generator):
    lines = generator.mixed_lines(2000)
    source, target = tmp_path / 'x.log', tmp_path / 'x.ipfix'
    source.write_bytes(payloads.text(lines))
    result = run(['--collector', f'file:{target}', '--exporter-ip', QUICK_IP, '--read', source])
    assert result.returncode == 0, result.stderr
    problem = collectors.difference(collectors.IpfixDump(target).flows(), exported_as(QUICK_IP, lines))
    assert not problem, problem


def test_read_by_a_configuration(vpcflowd, tmp_path, generator):
    lines = generator.mixed_lines(500)
    target = tmp_path / 'x.ipfix'
    path = write_config(tmp_path, {'archive': file(target)}, two_vpcs())
    result = run(['-c', path, '--read', '-'], stdin=payloads.text(lines))
    assert result.returncode == 0, result.stderr
    reader = ipfix.Reader()
    reader.feed_file(target.read_bytes())
    reader.check_sequences()
    problem = collectors.difference(collectors.IpfixDump(target).flows(), flows.expected(lines))
    assert not problem, problem


def test_read_to_a_udp_collector(vpcflowd, sink, generator):
    lines = generator.mixed_lines(2000)
    result = run(['--collector', f'udp://127.0.0.1:{sink.port}', '--exporter-ip', QUICK_IP, '--read', '-'],
                 stdin=payloads.text(lines))
    assert result.returncode == 0, result.stderr
    sink.finish()
    problem = collectors.difference(sink.flows(), exported_as(QUICK_IP, lines))
    assert not problem, problem


def test_read_exports_whatever_it_is_given_twice_as_well(vpcflowd, tmp_path, generator):
    lines = generator.mixed_lines(10)
    path = tmp_path / 'x.json'
    path.write_bytes(payloads.simple_document(lines))
    records = flows.parse_text('\n'.join(lines))
    assert json_lines(run(['--print', '--read', path, path])) == records + records


def test_a_file_that_cannot_be_read_is_1_and_costs_no_other(vpcflowd, tmp_path, generator):
    lines = generator.mixed_lines(10)
    good, damaged = tmp_path / 'good', tmp_path / 'damaged'
    good.write_bytes(payloads.text(lines))
    damaged.write_bytes(gzip.compress(payloads.text(lines))[:-5])
    for bad in (tmp_path / 'missing', damaged, tmp_path):
        result = run(['--print', '--read', bad, good])
        assert result.returncode == 1, result.stderr
        assert str(bad) in result.stderr
        assert [json.loads(line) for line in result.stdout.splitlines()] == flows.parse_text('\n'.join(lines))


def test_a_damaged_file_prints_nothing_of_it(vpcflowd, tmp_path, generator):
    path = tmp_path / 'damaged'
    path.write_bytes(payloads.text(generator.mixed_lines(100)) + b'\n' + gzip.compress(b'x')[:5])
    path.write_bytes(gzip.compress(payloads.simple_document(generator.mixed_lines(1000)))[:-1])
    result = run(['--print', '--read', path])
    assert (result.returncode, result.stdout) == (1, '')


def test_read_print_into_a_closed_pipe_ends(vpcflowd, tmp_path, generator):
    path = tmp_path / 'x.log'
    path.write_bytes(payloads.text(generator.mixed_lines(5000)))
    with subprocess.Popen([str(vpcflowd), '--print', '--read', str(path)], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE) as process:
        process.stdout.readline()
        process.stdout.close()
        try:
            process.wait(20 * daemon_module.SLOW)
        finally:
            process.kill()
        assert process.returncode in (0, 1, -13)
        daemon_module.check_sanitizers(process.stderr.read().decode())
