"""Sample data that others have published, where it is at hand (VPCFLOWD_SHARED, else ../shared beside the repository): every
file goes through --read --print, and SAMPLES says what it must give. A file that has no entry there is a failure.

The files are read where they lie; none is part of this repository.
"""
import base64
import gzip
import json
import re
from typing import NamedTuple, Optional

import pytest

import flows
from daemon import SHARED, run, write_config

DATA = SHARED / 'data'
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason='the sample data is not here')
FOLDERS = ('lines', 's3', 'cwl', 'kinesis', 'firehose', 'lambda')
COUNTS = re.compile(r'exported=(\d+) skipped=(\d+) rejected=(\d+)\n\Z')


class Want(NamedTuple):
    """What a file must give: counts, and records as the expected parse of the samples, else an independent one, says. Or
    the refusal's text: nothing is printed then, and the exit code is 1."""
    exported: int = 0
    skipped: int = 0
    rejected: int = 0
    expected: Optional[str] = None
    refused: Optional[str] = None


def refused(text):
    return Want(refused=text)


NO_FLOW_LOG = refused('422 no record could be read: 1 lines; the first, line 1: not a flow log: {')
S3_OBJECTS = 's3/AWSLogs/123456789010/vpcflowlogs/'
PANGAEA = S3_OBJECTS + 'pangaea-1/2015/08/12/123456789010_vpcflowlogs_pangaea-1_fl-102010_'

SAMPLES = {
    'lines/awsdocs-default-v2.log': Want(5, 2),
    'lines/awsdocs-nat-gateway.log': Want(6),
    'lines/awsdocs-regional-nat-v9.log': Want(6),
    'lines/awsdocs-tcpflags-v3.log': Want(8),
    'lines/awsdocs-tgw-eni-v3.log': Want(4),
    'lines/awsdocs-traffic-path-v5.log': Want(2),
    'lines/beats-bad.log': refused('line 1: 4 values, the format has 14 fields'),
    'lines/beats-ecs-v7.log': Want(1, expected='beats-ecs-v7.json'),
    'lines/beats-v5-all.log': Want(1, expected='beats-v5-all.json'),
    'lines/elastic-extra-v2.log': Want(5, 2),
    'lines/elastic-tgw-default-v6.log': Want(3, 7),
    'lines/flowlogs-reader-v2.log': Want(3, 2),
    'lines/kentik-default-v2.log': Want(6),
    'lines/kentik-v3.log': Want(1),
    'lines/node-parser-v2.log': Want(1, 3),
    'lines/vrl-ecs-v7.log': Want(1),
    'lines/vrl-v11.log': Want(2),

    PANGAEA + '20150812T1200Z_h45h.log.gz': Want(2, expected='flowlogs-reader-v3.json'),
    PANGAEA + '20150812T1201Z_h45h.log.gz': Want(2, expected='flowlogs-reader-v4.json'),
    PANGAEA + '20150812T1202Z_h45h.log.gz': Want(2, 0, 1, expected='flowlogs-reader-v5.json'),
    S3_OBJECTS + 'us-east-1/2014/12/14/123456789010_vpcflowlogs_us-east-1_fl-1234abcd_20141214T0405Z_fe123456.log.gz':
        Want(5, 2),
    's3/flowlogs-reader-v3.log': Want(2, expected='flowlogs-reader-v3.json'),
    's3/flowlogs-reader-v4.log': Want(2, expected='flowlogs-reader-v4.json'),
    's3/flowlogs-reader-v5.log': Want(2, 0, 1, expected='flowlogs-reader-v5.json'),
    's3/otel-too-many-fields.log': refused('line 2: 15 values, the format has 14 fields'),
    's3/otel-valid_tgw_flow_log.log': Want(1),
    's3/otel-valid_vpc_flow_log.log': Want(0, 1),
    's3/otel-valid_vpc_flow_log_ecs.log': Want(1),
    's3/otel-valid_vpc_flow_log_multi.log': Want(2),
    # Notifications that name an object: the Lambda function fetches it, the daemon has no credentials.
    's3/datadog-sqs_s3.json': NO_FLOW_LOG,
    's3/datadog-sqs_sns_s3.json': NO_FLOW_LOG,
    's3/derived-sqs-flowlog-object.json': NO_FLOW_LOG,
    's3/lambdago-s3-event-with-decoded.json': NO_FLOW_LOG,
    's3/lambdago-sqs-event.json': NO_FLOW_LOG,
    's3/powertools-s3Event.json': NO_FLOW_LOG,
    's3/powertools-s3EventDeleteObject.json': NO_FLOW_LOG,
    's3/powertools-s3SqsEvent.json': NO_FLOW_LOG,
    's3/powertools-snsSqsEvent.json': NO_FLOW_LOG,

    'cwl/awslabs-control-kinesis.json': Want(0, 1),
    'cwl/awslabs-invalid-json.txt': refused('line 1: 5 values'),
    'cwl/awslabs-no-message-type.json': refused('line 1: 9 values'),
    'cwl/kentik-extractedfields.json': Want(1),
    'cwl/newrelic-vpc-nodata.json': Want(0, 1),
    'cwl/otel-control.json': Want(0, 1),
    'cwl/otel-multiple-json-objects.json': refused('2 lines; the first, line 1 of log group /my/first/log/group: 2 values'),
    'cwl/otel-tgw.json': Want(1),
    'cwl/otel-vpc.json': Want(2, expected='otel-vpc-cw.expected.json'),
    'cwl/streamalert-extractedfields.json': Want(2),

    'kinesis/derived-flowlogs.event.json': Want(11, 3),
    'kinesis/lambdago-kinesis-event.json': refused('2 lines; the first, line 1: 1 value,'),
    'kinesis/lambdago-kinesis-time-window-event.json': refused('1 lines; the first, line 1: 5 values'),
    'kinesis/powertools-kinesisStreamCloudWatchLogsEvent.json': refused('8 lines; the first, line 1 of log group /aws/lambda/'),
    'kinesis/powertools-kinesisStreamEventOneRecord.json': refused('line 1: 2 values'),

    'firehose/awsdocs-response-failure.json': NO_FLOW_LOG,
    'firehose/awsdocs-response-success.json': NO_FLOW_LOG,
    'firehose/derived-http-request.headers.txt': refused('9 lines; the first, line 1: 3 values'),
    'firehose/derived-http-request.json': Want(3),
    'firehose/derived-http-request.json.gz': Want(3),
    'firehose/elastic-message-field.ndjson': Want(0, 1),
    'firehose/lambdago-kinesis-firehose-event.json': refused('2 lines; the first, line 1: 1 value,'),
    'firehose/lambdago-kinesis-firehose-response.json': refused('3 lines; the first, line 1: 1 value,'),
    'firehose/otel-firehose-request.json': NO_FLOW_LOG,
    'firehose/splunk-direct-transform-event.json': Want(3),

    'lambda/derived-control.event.json': Want(0, 1),
    'lambda/derived-default-v2.event.json': Want(5, 2),
    'lambda/derived-default-v2.payload.json': Want(5, 2),
    'lambda/derived-kentik.event.json': Want(6),
    'lambda/derived-truncated-gzip.event.json': refused('400 malformed: the gzip stream is cut off'),
    'lambda/lambdago-cloudwatch-logs-event.json': refused('2 lines; the first, line 1 of log group testLogGroup: 4 values'),
    'lambda/sumo-large-cwl-events.jsonl': refused('3364 lines; the first, line 1 of log group LambdaLogGroup: '),
}


def samples():
    """Paths below DATA, sorted: all that the folders hold."""
    return sorted(str(p.relative_to(DATA)) for folder in FOLDERS for p in (DATA / folder).rglob('*') if p.is_file()) \
        if DATA.is_dir() else []


# --- the independent parse: Python's json, base64 and gzip, and str.split() ---

def parse_lines(text, names):
    """Records of flow-log lines. A header line names the fields from there on; what does not fit is no record."""
    records = []
    for line in text.splitlines():
        words = line.split()
        if 'srcaddr' in words:
            names = words
        elif len(words) == len(names):
            records += flows.parse_text(line, names)
    return records


def parse_value(value, names):
    if 'logEvents' in value:
        if value.get('messageType') == 'CONTROL_MESSAGE':
            return []
        return [r for event in value['logEvents'] for r in parse_lines(event['message'], names)]
    if 'awslogs' in value:
        nested = [value['awslogs']['data']]
    elif 'Records' in value:
        nested = [record['kinesis']['data'] for record in value['Records']]
    elif 'records' in value:
        nested = [record['data'] for record in value['records']]
    else:
        return parse_lines(value['message'], names)
    return [r for data in nested for r in parse_bytes(base64.b64decode(data), names)]


def parse_bytes(data, names):
    if data[:2] == b'\x1f\x8b':
        data = gzip.decompress(data)
    text = data.decode()
    if not text.lstrip().startswith('{'):
        return parse_lines(text, names)
    decoder, records, at = json.JSONDecoder(), [], 0
    while text[at:].strip():
        value, at = decoder.raw_decode(text, at + len(text[at:]) - len(text[at:].lstrip()))
        records += parse_value(value, names)
    return records


# --- the tests ---

def format_of(path):
    beside = path.with_suffix('.format')
    return beside.read_text().split() if beside.is_file() else None


def printed(result):
    assert result.returncode == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def without_absent(record):
    return {name: value for name, value in record.items() if value is not None}


def check(result, name, want, names):
    if want.refused is not None:
        assert (result.returncode, result.stdout) == (1, ''), result.stderr
        assert want.refused in result.stderr
        return
    records = printed(result)
    assert tuple(map(int, COUNTS.search(result.stderr).groups())) == (want.exported, want.skipped, want.rejected)
    assert len(records) == want.exported
    assert records == parse_bytes((DATA / name).read_bytes(), names or flows.V2_FORMAT)
    if want.expected:
        assert records == json.loads((DATA / 'expected' / want.expected).read_text())


def test_every_file_has_an_entry():
    assert [name for name in samples() if not name.endswith('.format')] == sorted(SAMPLES)


@pytest.mark.parametrize('name', SAMPLES)
def test_sample(vpcflowd, name):
    names = format_of(DATA / name)
    args = ['--format', ' '.join(names)] if names else []
    check(run(['--print', *args, '--read', DATA / name]), name, SAMPLES[name], names)


@pytest.mark.parametrize('name', [name for name in SAMPLES if DATA.is_dir() and format_of(DATA / name)])
def test_the_same_by_configuration_as_the_console_writes_formats(vpcflowd, tmp_path, name):
    names = format_of(DATA / name)
    config = write_config(tmp_path, {'out': {'address': f'file:{tmp_path}/out.ipfix'}},
                          {'default': {'format': ' '.join('${%s}' % n for n in names)}})
    check(run(['-c', config, '--print', '--read', DATA / name]), name, SAMPLES[name], names)


@pytest.mark.parametrize('name', [name for name in samples() if name.endswith('.format')])
def test_a_format_is_a_header_without_lines_and_all_its_names_are_known(vpcflowd, name):
    result = run(['--print', '--read', DATA / name])
    assert printed(result) == []
    assert COUNTS.search(result.stderr).groups() == ('0', '0', '0')
    assert 'warning' not in result.stderr


def vrl_cases():
    return [json.loads(line) for line in (DATA / 'expected' / 'vrl-cases.jsonl').read_text().splitlines()]


@pytest.mark.parametrize('number', range(6))
def test_the_cases_of_vrl(vpcflowd, number):
    case = vrl_cases()[number]
    wanted = without_absent(case['expect'])
    records = printed(run(['--print', '--format', case['format'], '--read', '-'], stdin=case['line'].encode()))
    assert records == ([wanted] if wanted.get('log-status', 'OK') == 'OK' else [])


def test_no_expected_parse_is_left_out():
    used = {want.expected for want in SAMPLES.values() if want.expected} | {'vrl-cases.jsonl'}
    assert {p.name for p in (DATA / 'expected').iterdir()} == used
    assert len(vrl_cases()) == 6


def test_every_field_that_is_published_is_known(vpcflowd):
    rows = (DATA / 'fields' / 'flow-log-fields.tsv').read_text().splitlines()[1:]
    names = [row.split('\t')[0] for row in rows]
    assert len(names) == 72
    result = run(['--print', '--format', ' '.join(names), '-t', '--listen', '127.0.0.1:0'])
    assert (result.returncode, result.stderr) == (0, ''), result.stderr


def test_too_many_values_are_taken_where_the_configuration_allows_it(vpcflowd, tmp_path):
    config = write_config(tmp_path, {'out': {'address': f'file:{tmp_path}/out.ipfix'}},
                          {'default': {'lenient_trailing': 'yes'}})
    result = run(['-c', config, '--print', '--read', DATA / 's3' / 'otel-too-many-fields.log'])
    assert printed(result) == []
    assert COUNTS.search(result.stderr).groups() == ('0', '1', '0')  # the line says NODATA


def test_each_of_the_real_envelopes_of_other_logs_is_unwrapped(vpcflowd):
    """34 captured Lambda events of another kind of log, one by one."""
    for line in (DATA / 'lambda' / 'sumo-large-cwl-events.jsonl').read_text().splitlines():
        result = run(['--print', '--read', '-'], stdin=line.encode())
        assert (result.returncode, result.stdout) == (1, '') and 'of log group LambdaLogGroup: ' in result.stderr
