"""[rejects]: refused payloads and unreadable lines are kept, bounded, and --read exports them by a mended configuration."""
import gzip
import json
import re
import shutil
import stat
import time

import pytest

import daemon as daemon_module
import payloads
from daemon import udp, vpc_keys, write_config
from flows import DEV, PROD
from scenario import reply_to, two_vpcs
from test_protocol_replies import damaged_crc
from wire import SLOW, Client, error_code, ok

NAME = re.compile(r'rejects-\d{8}T\d{6}\.\d{3}Z-\d{6}\.(payload|json|txt)\Z')


class Keeping:
    """A daemon that keeps rejects: of PROD alone it takes records."""

    def __init__(self, start, sink, directory, limit, vpcs, listener):
        self.rejects = directory / 'rejects'
        self.config = write_config(directory, {'sink': udp(sink.port)}, vpcs, listener,
                                   rejects={'directory': self.rejects, 'limit': limit})
        self.daemon = start(['-c', self.config])
        self.address = self.daemon.address

    def files(self, ending):
        return sorted(self.rejects.glob(f'*.{ending}'))

    def disk_size(self):
        return sum((path.stat().st_size + 4095) // 4096 * 4096 for path in self.rejects.iterdir() if NAME.match(path.name))


@pytest.fixture
def keeping(start, sink, tmp_path):
    return lambda limit='64M', vpcs=None, **listener: \
        Keeping(start, sink, tmp_path, limit, vpcs or {'prod': vpc_keys(PROD)}, listener)


def read_back(tmp_path, files, vpcs=None):
    """What --read --print makes of files once there is a [vpc] for everything, as sorted JSON lines."""
    config = write_config(tmp_path / 'mended', {'sink': udp(9)}, vpcs or two_vpcs())
    result = daemon_module.run(['-c', config, '--read', '--print', *files])
    assert result.returncode == 0, result.stderr
    return sorted(result.stdout.splitlines())


def printed(tmp_path, lines):
    path = tmp_path / 'lines'
    path.write_bytes(payloads.simple_document(lines))
    return read_back(tmp_path, [path])


def test_a_refused_payload_is_kept_as_it_was_sent(keeping, generator):
    kept = keeping()
    damaged = damaged_crc(payloads.simple_document(generator.mixed_lines(300)))
    with Client(kept.address, source='127.0.0.77') as client:
        assert error_code(client.ask(damaged)) == 400
        assert error_code(client.ask(b'no flow log')) == 422
    first, second = kept.files('payload')
    assert (first.read_bytes(), second.read_bytes()) == (damaged, b'no flow log')
    assert all(NAME.match(path.name) for path in kept.rejects.iterdir())
    text = first.with_suffix('.txt').read_text()
    assert re.search(r'^time: \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$', text, re.M)
    assert re.search(r'^peer: 127\.0\.0\.77:\d+$', text, re.M)
    assert re.search(r'^refused: 400 malformed: .', text, re.M)
    assert 'refused: 422' in second.with_suffix('.txt').read_text()
    assert stat.S_IMODE(kept.rejects.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in kept.rejects.iterdir()} == {0o600}


def test_a_payload_that_no_vpc_takes_is_exported_by_read_after_mending(keeping, tmp_path, generator):
    lines = [generator.line(generator.any_interface(DEV)) for _ in range(50)]
    kept = keeping()
    with Client(kept.address) as client:
        assert error_code(client.ask(gzip.compress(payloads.simple_document(lines)))) == 422
    assert read_back(tmp_path, kept.files('payload')) == printed(tmp_path, lines)


def test_lines_of_an_accepted_payload_are_exported_by_read_after_mending(keeping, tmp_path, generator):
    """Every record of the payload: those that were taken at once, and those that nobody took."""
    lines = generator.mixed_lines(500, idle=0)
    of_dev = [line for line in lines if DEV.account in line]
    document = payloads.document(lines, group='/aws/vpc/"mixed"\\ \u00fc \U0001f511', stream='a/b', owner=PROD.account)
    kept = keeping()
    with Client(kept.address) as client:
        assert client.ask(payloads.dumps(document).encode()) == ok(len(lines) - len(of_dev), 0, len(of_dev))
    assert not kept.files('payload')
    (path,) = kept.files('json')
    again = json.loads(path.read_bytes())
    assert {key: again[key] for key in ('messageType', 'owner', 'logGroup', 'logStream')} == \
        {key: document[key] for key in ('messageType', 'owner', 'logGroup', 'logStream')}
    assert [event['message'] for event in again['logEvents']] == of_dev
    assert [event['timestamp'] for event in again['logEvents']] == \
        [event['timestamp'] for event in document['logEvents'] if DEV.account in event['message']]
    assert read_back(tmp_path, [path]) == printed(tmp_path, of_dev)
    text = path.with_suffix('.txt').read_text()
    assert f'rejected: {len(of_dev)} lines, {len(of_dev)} of them kept' in text and 'no [vpc]' not in text
    assert 'account ' + DEV.account in text


@pytest.mark.parametrize('wrap', (lambda docs: b''.join(docs), payloads.kinesis_event, lambda docs: b'\n'.join(docs)),
                         ids=('side by side', 'Kinesis', 'lines'))
def test_lines_of_several_documents_keep_their_log_groups(keeping, tmp_path, generator, wrap):
    several = [generator.mixed_lines(40, idle=0) for _ in range(6)]
    documents = [payloads.simple_document(lines, group=f'/aws/vpc/{n}', owner=PROD.account)
                 for n, lines in enumerate(several)]
    kept = keeping()
    of_dev = [line for lines in several for line in lines if DEV.account in line]
    with Client(kept.address) as client:
        assert client.ask(wrap(documents)) == ok(240 - len(of_dev), 0, len(of_dev))
    (path,) = kept.files('json')
    decoder, text, at, groups = json.JSONDecoder(), path.read_text(), 0, {}
    while at < len(text):
        doc, at = decoder.raw_decode(text, at)
        at += len(text[at:]) - len(text[at:].lstrip())
        groups[doc['logGroup']] = [event['message'] for event in doc['logEvents']]
    assert groups == {f'/aws/vpc/{n}': [line for line in lines if DEV.account in line]
                      for n, lines in enumerate(several) if any(DEV.account in line for line in lines)}
    assert read_back(tmp_path, [path]) == printed(tmp_path, of_dev)


def test_lines_of_text_keep_their_header(keeping, tmp_path, generator):
    """The header names the fields: without it the lines could not be read again."""
    header = 'action account-id srcaddr dstaddr srcport dstport protocol packets bytes start end log-status version interface-id'
    row = 'ACCEPT %s 10.9.0.5 198.51.100.7 443 %d 6 12 3456 1700000000 1700000059 OK 2 eni-0a'
    good, bad = [row % (PROD.account, n) for n in range(5)], [row % (DEV.account, n) for n in range(5, 12)]
    kept = keeping()
    with Client(kept.address) as client:
        assert client.ask(payloads.text(good[:3] + bad[:3] + good[3:] + bad[3:], header)) == ok(5, 0, 7)
    (path,) = kept.files('json')
    assert read_back(tmp_path, [path]) == \
        read_back(tmp_path, [(tmp_path / 'text', (tmp_path / 'text').write_bytes(payloads.text(bad, header)))[0]])
    assert len(read_back(tmp_path, [path])) == 7


def test_lines_in_a_format_of_their_own(keeping, tmp_path, generator):
    """The configuration has the wrong format for a log group. With the right one every line is there."""
    right = '${interface-id} ${srcaddr} ${dstaddr} ${bytes} ${packets} ${start} ${end} ${action} ${log-status}'
    vpcs = {'odd': {'log_group': 'odd', 'exporter_ip': '127.0.0.4', 'observation_domain': 4}, 'prod': vpc_keys(PROD)}
    odd = [f'eni-0a 10.0.0.{n} 10.0.1.1 100 {n} 1700000000 1700000060 ACCEPT OK' for n in range(1, 100)]
    good = [generator.line(generator.any_interface(PROD)) for _ in range(5)]
    kept = keeping(vpcs=vpcs)
    with Client(kept.address) as client:
        payload = payloads.simple_document(odd, group='odd') + payloads.simple_document(good)
        assert client.ask(payload) == ok(5, 0, 99)
    mended = {**vpcs, 'odd': {**vpcs['odd'], 'format': right}}
    got = [json.loads(line) for line in read_back(tmp_path, kept.files('json'), mended)]
    assert sorted(int(flow['packets']) for flow in got) == list(range(1, 100))


def test_what_cannot_be_text_is_kept_as_far_as_json_goes(keeping):
    good = f'2 {PROD.account} eni-0a 10.0.0.1 10.0.0.2 1 2 6 1 1 1700000000 1700000060 ACCEPT OK'
    odd = [b'\xff\xfe bytes', b'a "quoted" \\ line', b'nul \0 \x1b[31m tab\t', 'ü \u2028 🔑'.encode(), b'\xed\xa0\x80', b'\xc3']
    kept = keeping()
    with Client(kept.address) as client:
        assert client.ask(good.encode() + b'\n' + b'\n'.join(odd)) == ok(1, 0, len(odd))
    (path,) = kept.files('json')
    messages = [event['message'] for event in json.loads(path.read_bytes())['logEvents']]
    assert messages == [line.decode(errors='replace') for line in odd[:4]] + ['\ufffd' * 3, '\ufffd']


def test_what_another_configuration_could_not_mend_is_not_kept(keeping, generator):
    kept = keeping(max_inflated='64k', max_payload='1M')
    with Client(kept.address) as client:
        assert error_code(client.ask(gzip.compress(b' ' * 100000))) == 413
    with Client(kept.address) as client:
        assert error_code(client.send(b'DATA 9999999\n').line()) == 413
    with Client(kept.address) as client:
        lines = [generator.line(generator.any_interface(PROD)) for _ in range(5)]
        assert client.ask(payloads.simple_document(lines)) == reply_to(lines)
    assert list(kept.rejects.iterdir()) == []


def test_nothing_that_a_peer_says_does_harm_in_the_text(keeping):
    kept = keeping()
    document = payloads.document(['nothing'])
    document['logGroup'] = 'a\npeer: 192.0.2.1\r\x1b]0;x\x07 \u0085 \u202e \\ b'
    with Client(kept.address) as client:
        assert error_code(client.ask(payloads.dumps(document).encode())) == 422
        good = f'2 {PROD.account} eni-0a 10.0.0.1 10.0.0.2 1 2 6 1 1 1700000000 1700000060 ACCEPT OK'
        document['logEvents'].append(payloads.event(good))
        assert client.ask(payloads.dumps(document).encode()) == ok(1, 0, 1)
    texts = [path.read_bytes() for path in kept.files('txt')]
    assert len(texts) == 2
    for text in texts:
        assert all(byte == 10 or 32 <= byte < 127 for byte in text)
        assert len(re.findall(rb'^peer: ', text, re.M)) == 1


def test_the_oldest_make_room_and_what_others_put_there_stays(keeping, start, tmp_path):
    kept = keeping('64k')
    foreign = kept.rejects / 'notes.txt'
    foreign.write_bytes(b'x' * 100000)
    with Client(kept.address) as client:
        for n in range(60):
            assert error_code(client.ask(b'no flow log %d ' % n + b'x' * (n * 100))) == 422
            assert kept.disk_size() <= 64 << 10
            time.sleep(0.011)  # no more than so many in a second
    numbers = [int(path.read_bytes().split()[3]) for path in kept.files('payload')]
    assert numbers == list(range(60 - len(numbers), 60)) and len(numbers) >= 4
    assert foreign.stat().st_size == 100000
    kept.daemon.stop()
    again = start(['-c', kept.config])  # a new daemon counts what it finds
    with Client(again.address) as client:
        assert error_code(client.ask(b'no flow log at all')) == 422
    assert kept.disk_size() <= 64 << 10
    assert kept.files('payload')[-1].read_bytes() == b'no flow log at all'
    assert len(kept.files('payload')) >= 3


def test_a_payload_over_the_limit_costs_nobody_else_room(keeping):
    kept = keeping('64k')
    with Client(kept.address) as client:
        assert error_code(client.ask(b'small')) == 422
        assert error_code(client.ask(b'large ' * 20000)) == 422
    assert [path.read_bytes() for path in kept.files('payload')] == [b'small']
    assert 'not kept' in kept.daemon.stderr


def test_a_peer_that_sends_nothing_else_does_not_flood_the_directory(keeping):
    kept = keeping()
    began = time.time()
    stream = b''.join(b'DATA 8\nnone %03d' % n for n in range(1000))
    with Client(kept.address) as client:
        client.send(stream)
        assert {error_code(reply) for reply in client.lines(1000)} == {422}
    assert 1 <= len(kept.files('payload')) <= 100 * (int(time.time()) - int(began) + 1)
    assert 'not kept' in kept.daemon.stderr


def test_lines_are_bounded_for_each_payload(keeping, tmp_path):
    kept = keeping()
    good = f'2 {PROD.account} eni-0a 10.0.0.1 10.0.0.2 1 2 6 1 1 1700000000 1700000060 ACCEPT OK'
    bad = [f'2 {DEV.account} eni-0a 10.0.0.1 10.0.0.2 1 2 6 1 {n} 1700000000 1700000060 ACCEPT OK' for n in range(80000)]
    with Client(kept.address) as client:
        assert client.ask(gzip.compress(payloads.text([good] + bad), 1)) == ok(1, 0, 80000)
    (path,) = kept.files('json')
    assert 3 << 20 < path.stat().st_size <= 4 << 20
    events = json.loads(path.read_bytes())['logEvents']
    assert [event['message'] for event in events] == bad[:len(events)]
    assert f'rejected: 80000 lines, {len(events)} of them kept' in path.with_suffix('.txt').read_text()


def test_a_directory_that_goes_away_is_no_matter_of_the_senders(keeping):
    kept = keeping()
    shutil.rmtree(kept.rejects)
    with Client(kept.address) as client:
        assert error_code(client.ask(b'no flow log')) == 422
        assert client.ping() == 'PONG'
    assert 'not kept' in kept.daemon.stderr and str(kept.rejects) in kept.daemon.stderr
    kept.daemon.stop()


def test_a_directory_that_cannot_be_made_is_told_at_start(sink, tmp_path):
    config = write_config(tmp_path, {'sink': udp(sink.port)}, {'prod': vpc_keys(PROD)},
                          rejects={'directory': tmp_path / 'not' / 'there'})
    result = daemon_module.run(['-c', config])
    assert result.returncode == 1
    assert '[rejects] directory' in result.stderr and 'No such file' in result.stderr


def test_a_link_in_place_of_a_file_is_not_followed(keeping, tmp_path):
    """Names can't be foreseen, and a file that is there is never written to."""
    kept = keeping()
    (kept.rejects / 'rejects-20200101T000000.000Z-000001.payload').symlink_to(tmp_path / 'victim')
    with Client(kept.address) as client:
        assert error_code(client.ask(b'no flow log')) == 422
    assert not (tmp_path / 'victim').exists()
    assert len([p for p in kept.files('payload') if not p.is_symlink()]) == 1


def test_read_keeps_none(keeping, tmp_path):
    kept = keeping()
    path = tmp_path / 'file'
    path.write_bytes(b'no flow log')
    assert daemon_module.run(['-c', kept.config, '--read', path]).returncode == 1
    assert list(kept.rejects.iterdir()) == []


def test_repeats_of_a_refused_payload_in_flight_are_kept_once(keeping, generator):
    kept = keeping(duplicate_window='1h')
    damaged = damaged_crc(payloads.simple_document(generator.mixed_lines(3000)))
    with Client(kept.address) as client:
        client.send((b'DATA %d\n' % len(damaged) + damaged) * 4)
        assert {error_code(reply) for reply in client.lines(4)} == {400}
    assert 1 <= len(kept.files('payload')) <= 4
    if SLOW == 1:
        assert len(kept.files('payload')) < 4
