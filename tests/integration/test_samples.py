"""Sample data that others have published, where it is at hand (VPCFLOWD_SHARED, else ../shared beside the repository):
--read --print of each version 2 file equals an independent parse, and the expected parse that comes with the samples.
The files are read where they lie; none is part of this repository."""
import base64
import gzip
import json

import pytest

import flows
from daemon import SHARED, run

DATA = SHARED / 'data'
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason='the sample data is not here')
DEFAULT = ' '.join(flows.V2_FORMAT)


def files(pattern):
    return sorted(DATA.glob(pattern)) if DATA.is_dir() else []


def is_v2(log):
    fields = log.with_suffix('.format')
    return fields.exists() and fields.read_text().split() == flows.V2_FORMAT


def name(path):
    return str(path.relative_to(DATA)) if hasattr(path, 'relative_to') else str(path)


def printed(path, args=()):
    result = run(['--print', *args, '--read', path])
    assert result.returncode == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def parse_documents(text):
    """Records of subscription documents one behind another, by Python's json."""
    decoder, records, at = json.JSONDecoder(), [], 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        document, at = decoder.raw_decode(text, at)
        if document.get('messageType') != 'CONTROL_MESSAGE':
            for event in document['logEvents']:
                records += flows.parse_text(event['message'])
    return records


def inflate(text):
    return gzip.decompress(base64.b64decode(text)).decode()


@pytest.mark.parametrize('path', [p for p in files('lines/*.log') if is_v2(p)], ids=name)
def test_lines(vpcflowd, path):
    records = flows.parse_text(path.read_text())
    assert records
    assert printed(path) == records


S3_V2 = [p for p in files('s3/**/*.gz') + files('s3/otel-valid_vpc_flow_log*.log')
         if (gzip.decompress(p.read_bytes()) if p.suffix == '.gz' else p.read_bytes()).decode().splitlines()[0] == DEFAULT]


@pytest.mark.parametrize('path', S3_V2, ids=name)
def test_s3_files(vpcflowd, path):
    text = (gzip.decompress(path.read_bytes()) if path.suffix == '.gz' else path.read_bytes()).decode()
    assert printed(path) == flows.parse_text(text)


CWL_V2 = ('kentik-extractedfields', 'newrelic-vpc-nodata', 'otel-control', 'awslabs-control-kinesis', 'otel-vpc',
          'streamalert-extractedfields')


@pytest.mark.parametrize('stem', CWL_V2)
def test_subscription_documents(vpcflowd, stem):
    path = DATA / 'cwl' / f'{stem}.json'
    assert printed(path) == parse_documents(path.read_text())


@pytest.mark.parametrize('path', files('cwl/awslabs-invalid-json.txt') + files('cwl/otel-multiple-json-objects.json') +
                         files('lambda/derived-truncated-gzip.event.json') + files('lines/beats-bad.log') +
                         files('s3/otel-too-many-fields.log') + files('firehose/otel-firehose-request.json') +
                         files('lambda/lambdago-cloudwatch-logs-event.json'), ids=name)
def test_what_has_no_readable_record_is_refused(vpcflowd, path):
    result = run(['--print', '--read', path])
    assert (result.returncode, result.stdout) == (1, ''), result.stderr
    assert path.name in result.stderr


@pytest.mark.parametrize('stem', ('derived-default-v2', 'derived-kentik', 'derived-control'))
def test_lambda_events(vpcflowd, stem):
    path = DATA / 'lambda' / f'{stem}.event.json'
    assert printed(path) == parse_documents(inflate(json.loads(path.read_text())['awslogs']['data']))


def test_lambda_payload(vpcflowd):
    path = DATA / 'lambda' / 'derived-default-v2.payload.json'
    records = parse_documents(path.read_text())
    assert len(records) == 5
    assert printed(path) == records


@pytest.mark.parametrize('path', files('kinesis/derived-*'), ids=name)
def test_kinesis_events(vpcflowd, path):
    event = json.loads(path.read_text())
    records = [r for record in event['Records'] for r in parse_documents(inflate(record['kinesis']['data']))]
    assert records
    assert printed(path) == records


def test_the_real_envelopes_of_other_logs_hold_no_flow(vpcflowd, tmp_path):
    """34 captured Lambda events of another kind of log: each is unwrapped, and each line rejected, none by a crash."""
    for line in (DATA / 'lambda' / 'sumo-large-cwl-events.jsonl').read_text().splitlines()[:10]:
        path = tmp_path / 'event.json'
        path.write_text(line)
        result = run(['--print', '--read', path])
        assert (result.returncode, result.stdout) == (1, ''), result.stderr


def test_the_expected_parse_of_opentelemetry(vpcflowd):
    assert printed(DATA / 'cwl' / 'otel-vpc.json') == json.loads((DATA / 'expected/otel-vpc-cw.expected.json').read_text())


@pytest.mark.parametrize('number', range(6))
def test_the_cases_of_vrl(vpcflowd, tmp_path, number):
    cases = [json.loads(line) for line in (DATA / 'expected' / 'vrl-cases.jsonl').read_text().splitlines()]
    case = cases[number]
    if case['format'] != DEFAULT:
        pytest.skip('not version 2')
    path = tmp_path / 'line.log'
    path.write_text(case['line'] + '\n')
    wanted = {k: v for k, v in case['expect'].items() if v is not None}
    assert printed(path) == ([] if wanted['log-status'] != 'OK' else [wanted])
