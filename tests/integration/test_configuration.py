"""Configuration files: -t, errors that name file, line and key, and which [vpc] takes a record."""
import signal

import pytest

import payloads
from certificates import Certificates
from daemon import Daemon, run, udp, write_config
from flows import DEV, PROD
from scenario import exported_as, reply_to, two_vpcs
from wire import Client, error_code, ok

GOOD = '''[daemon]
workers = 2
log_level = info
message_size = 1400
[listener]
address = 127.0.0.1:0
max_payload = 8M
idle_timeout = 30s
# a comment
[collector "a"]
address = 127.0.0.1:4739
transport = udp
template_refresh = 60s
[collector "b"]
address = %(directory)s/b.ipfix
transport = file
[vpc "prod"]
log_group = /aws/vpc/prod*
account = 111122223333
exporter_ip = 127.0.0.2
collector = a, b
[vpc "default"]
exporter_ip = 127.0.0.3
observation_domain = 7
'''


def check(tmp_path, text):
    path = tmp_path / 'vpcflowd.conf'
    path.write_text(text % {'directory': tmp_path} if '%(' in text else text)
    return run(['-c', path, '-t'])


def test_t_says_what_a_good_configuration_came_to(vpcflowd, tmp_path):
    result = check(tmp_path, GOOD)
    assert result.returncode == 0, result.stderr
    for word in ('127.0.0.2', '/aws/vpc/prod*', '[vpc "prod"]', '[collector "b"]', 'observation_domain = 7',
                 'max_connections = 1024'):
        assert word in result.stdout, f'{word} is not in:\n{result.stdout}'


def test_what_t_prints_is_a_configuration(vpcflowd, tmp_path):
    first = check(tmp_path, GOOD)
    second = tmp_path / 'second'
    second.mkdir()
    again = check(second, first.stdout)
    assert again.returncode == 0, again.stderr
    assert again.stdout == first.stdout


def test_t_neither_listens_nor_writes(vpcflowd, tmp_path):
    assert check(tmp_path, GOOD).returncode == 0
    assert not (tmp_path / 'b.ipfix').exists()


SECRET = 'not-to-be-seen-anywhere'


def with_secrets(tmp_path):
    """GOOD with every file of secrets, warnings and all."""
    for name in ('tokens', 'keys'):
        (tmp_path / name).write_text(f'# {name}\n{SECRET}-{name}\n')
        (tmp_path / name).chmod(0o644)
    return (_changed('max_payload = 8M', 'token_file = %(directory)s/tokens').replace('127.0.0.1:0', '0.0.0.0:0') +
            '[http]\naddress = 0.0.0.0:0\naccess_key_file = %(directory)s/keys\n'
            '[admin]\naddress = 0.0.0.0:0\n[spool]\ndirectory = %(directory)s/spool\n'
            '[rejects]\ndirectory = %(directory)s/rejects\n')


def test_secrets_are_never_printed_and_the_risks_are_warned_of(vpcflowd, tmp_path):
    result = check(tmp_path, with_secrets(tmp_path))
    assert result.returncode == 0, result.stderr
    assert SECRET not in result.stdout + result.stderr
    assert f'token_file = {tmp_path}/tokens\n' in result.stdout
    for place, words in ((':7: [listener] token_file', 'clear text'), (':7: [listener] token_file', 'chmod o-r'),
                         (':27: [http] access_key_file', 'clear text'), (':29: [admin] address', 'other hosts')):
        assert [line for line in result.stderr.splitlines() if place in line and words in line], result.stderr
    for made in ('spool', 'rejects'):
        assert not (tmp_path / made).exists()
    again = check(tmp_path, result.stdout)
    assert (again.returncode, again.stdout) == (0, result.stdout), again.stderr


def test_a_credential_is_looked_up_where_systemd_says(vpcflowd, tmp_path):
    (tmp_path / 'tokens').write_text('x\n')
    path = tmp_path / 'vpcflowd.conf'
    path.write_text(_changed('max_payload = 8M', 'token_file = credential:tokens') % {'directory': tmp_path})
    result = run(['-c', path, '-t'], env={'CREDENTIALS_DIRECTORY': str(tmp_path)})
    assert result.returncode == 0, result.stderr
    assert f'token_file = {tmp_path}/tokens\n' in result.stdout


def test_to_read_files_needs_no_tokens(vpcflowd, tmp_path):
    path = tmp_path / 'vpcflowd.conf'
    path.write_text(_changed('max_payload = 8M', 'token_file = /not/there') % {'directory': tmp_path})
    assert run(['-c', path, '-t']).returncode == 78
    result = run(['-c', path, '--print', '--read', '-'], stdin=b'')
    assert 'token_file' not in result.stderr and result.returncode != 78, result.stderr


def _changed(old, new):
    assert old in GOOD
    return GOOD.replace(old, new, 1)


# name: (text, what must stand in the message beside the file's name)
BAD = {
    'unknown section': (GOOD + '[colector "c"]\n', [':25', 'colector']),
    'unknown key': (_changed('max_payload', 'max_paylod'), [':7', 'max_paylod']),
    'key in the wrong section': (_changed('workers = 2', 'transport = udp'), [':2', 'transport']),
    'not a number': (_changed('message_size = 1400', 'message_size = big'), [':4', 'message_size', 'big']),
    'number too small': (_changed('message_size = 1400', 'message_size = 5'), [':4', 'message_size', '512']),
    'number too large': (_changed('observation_domain = 7', 'observation_domain = 4294967296'),
                         [':24', 'observation_domain']),
    'no such unit': (_changed('idle_timeout = 30s', 'idle_timeout = 30 fortnights'), [':8', 'idle_timeout']),
    'no such level': (_changed('log_level = info', 'log_level = chatty'), [':3', 'log_level', 'chatty']),
    'no such transport': (_changed('transport = udp', 'transport = pigeon'), [':12', 'transport', 'pigeon']),
    'no such workers': (_changed('workers = 2', 'workers = -1'), [':2', 'workers']),
    'listener without port': (_changed('address = 127.0.0.1:0', 'address = 127.0.0.1'), [':6', 'address']),
    'listener on a name': (_changed('address = 127.0.0.1:0', 'address = example.com:20555'), [':6', 'address']),
    'exporter_ip no address': (_changed('exporter_ip = 127.0.0.2', 'exporter_ip = 127.0.0.300'),
                               [':20', 'exporter_ip', '127.0.0.300']),
    'collector nobody defined': (_changed('collector = a, b', 'collector = a, c'), [':21', 'collector', 'c']),
    'collector address bad': (_changed('address = 127.0.0.1:4739', 'address = 127.0.0.1:70000'),
                              [':11', 'address', '70000']),
    'collector without address': (_changed('address = 127.0.0.1:4739\n', ''), [':10', 'address']),
    'vpc without exporter_ip': (_changed('exporter_ip = 127.0.0.2\n', ''), [':17', 'exporter_ip']),
    'one identity twice': (_changed('exporter_ip = 127.0.0.3\nobservation_domain = 7\n', 'exporter_ip = 127.0.0.2\n'),
                           ['127.0.0.2', 'prod', 'default']),
    'one name twice': (_changed('[vpc "default"]', '[vpc "prod"]'), ['prod']),
    'a key twice': (_changed('workers = 2', 'workers = 2\nworkers = 3'), [':3', 'workers']),
    'no syntax': (_changed('# a comment', 'what is this'), [':9']),
    'a format without fields': (GOOD + 'format =\n', [':25', 'format']),
    'a format with a field twice': (GOOD + 'format = ${srcaddr} ${dstaddr} ${srcaddr}\n', [':25', 'format', 'srcaddr']),
    'a key without its certificate': (_changed('max_payload = 8M', 'tls_key = /dev/null'),
                                      [':7', 'tls_key', 'tls_certificate']),
    'client certificates without TLS': (_changed('max_payload = 8M', 'tls_client_ca = /dev/null'),
                                        [':7', 'tls_client_ca', 'tls_certificate']),
    'TLS for a UDP collector': (_changed('transport = udp', 'tls_name = c.example.com'),
                                [':12', 'tls_name', 'transport = tls']),
    'a token file that is not there': (_changed('max_payload = 8M', 'token_file = %(directory)s/no-tokens'),
                                       [':7', 'token_file', 'no-tokens', 'No such file']),
    'a directory as token file': (_changed('max_payload = 8M', 'token_file = %(directory)s'),
                                  [':7', 'token_file', 'is a directory']),
    'a token file without tokens': (_changed('max_payload = 8M', 'token_file = /dev/null'), [':7', 'token_file']),
    'a credential without systemd': (_changed('max_payload = 8M', 'token_file = credential:tokens'),
                                     [':7', 'token_file', 'CREDENTIALS_DIRECTORY', 'LoadCredential=tokens']),
    'a network with bits behind it': (_changed('max_payload = 8M', 'allow = 10.0.0.1/8'),
                                      [':7', 'allow', '10.0.0.1/8']),
    'a limit without its directory': (GOOD + '[spool]\nlimit = 1G\n', [':26', '[spool] limit', 'directory']),
    'a spool that is a file': (GOOD + '[spool]\ndirectory = /dev/null\n',
                               [':26', '[spool] directory', 'not a directory']),
    'one directory for two things': (GOOD + '[spool]\ndirectory = x\n[rejects]\ndirectory = x\n',
                                     [':28', '[rejects] directory', '[spool]']),
    'keys of http without its address': (GOOD + '[http]\naccess_key_file = /dev/null\n',
                                         [':26', '[http] access_key_file', 'address']),
    'one address for two listeners': (GOOD + '[admin]\naddress = 127.0.0.1:9\n[http]\naddress = 127.0.0.1:9\n',
                                      ['127.0.0.1:9', '[admin]', '[http]']),
    'TCP and TLS on one port': (_changed('transport = udp', 'transport = tcp') +
                                '[collector "c"]\naddress = tls://127.0.0.1:4739\n',
                                [':26', 'address', 'collector "a"']),
    'vpc that would take everything, but is not the default': (
        _changed('log_group = /aws/vpc/prod*\naccount = 111122223333\n', ''), [':17', 'prod', 'default']),
    'vpc without a name': (_changed('[vpc "prod"]', '[vpc]'), [':17']),
}


@pytest.mark.parametrize('name', BAD)
def test_a_bad_configuration_is_78_and_names_file_line_and_key(vpcflowd, tmp_path, name):
    text, words = BAD[name]
    result = check(tmp_path, text)
    assert result.returncode == 78, (result.returncode, result.stdout, result.stderr)
    for word in ['vpcflowd.conf'] + words:
        assert word in result.stderr, f'{word} is not in: {result.stderr}'
    daemon = run(['-c', tmp_path / 'vpcflowd.conf'])  # to start with it fails alike
    assert daemon.returncode == 78


def test_an_error_in_vpc_d_names_that_file(vpcflowd, tmp_path):
    path = write_config(tmp_path, {'a': udp(4739)}, {**two_vpcs(), 'x': {'acount': '1', 'exporter_ip': '127.0.0.4'}})
    result = run(['-c', path, '-t'])
    assert result.returncode == 78
    for word in ('vpc.d/02-x.conf:2', 'acount'):
        assert word in result.stderr


@pytest.mark.parametrize('section', ['listener', 'http', 'collector'])
def test_t_finds_a_key_that_is_another_certificates(vpcflowd, tmp_path, section):
    certificates = Certificates(tmp_path / 'certificates')
    keys = f'tls_certificate = {certificates.server.certificate}\ntls_key = {certificates.client.key}\n'
    more = {'listener': _changed('max_payload = 8M\n', keys),
            'http': GOOD + '[http]\naddress = 127.0.0.1:0\n' + keys,
            'collector': _changed('transport = udp\n', 'transport = tls\n' + keys)}
    result = check(tmp_path, more[section])
    assert (result.returncode, result.stdout) == (78, '')
    assert f'{tmp_path}/vpcflowd.conf: [{section}' in result.stderr
    assert 'does not belong to the (first) certificate' in result.stderr
    good = more[section].replace(certificates.client.key, certificates.server.key)
    assert check(tmp_path, good).returncode == 0


def test_a_missing_file_is_78(vpcflowd, tmp_path):
    result = run(['-c', tmp_path / 'nowhere.conf'])
    assert result.returncode == 78
    assert 'nowhere.conf' in result.stderr


def test_an_exporter_ip_that_the_host_does_not_have_is_an_error_at_start(vpcflowd, tmp_path):
    path = write_config(tmp_path, {'a': udp(4739)}, {'prod': {'account': '1', 'exporter_ip': '192.0.2.77'}})
    result = run(['-c', path])
    assert result.returncode in (1, 78)
    assert '192.0.2.77' in result.stderr and 'prod' in result.stderr


def test_with_freebind_it_starts(start, tmp_path):
    path = write_config(tmp_path, {'a': udp(4739)}, {'default': {'exporter_ip': '192.0.2.77', 'freebind': 'yes'}})
    daemon = start(['-c', path])
    with Client(daemon.address) as client:
        assert client.ping() == 'PONG'
    daemon.stop()


def test_vpc_d_is_read_in_the_order_of_names(vpcflowd, tmp_path):
    path = write_config(tmp_path, {'a': udp(4739)}, {'z': {'account': '1', 'exporter_ip': '127.0.0.4'},
                                                       'a': {'account': '2', 'exporter_ip': '127.0.0.5'}})
    (tmp_path / 'vpc.d' / 'ignored.conf.bak').write_text('nonsense')
    result = run(['-c', path, '-t'])
    assert result.returncode == 0, result.stderr
    assert result.stdout.index('[vpc "z"]') < result.stdout.index('[vpc "a"]')


# --- matching ---

@pytest.fixture
def matching(start, sink, tmp_path):
    """matching(vpcs) → a function that sends lines as one document, waits for them, and says which exporters they came
    from: {exporter address: lines}."""
    def begin(vpcs):
        keys = {name: {'exporter_ip': f'127.0.1.{n}', **more} for n, (name, more) in enumerate(vpcs.items(), start=1)}
        path = write_config(tmp_path, {'sink': udp(sink.port)}, keys)
        daemon = start(['-c', path])

        def send(want_exporters, lines, **names):
            with Client(daemon.address) as client:
                assert client.ask(payloads.simple_document(lines, **names)) == reply_to(lines)
            for exporter, line in zip(want_exporters, lines):
                sink.wait_for(exported_as(exporter, [line]))
        send.address, send.daemon = daemon.address, daemon
        return send
    return begin


def test_matching_by_log_group(matching, generator):
    send = matching({'exact': {'log_group': '/aws/vpc/one'}, 'glob': {'log_group': '/aws/vpc/t*'},
                     'question': {'log_group': '/aws/?/x'}, 'default': {}})
    for group, exporter in (('/aws/vpc/one', '127.0.1.1'), ('/aws/vpc/two', '127.0.1.2'), ('/aws/vpc/t', '127.0.1.2'),
                            ('/aws/q/x', '127.0.1.3'), ('/aws/vpc/one1', '127.0.1.4'), ('/AWS/vpc/one', '127.0.1.4')):
        send([exporter] * 3, generator.mixed_lines(3, idle=0), group=group)


def test_matching_by_account_of_the_record(matching, generator):
    send = matching({'prod': {'account': PROD.account}, 'dev': {'account': DEV.account[:6] + '*'}})
    lines = [generator.line(generator.any_interface(vpc)) for vpc in (PROD, DEV, PROD, PROD, DEV)]
    send(['127.0.1.1', '127.0.1.2', '127.0.1.1', '127.0.1.1', '127.0.1.2'], lines, owner='999999999999')


def test_matching_by_interface(matching, generator):
    first, second, third = generator.interfaces[PROD][:3]
    send = matching({'listed': {'interface': f'{first.id}, {second.id[:-3]}*'}, 'default': {}})
    send(['127.0.1.1', '127.0.1.1', '127.0.1.2'], [generator.line(i) for i in (first, second, third)])


def test_all_given_keys_must_match_and_the_first_vpc_wins(matching, generator):
    send = matching({'both': {'account': PROD.account, 'log_group': '/a'}, 'wide': {'log_group': '/a'},
                     'narrow': {'account': PROD.account}, 'default': {}})
    prod, dev = (generator.any_interface(vpc) for vpc in (PROD, DEV))
    send(['127.0.1.1', '127.0.1.2'], [generator.line(prod), generator.line(dev)], group='/a')
    send(['127.0.1.3', '127.0.1.4'], [generator.line(prod), generator.line(dev)], group='/b')


def test_default_takes_the_rest_wherever_it_stands(matching, generator):
    send = matching({'default': {}, 'prod': {'account': PROD.account}})
    send(['127.0.1.2', '127.0.1.1'], [generator.line(generator.any_interface(vpc)) for vpc in (PROD, DEV)])


def test_records_that_nobody_takes_are_422_and_the_log_group_is_named(matching, generator):
    send = matching({'prod': {'log_group': '/aws/vpc/prod*'}})
    with Client(send.address) as client:
        reply = client.ask(payloads.simple_document(generator.mixed_lines(5), group='/aws/vpc/elsewhere'))
        assert error_code(reply) == 422
        assert '/aws/vpc/elsewhere' in reply
    assert '/aws/vpc/elsewhere' in send.daemon.stderr


def test_records_that_nobody_takes_among_others_are_rejected(matching, generator):
    send = matching({'prod': {'account': PROD.account}})
    lines = [generator.line(generator.any_interface(vpc)) for vpc in (PROD, DEV, PROD)]
    with Client(send.address) as client:
        assert client.ask(payloads.simple_document(lines)) == ok(2, 0, 1)


def test_a_vpc_goes_to_its_collectors_only(start, sink, tmp_path, generator):
    from collectors import UdpSink
    with UdpSink() as other:
        path = write_config(tmp_path, {'one': udp(sink.port), 'two': udp(other.port)},
                            {'prod': {'account': PROD.account, 'exporter_ip': PROD.exporter_ip, 'collector': 'two'},
                             'dev': {'account': DEV.account, 'exporter_ip': DEV.exporter_ip}})
        daemon = start(['-c', path])
        lines = [generator.line(generator.any_interface(vpc)) for vpc in (PROD, DEV)]
        with Client(daemon.address) as client:
            assert client.ask(payloads.simple_document(lines)) == ok(2)
        daemon.stop()
        sink.finish()
        other.finish()
        prod, dev = exported_as(PROD.exporter_ip, lines[:1]), exported_as(DEV.exporter_ip, lines[1:])
        assert sink.flows() == dev
        assert sorted(other.flows()) == sorted(prod + dev)


def test_observation_domain_is_configurable(start, sink, tmp_path, generator):
    path = write_config(tmp_path, {'sink': udp(sink.port)},
                        {'a': {'account': PROD.account, 'exporter_ip': '127.0.0.2', 'observation_domain': '11'},
                         'default': {'exporter_ip': '127.0.0.2', 'observation_domain': '12'}})
    daemon = start(['-c', path])
    lines = [generator.line(generator.any_interface(vpc)) for vpc in (PROD, DEV)]
    with Client(daemon.address) as client:
        assert client.ask(payloads.simple_document(lines)) == ok(2)
    sink.wait_for(exported_as('127.0.0.2', lines))
    daemon.stop(signal.SIGINT)
    assert {domain for _, _, domain in sink.reader().streams()} == {11, 12}
    sink.reader().check_sequences()


def test_a_format_with_tcp_flags(start, sink, tmp_path):
    """Any subset of the field table may be configured; the flags reach the collector."""
    path = write_config(tmp_path, {'sink': udp(sink.port)}, {'default': {
        'exporter_ip': '127.0.0.2', 'format': '${start} ${end} ${srcaddr} ${dstaddr} ${srcport} ${dstport} ${protocol} '
                                              '${packets} ${bytes} ${tcp-flags} ${interface-id} ${log-status}'}})
    names = 'start end srcaddr dstaddr srcport dstport protocol packets bytes tcp-flags interface-id log-status'.split()
    daemon = start(['-c', path])
    lines = [f'1700000000 1700000060 10.0.0.1 10.0.0.{n} 1 2 6 1 40 {flags} eni-1 OK'
             for n, flags in enumerate((0, 1, 2, 4, 18, 19, 255))]
    with Client(daemon.address) as client:
        assert client.ask(payloads.simple_document(lines)) == ok(len(lines))
    from flows import flows_of_lines
    sink.wait_for(flows_of_lines(lines, '127.0.0.2', names))


def test_listening_on_ipv6(vpcflowd, sink, tmp_path, generator):
    path = write_config(tmp_path, {'sink': udp(sink.port)}, two_vpcs(), {'address': '[::1]:0'})
    daemon = Daemon(['-c', path], tmp_path)
    try:
        daemon.start()
        with Client(daemon.address) as client:
            assert client.ping() == 'PONG'
        daemon.stop()
    finally:
        daemon.kill()
