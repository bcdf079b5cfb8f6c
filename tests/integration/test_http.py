"""Payloads that come by HTTP: Firehose's requests and answers to the letter, /ingest for everybody, and what strangers get."""
import base64
import gzip
import http.client
import json
import re
import socket
import ssl
import subprocess
import time
import uuid

import pytest

import collectors
import payloads
from daemon import Daemon, file, udp, write_config
from flows import DEV, PROD, expected
from scenario import exported_as, reply_to, two_vpcs
from wire import SLOW, TIMEOUT

KEY, OTHER_KEY = 'a key that nobody guesses', 'the next one'
LISTENING = re.compile(r'http on (\S+):(\d+)')


def http_address(daemon):
    match = collectors.until(lambda: LISTENING.search(daemon.stderr), 10 * SLOW, 'the HTTP listener')
    return match[1], int(match[2])


def start_with_http(start, directory, collector, listener=None, http=None, vpcs=None):
    path = write_config(directory, {'sink': collector}, vpcs or two_vpcs(), listener=listener)
    keys = directory / 'access-keys'
    keys.write_text(f'{KEY}\n{OTHER_KEY}\n')
    keys.chmod(0o600)
    settings = {'address': '127.0.0.1:0', 'access_key_file': keys, **(http or {})}
    path.write_text(path.read_text() + '[http]\n' + ''.join(f'{k} = {v}\n' for k, v in settings.items() if v is not None))
    return start(['-c', path])


@pytest.fixture
def served(start, tmp_path, sink):
    """(address, sink) of a daemon with two VPCs."""
    return http_address(start_with_http(start, tmp_path, udp(sink.port), listener={'duplicate_window': '1h'})), sink


def lines_of_prod(generator, count):
    return generator.lines(generator.any_interface(PROD), count, idle=0)


def firehose_body(records, request_id, timestamp=1578090901599):
    return json.dumps({'requestId': request_id, 'timestamp': timestamp,
                       'records': [{'data': base64.b64encode(r).decode()} for r in records]}).encode()


def firehose_headers(request_id, key=KEY, **more):
    return {'X-Amz-Firehose-Protocol-Version': '1.0', 'X-Amz-Firehose-Request-Id': request_id,
            'X-Amz-Firehose-Source-Arn': 'arn:aws:firehose:eu-west-1:111122223333:deliverystream/flow-logs',
            'X-Amz-Firehose-Access-Key': key, 'X-Amz-Firehose-Common-Attributes': '{"commonAttributes":{"a":"b"}}',
            'Content-Type': 'application/json', **more}


def post(address, path, body, headers, context=None):
    """(status, headers, parsed body)"""
    connection = (http.client.HTTPSConnection(*address, timeout=6 * TIMEOUT, context=context) if context
                  else http.client.HTTPConnection(*address, timeout=6 * TIMEOUT))
    try:
        connection.request('POST', path, body, headers)
        response = connection.getresponse()
        return response.status, response.headers, json.loads(response.read())
    finally:
        connection.close()


def deliver(address, records, request_id=None, path='/firehose', zipped=False, **more):
    request_id = request_id or str(uuid.uuid4())
    body = firehose_body(records, request_id)
    headers = firehose_headers(request_id, **more)
    if zipped:
        body, headers['Content-Encoding'] = gzip.compress(body), 'gzip'
    return request_id, post(address, path, body, headers)


def check_accepted(request_id, answer):
    status, headers, body = answer
    assert status == 200, body
    assert headers['Content-Type'] == 'application/json'
    assert list(body) == ['requestId', 'timestamp']
    assert body['requestId'] == request_id
    assert isinstance(body['timestamp'], int) and abs(body['timestamp'] / 1000 - time.time()) < 60


def check_refused(status, answer, why):
    assert answer[0] == status, answer
    assert answer[1]['Content-Type'] == 'application/json'
    assert set(answer[2]) >= {'requestId', 'timestamp', 'errorMessage'}
    assert why in answer[2]['errorMessage'], answer[2]


# --- Firehose -------------------------------------------------------------------------------------------------------

def as_message_objects(lines):
    return [json.dumps({'message': line}).encode() for line in lines]


RECORD_SHAPES = {
    'message objects': as_message_objects,
    'bare lines': lambda lines: [line.encode() for line in lines],
    'bare lines with newlines': lambda lines: [line.encode() + b'\n' for line in lines],
    'subscription documents': lambda lines: [payloads.simple_document(lines[i:i + 50]) for i in range(0, len(lines), 50)],
    'gzip of subscription documents': lambda lines: [gzip.compress(payloads.simple_document(lines[i:i + 50]))
                                                     for i in range(0, len(lines), 50)],
    'several objects in a record': lambda lines: [b''.join(as_message_objects(lines[i:i + 7])) for i in range(0, len(lines), 7)],
}


@pytest.mark.parametrize('shape', RECORD_SHAPES)
@pytest.mark.parametrize('zipped', [False, True], ids=['plain', 'gzip'])
def test_firehose_records_arrive(served, generator, shape, zipped):
    address, sink = served
    lines = generator.mixed_lines(200)
    check_accepted(*deliver(address, RECORD_SHAPES[shape](lines), zipped=zipped))
    sink.wait_for(expected(lines))


def test_all_shapes_mixed_in_one_request(served, generator):
    address, sink = served
    lines, records = [], []
    for n, shape in enumerate(RECORD_SHAPES.values()):
        part = generator.mixed_lines(40)
        lines += part
        records[n % (len(records) + 1):0] = shape(part)
    check_accepted(*deliver(address, records))
    sink.wait_for(expected(lines))


def test_answers_are_what_firehose_expects_byte_by_byte(served, generator):
    """Amazon's document: an answer has Content-Type and Content-Length and a JSON object with requestId and timestamp."""
    address, _ = served
    request_id = 'ed4acda5-034f-9f42-bba1-f29aea6d7d8f'
    body = firehose_body(as_message_objects(lines_of_prod(generator, 3)), request_id)
    head = 'POST /firehose HTTP/1.1\r\nHost: a\r\n' + ''.join(
        f'{k}: {v}\r\n' for k, v in firehose_headers(request_id).items()) + f'Content-Length: {len(body)}\r\n\r\n'
    with socket.create_connection(address, TIMEOUT) as s:
        s.sendall(head.encode() + body)
        got = b''
        while b'}' not in got:
            got += s.recv(65536)
    assert re.fullmatch(rb'HTTP/1\.1 200 OK\r\nDate: \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT\r\n'
                        rb'Content-Type: application/json\r\nContent-Length: (\d+)\r\n\r\n'
                        rb'\{"requestId":"ed4acda5-034f-9f42-bba1-f29aea6d7d8f","timestamp":\d{13}\}', got), got
    assert int(re.search(rb'Content-Length: (\d+)', got)[1]) == len(got.split(b'\r\n\r\n', 1)[1])


def test_a_retry_of_a_request_is_exported_once(served, generator):
    address, sink = served
    lines = generator.mixed_lines(100)
    request_id, answer = deliver(address, as_message_objects(lines))
    check_accepted(request_id, answer)
    sink.wait_for(expected(lines))
    # The same request; its timestamp, and so its bytes, differ.
    body = firehose_body(as_message_objects(lines), request_id, timestamp=1578090999999)
    check_accepted(request_id, post(address, '/firehose', body, firehose_headers(request_id)))
    after = generator.mixed_lines(20)
    check_accepted(*deliver(address, as_message_objects(after)))
    sink.wait_for(expected(after))
    problem = collectors.difference(sink.flows(), expected(lines + after))
    assert not problem, problem


def test_wrong_and_missing_keys_are_refused_before_the_body(served, generator):
    address, sink = served
    records = as_message_objects(lines_of_prod(generator, 5))
    check_refused(401, deliver(address, records, key='a guess')[1], 'access key')
    check_refused(401, deliver(address, records, key=KEY[:-1])[1], 'access key')
    check_refused(401, deliver(address, records, key='')[1], 'access key')
    check_accepted(*deliver(address, records, key=OTHER_KEY))
    # A stranger's body is not waited for, let alone kept.
    with socket.create_connection(address, TIMEOUT) as s:
        s.sendall(b'POST /firehose HTTP/1.1\r\nX-Amz-Firehose-Request-Id: 1\r\nContent-Length: 60000000\r\n\r\n')
        assert s.recv(65536).startswith(b'HTTP/1.1 401 ')
    after = lines_of_prod(generator, 1)
    check_accepted(*deliver(address, as_message_objects(after)))
    sink.wait_for(expected(after))
    assert len(sink.flows()) == 6, 'the five of the good key, and this one'


def test_secrets_are_not_logged(start, tmp_path, sink, generator):
    daemon = start_with_http(start, tmp_path, udp(sink.port), listener={}, http={})
    deliver(http_address(daemon), as_message_objects(lines_of_prod(generator, 5)), key='a wrong secret')
    daemon.stop()
    for secret in (KEY, OTHER_KEY, 'a wrong secret'):
        assert secret not in daemon.stderr


def test_ten_thousand_records_in_a_request(served, generator):
    address, sink = served
    lines = generator.mixed_lines(10000)
    check_accepted(*deliver(address, as_message_objects(lines)))
    sink.wait_for(expected(lines), 60 * SLOW)


def test_a_request_of_64_mib_is_taken_and_a_larger_one_is_not(start, tmp_path, generator):
    """The records of a large request are large: documents of many events."""
    path = tmp_path / 'flows.ipfix'
    daemon = start_with_http(start, tmp_path, file(path))
    address = http_address(daemon)
    lines = lines_of_prod(generator, 2000)
    filler = b' ' * ((45 << 20) - len(payloads.simple_document(lines)))
    request_id = str(uuid.uuid4())
    body = firehose_body([payloads.simple_document(lines), filler], request_id)
    body = body + b' ' * ((64 << 20) - len(body))
    assert len(body) == 64 << 20
    check_accepted(request_id, post(address, '/firehose', body, firehose_headers(request_id)))
    with socket.create_connection(address, TIMEOUT) as s:
        s.sendall(b'POST /firehose HTTP/1.1\r\nX-Amz-Firehose-Request-Id: 1\r\nX-Amz-Firehose-Access-Key: ' + KEY.encode() +
                  b'\r\nContent-Length: %d\r\n\r\n' % ((64 << 20) + 1))
        answer = s.recv(65536)
    assert answer.startswith(b'HTTP/1.1 413 ') and b'"errorMessage":"the body is larger than 64 MiB"' in answer
    daemon.stop()
    import ipfix
    reader = ipfix.Reader()
    reader.feed_file(path.read_bytes())
    assert sum(len(m.flows()) for m in reader.messages) == len(expected(lines))


def test_what_cannot_be_read_is_an_error_that_says_so(served):
    address, _ = served
    check_refused(422, deliver(address, [b'{"message":"no flow log"}'])[1], 'no record could be read')
    check_refused(400, deliver(address, [gzip.compress(b'{"messageType"')])[1], 'malformed')
    request_id = str(uuid.uuid4())
    check_refused(400, post(address, '/firehose', b'{"records":[{', firehose_headers(request_id)), 'malformed')
    headers = firehose_headers('x')
    del headers['X-Amz-Firehose-Request-Id']
    check_refused(400, post(address, '/firehose', b'{}', headers), 'Request-Id')
    check_refused(415, post(address, '/firehose', b'{}', firehose_headers('x', **{'Content-Encoding': 'br'})), 'gzip')


def test_the_answer_waits_until_the_records_are_safe(start, tmp_path, generator):
    """The collector is away: nothing is answered; when it is back, the answer comes, and the records are there."""
    port = collectors.free_udp_port()
    daemon = start_with_http(start, tmp_path, udp(port))
    address = http_address(daemon)
    lines = generator.mixed_lines(300)
    request_id = str(uuid.uuid4())
    connection = http.client.HTTPConnection(*address, timeout=60 * SLOW)
    connection.request('POST', '/firehose', firehose_body(as_message_objects(lines), request_id), firehose_headers(request_id))
    connection.sock.settimeout(1)
    with pytest.raises((TimeoutError, socket.timeout)):
        connection.sock.recv(1, socket.MSG_PEEK)
    connection.sock.settimeout(60 * SLOW)
    with collectors.UdpSink(port) as late:
        response = connection.getresponse()
        check_accepted(request_id, (response.status, response.headers, json.loads(response.read())))
        late.wait_for(expected(lines))
    connection.close()
    daemon.stop()


# --- where the records belong ---------------------------------------------------------------------------------------

def test_the_path_names_the_log_group_and_the_query_the_format(start, tmp_path, sink, generator):
    vpcs = {'prod': {'log_group': '/aws/vpc/prod', 'exporter_ip': PROD.exporter_ip},
            'dev': {'log_group': 'dev*', 'exporter_ip': DEV.exporter_ip}}
    address = http_address(start_with_http(start, tmp_path, udp(sink.port), vpcs=vpcs))
    prod, dev, other = lines_of_prod(generator, 30), lines_of_prod(generator, 30), lines_of_prod(generator, 30)
    check_accepted(*deliver(address, as_message_objects(prod), path='/firehose//aws/vpc/prod'))
    check_accepted(*deliver(address, as_message_objects(dev), path='/firehose?log_group=dev%2F1'))
    sink.wait_for(exported_as(PROD.exporter_ip, prod) + exported_as(DEV.exporter_ip, dev))
    check_refused(422, deliver(address, as_message_objects(other))[1], 'no [vpc] takes these records')
    swapped = [' '.join(line.split()[::-1]) for line in other]
    names = '+'.join('version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end '
                     'action log-status'.split()[::-1])
    check_accepted(*deliver(address, as_message_objects(swapped), path=f'/firehose/dev?format={names}'))
    sink.wait_for(exported_as(DEV.exporter_ip, other))
    check_refused(400, deliver(address, as_message_objects(swapped), path='/firehose/dev?format=srcaddr+srcaddr')[1], 'twice')
    check_refused(400, deliver(address, as_message_objects(swapped), path='/firehose/dev?fromat=srcaddr')[1], 'unknown parameter')


# --- /ingest --------------------------------------------------------------------------------------------------------

def test_ingest_takes_any_payload_and_answers_as_tcp_does(served, generator):
    address, sink = served
    bearer = {'Authorization': f'Bearer {KEY}'}
    for encode in (lambda d: d, gzip.compress, base64.b64encode, lambda d: base64.b64encode(gzip.compress(d))):
        lines = generator.mixed_lines(50)
        status, _, body = post(address, '/ingest', encode(payloads.simple_document(lines)), bearer)
        counts = re.match(r'OK exported=(\d+) skipped=(\d+)', reply_to(lines))
        assert (status, body) == (200, {'status': 'OK', 'exported': int(counts[1]), 'skipped': int(counts[2]), 'rejected': 0,
                                        'duplicate': 0})
        sink.wait_for(expected(lines))
    payload = payloads.simple_document(lines_of_prod(generator, 5))
    assert post(address, '/ingest', payload, bearer)[2]['duplicate'] == 0
    assert post(address, '/ingest', payload, bearer)[2] == {'status': 'OK', 'exported': 0, 'skipped': 0, 'rejected': 0,
                                                            'duplicate': 1}
    status, _, body = post(address, '/ingest', b'no flow log', bearer)
    assert status == 422 and body['status'] == 'ERR' and body['code'] == 422 and 'no record could be read' in body['error']
    assert post(address, '/ingest', payload, {'Authorization': 'Basic ' + KEY})[0] == 401


def test_a_connection_serves_many_requests_also_sent_ahead(served, generator):
    address, sink = served
    lines = [lines_of_prod(generator, 4) for _ in range(20)]
    requests = b''
    for part in lines:
        body = payloads.simple_document(part)
        requests += (f'POST /ingest HTTP/1.1\r\nAuthorization: Bearer {KEY}\r\nContent-Length: {len(body)}\r\n\r\n').encode() + body
        requests += b'GET /healthz HTTP/1.1\r\n\r\n'
    with socket.create_connection(address, TIMEOUT) as s:
        s.sendall(requests)
        got = b''
        while got.count(b'HTTP/1.1 200 OK') < 40 or not got.endswith(b'ok\n'):
            chunk = s.recv(65536)
            assert chunk, got
            got += chunk
    assert got.count(b'"status":"OK"') == 20
    sink.wait_for([f for part in lines for f in expected(part)])


def test_curl_with_expect_and_small_pieces(served, generator):
    address, sink = served
    lines = lines_of_prod(generator, 3)
    body = payloads.simple_document(lines)
    with socket.create_connection(address, TIMEOUT) as s:
        s.sendall(f'POST /ingest HTTP/1.1\r\nAuthorization: Bearer {KEY}\r\nExpect: 100-continue\r\n'
                  f'Content-Length: {len(body)}\r\nConnection: close\r\n\r\n'.encode())
        assert s.recv(100) == b'HTTP/1.1 100 Continue\r\n\r\n'
        for byte in body:
            s.sendall(bytes([byte]))
        got = b''
        while chunk := s.recv(65536):
            got += chunk
    assert got.startswith(b'HTTP/1.1 200 OK') and b'Connection: close' in got and b'"exported":3' in got
    sink.wait_for(expected(lines))


# --- strangers ------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize('request_bytes, status', [
    (b'GET / HTTP/1.1\r\n\r\n', 404), (b'GET /firehose HTTP/1.1\r\n\r\n', 405), (b'PUT /ingest HTTP/1.1\r\n\r\n', 405),
    (b'POST /healthz HTTP/1.1\r\nContent-Length: 0\r\n\r\n', 405), (b'POST /ingest HTTP/1.1\r\n\r\n', 411),
    (b'POST /ingest HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n', 411), (b'GET / HTTP/2\r\n\r\n', 400),
    (b'nonsense\r\n\r\n', 400), (b'GET / HTTP/1.1\nHost: a\n\n\r\n\r\n', 400),
    (b'GET / HTTP/1.1\r\n' + b'A: b\r\n' * 101 + b'\r\n', 431), (b'GET /' + b'a' * 140000, 431),
], ids=lambda value: repr(value[:30]) if isinstance(value, bytes) else str(value))
def test_bad_requests_get_their_status_and_the_connection_ends(served, request_bytes, status):
    with socket.create_connection(served[0], TIMEOUT) as s:
        s.sendall(request_bytes)
        got = b''
        while chunk := s.recv(65536):
            got += chunk
    assert got.startswith(b'HTTP/1.1 %d ' % status), got
    assert len(re.findall(rb'(?m)^HTTP/1.1 ', got)) == 1


def test_health_needs_no_key(served):
    connection = http.client.HTTPConnection(*served[0], timeout=TIMEOUT)
    connection.request('GET', '/healthz')
    response = connection.getresponse()
    assert (response.status, response.read()) == (200, b'ok\n')
    connection.request('HEAD', '/healthz')
    response = connection.getresponse()
    assert (response.status, response.read()) == (200, b'')
    connection.close()


def test_strangers_cannot_fill_the_memory(start, tmp_path, sink):
    """With a good key, bodies that never end share 256 MiB: the one too many is told to come back."""
    daemon = start_with_http(start, tmp_path, udp(sink.port))
    address = http_address(daemon)
    head = (f'POST /firehose HTTP/1.1\r\nX-Amz-Firehose-Request-Id: 1\r\nX-Amz-Firehose-Access-Key: {KEY}\r\n'
            f'Content-Length: {64 << 20}\r\n\r\n').encode()
    socks = []
    try:
        for _ in range(5):
            s = socket.create_connection(address, TIMEOUT)
            socks.append(s)
            s.sendall(head + b' ' * (1 << 20))
        for s in socks:
            s.settimeout(3)
            for _ in range(62):
                try:
                    s.sendall(b' ' * (1 << 20))
                except OSError:
                    break
        status = [line for line in open(f'/proc/{daemon.pid}/status') if line.startswith('VmRSS')][0]
        if SLOW == 1:
            assert int(status.split()[1]) < 400 << 10, status
        late = socket.create_connection(address, TIMEOUT)
        socks.append(late)
        late.sendall(head)
        assert late.recv(65536).startswith(b'HTTP/1.1 503 ')
    finally:
        for s in socks:
            s.close()


def test_a_head_that_does_not_come_ends_the_connection(start, tmp_path, sink, generator):
    """So that strangers cannot take every place. Who has shown a key may be idle for longer."""
    daemon = start_with_http(start, tmp_path, udp(sink.port), listener={'handshake_timeout': '1s'})
    address = http_address(daemon)
    with socket.create_connection(address, TIMEOUT) as silent, socket.create_connection(address, TIMEOUT) as slow, \
            socket.create_connection(address, TIMEOUT) as good:
        body = payloads.simple_document(lines_of_prod(generator, 1))
        request = (f'POST /ingest HTTP/1.1\r\nAuthorization: Bearer {KEY}\r\nContent-Length: {len(body)}\r\n\r\n').encode()
        good.sendall(request + body)
        assert good.recv(65536).startswith(b'HTTP/1.1 200')
        began = time.monotonic()
        with pytest.raises((ConnectionError, TimeoutError)):
            while time.monotonic() < began + 10 * SLOW:
                slow.sendall(b'G')
                time.sleep(0.1)
            raise TimeoutError
        assert time.monotonic() < began + 10 * SLOW, 'still open'
        assert silent.recv(1) == b''
        body = payloads.simple_document(lines_of_prod(generator, 2))
        good.sendall(request.split(b'Content-Length')[0] +
                     b'Content-Length: %d\r\n\r\n' % len(body) + body)
        assert good.recv(65536).startswith(b'HTTP/1.1 200'), 'who was served is not idle for too long'
    daemon.stop()


# --- TLS ------------------------------------------------------------------------------------------------------------

def test_https(start, tmp_path, sink, generator):
    subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes',
                    '-keyout', tmp_path / 'key.pem', '-out', tmp_path / 'cert.pem', '-days', '2', '-subj', '/CN=localhost',
                    '-addext', 'subjectAltName=IP:127.0.0.1'], check=True, capture_output=True)
    daemon = start_with_http(start, tmp_path, udp(sink.port),
                             http={'tls_certificate': tmp_path / 'cert.pem', 'tls_key': tmp_path / 'key.pem'})
    address = http_address(daemon)
    context = ssl.create_default_context(cafile=str(tmp_path / 'cert.pem'))
    lines = generator.mixed_lines(3000)
    request_id = str(uuid.uuid4())
    check_accepted(request_id, post(address, '/firehose', firehose_body(as_message_objects(lines), request_id),
                                    firehose_headers(request_id), context))
    sink.wait_for(expected(lines))
    with socket.create_connection(address, TIMEOUT) as s:  # plain text
        s.sendall(b'GET /healthz HTTP/1.1\r\n\r\n')
        assert b'HTTP' not in s.recv(65536)
    daemon.stop()


# --- the end --------------------------------------------------------------------------------------------------------

def test_sigterm_finishes_requests_that_are_under_way(start, tmp_path, generator):
    port = collectors.free_udp_port()
    daemon = start_with_http(start, tmp_path, udp(port))
    address = http_address(daemon)
    lines = generator.mixed_lines(100)
    request_id = str(uuid.uuid4())
    connection = http.client.HTTPConnection(*address, timeout=60 * SLOW)
    connection.request('POST', '/firehose', firehose_body(as_message_objects(lines), request_id), firehose_headers(request_id))
    idle = socket.create_connection(address, TIMEOUT)
    time.sleep(0.5)
    daemon.send_signal(15)
    with collectors.UdpSink(port) as late:
        response = connection.getresponse()
        check_accepted(request_id, (response.status, response.headers, json.loads(response.read())))
        late.wait_for(expected(lines))
        assert daemon.wait() == 0
    idle.close()


def test_a_second_signal_answers_what_waits(start, tmp_path, generator):
    """The collector is away: whoever waits is told to send again."""
    daemon = start_with_http(start, tmp_path, udp(collectors.free_udp_port()))
    connection = http.client.HTTPConnection(*http_address(daemon), timeout=TIMEOUT)
    connection.request('POST', '/ingest', payloads.simple_document(lines_of_prod(generator, 20)),
                       {'Authorization': f'Bearer {KEY}'})
    time.sleep(0.3)
    daemon.send_signal(15)
    time.sleep(0.2)
    daemon.send_signal(15)
    response = connection.getresponse()
    assert response.status == 503 and json.loads(response.read())['code'] == 503
    assert daemon.wait() == 1
    connection.close()
