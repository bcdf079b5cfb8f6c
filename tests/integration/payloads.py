"""Payloads as AWS and people make them: subscription documents in every shape, events that wrap them, text; and the
encodings they travel in.

JSON is written by hand (dumps()), so that key order, escapes and white space can be anything JSON allows.
"""
import base64
import gzip
import itertools
import json
import random
import zlib

_serial = itertools.count(1)


def unique_id():
    """An event id that no other payload has: a daemon that knows repeats must take every payload for new."""
    return f'{next(_serial):056d}'


# --- JSON in any spelling -------------------------------------------------------------------------------------------

def _string(text, rng, escape):
    if not escape:
        return json.dumps(text, ensure_ascii=False)
    out = []
    for c in text:
        if rng.random() < escape:
            units = c.encode('utf-16-be')
            out += [('\\u%04x' if rng.random() < 0.5 else '\\u%04X') % int.from_bytes(units[i:i + 2], 'big')
                    for i in range(0, len(units), 2)]
        elif c == '/' and rng.random() < 0.5:
            out.append('\\/')
        else:
            out.append(json.dumps(c, ensure_ascii=False)[1:-1])
    return '"' + ''.join(out) + '"'


def dumps(value, rng=None, escape=0.0, space=False, shuffle=False):
    """JSON text of `value`. escape: share of characters written as \\uXXXX. space: white space wherever JSON allows it.
    shuffle: keys of every object in any order."""
    rng = rng or random.Random(0)
    blank = (lambda: rng.choice(('', ' ', '\n', '\r\n\t', '  '))) if space else (lambda: '')

    def walk(v):
        if isinstance(v, str):
            return _string(v, rng, escape)
        if isinstance(v, dict):
            items = list(v.items())
            if shuffle:
                rng.shuffle(items)
            return '{' + blank() + ','.join(blank() + walk(k) + blank() + ':' + blank() + walk(x) + blank()
                                            for k, x in items) + '}'
        if isinstance(v, list):
            return '[' + ','.join(blank() + walk(x) + blank() for x in v) + blank() + ']'
        return json.dumps(v)

    return walk(value)


# --- documents ------------------------------------------------------------------------------------------------------

EXTRACTED_NAMES = ('version account_id interface_id srcaddr dstaddr srcport dstport protocol packets bytes start end '
                   'action log_status').split()


def event(line, extracted=False, string_timestamp=False):
    words = line.split()
    stamp = int(words[10]) * 1000 if len(words) > 10 and words[10].isdigit() else 1_700_000_000_000
    result = {'id': unique_id(), 'timestamp': str(stamp) if string_timestamp else stamp, 'message': line}
    if extracted:
        result['extractedFields'] = dict(zip(EXTRACTED_NAMES, words))
    return result


def document(lines, group='/aws/vpc/prod', stream='eni-0-all', owner='111122223333', **event_options):
    """A CloudWatch Logs subscription document as AWS writes it, as an object."""
    return {'messageType': 'DATA_MESSAGE', 'owner': owner, 'logGroup': group, 'logStream': stream,
            'subscriptionFilters': ['vpcflowd'], 'logEvents': [event(line, **event_options) for line in lines]}


def control_message():
    return {'messageType': 'CONTROL_MESSAGE', 'owner': 'CloudwatchLogs', 'logGroup': '', 'logStream': '',
            'subscriptionFilters': [],
            'logEvents': [{'id': unique_id(), 'timestamp': 1_700_000_000_000,
                           'message': 'CWL CONTROL MESSAGE: Checking health of destination'}]}


def _with_unknown_keys(doc):
    odd = {'nested': {'logEvents': [{'message': 'not a line }]"{['}], 'deep': [[[], {}], [None, True, False, -1.5e-7]]},
           'braces': '}}]]{{[[ "quoted\\" and a backslash \\'}
    doc = {'policyLevel': 'ACCOUNT_LEVEL_POLICY', 'unknownFirst': odd, **doc, 'unknownLast': odd}
    for e in doc['logEvents']:
        e['unknown'] = odd
        e['ünknown'] = 'ключ 🔑'
    return doc


def _reversed_keys(doc):
    doc['logEvents'] = [dict(reversed(e.items())) for e in doc['logEvents']]
    return dict(reversed(doc.items()))


# name -> function(lines, group, stream, owner, rng) -> text
DOCUMENT_SHAPES = {
    'as AWS writes it': lambda doc, rng: dumps(doc()),
    'logEvents first': lambda doc, rng: dumps((lambda d: {'logEvents': d.pop('logEvents'), **d})(doc())),
    'keys reversed': lambda doc, rng: dumps(_reversed_keys(doc())),
    'keys shuffled': lambda doc, rng: dumps(doc(), rng, shuffle=True),
    'white space': lambda doc, rng: dumps(doc(), rng, space=True),
    'indented': lambda doc, rng: json.dumps(doc(), indent=4),
    'some escapes': lambda doc, rng: dumps(doc(), rng, escape=0.1),
    'all escaped': lambda doc, rng: dumps(doc(), rng, escape=1.0),
    'extractedFields': lambda doc, rng: dumps(doc(extracted=True)),
    'extractedFields, shuffled, spaced': lambda doc, rng: dumps(doc(extracted=True), rng, 0.05, True, True),
    'policyLevel': lambda doc, rng: dumps({**doc(), 'policyLevel': 'ACCOUNT_LEVEL_POLICY'}),
    'string timestamps': lambda doc, rng: dumps(doc(string_timestamp=True)),
    'unknown keys': lambda doc, rng: dumps(_with_unknown_keys(doc())),
    'unknown keys, shuffled, spaced': lambda doc, rng: dumps(_with_unknown_keys(doc()), rng, 0.02, True, True),
}


def document_text(shape, lines, group='/aws/vpc/prod', stream='eni-0-all', owner='111122223333', seed=0):
    """A document of one of DOCUMENT_SHAPES, as bytes."""
    make = lambda **options: document(lines, group, stream, owner, **options)
    return DOCUMENT_SHAPES[shape](make, random.Random(seed)).encode()


def simple_document(lines, **names):
    return dumps(document(lines, **names)).encode()


# --- what wraps documents -------------------------------------------------------------------------------------------

def lambda_event(doc):
    return dumps({'awslogs': {'data': base64.b64encode(gzip.compress(doc)).decode()}}).encode()


def kinesis_event(docs):
    records = [{'kinesis': {'kinesisSchemaVersion': '1.0', 'partitionKey': '%032x' % i, 'sequenceNumber': unique_id(),
                            'data': base64.b64encode(gzip.compress(doc)).decode(),
                            'approximateArrivalTimestamp': 1_700_000_000.123},
                'eventSource': 'aws:kinesis', 'eventVersion': '1.0', 'eventID': 'shardId-000000000000:' + unique_id(),
                'eventName': 'aws:kinesis:record', 'invokeIdentityArn': 'arn:aws:iam::111122223333:role/r',
                'awsRegion': 'eu-west-1', 'eventSourceARN': 'arn:aws:kinesis:eu-west-1:111122223333:stream/s'}
               for i, doc in enumerate(docs)]
    return dumps({'Records': records}).encode()


def firehose_objects(lines, separator=''):
    return separator.join(dumps({'message': line}) for line in lines).encode()


def text(lines, header=None, newline='\n', final_newline=True):
    lines = ([header] if header else []) + list(lines)
    return (newline.join(lines) + (newline if final_newline else '')).encode()


# --- encodings ------------------------------------------------------------------------------------------------------

def gzip_members(data, parts=3):
    """Several gzip members one behind another, cut anywhere."""
    step = max(1, len(data) // parts)
    return b''.join(gzip.compress(data[i:i + step]) for i in range(0, len(data), step))


def base64_wrapped(data, width=76, newline=b'\r\n'):
    digits = base64.b64encode(data)
    return newline.join(digits[i:i + width] for i in range(0, len(digits), width)) + newline


def _unpadded(digits):
    return digits.rstrip(b'=')


ENCODINGS = {
    'plain': lambda data: data,
    'gzip': gzip.compress,
    'gzip, stored': lambda data: gzip.compress(data, 0),
    'gzip members': gzip_members,
    'gzip, zero padding behind': lambda data: gzip.compress(data) + b'\0' * 7,
    'zlib': zlib.compress,
    'base64': base64.b64encode,
    'base64 of gzip': lambda data: base64.b64encode(gzip.compress(data)),
    'base64url of gzip': lambda data: base64.urlsafe_b64encode(gzip.compress(data)),
    'base64 of gzip, unpadded': lambda data: _unpadded(base64.b64encode(gzip.compress(data))),
    'base64url of gzip, unpadded': lambda data: _unpadded(base64.urlsafe_b64encode(gzip.compress(data))),
    'base64 of gzip, wrapped': lambda data: base64_wrapped(gzip.compress(data)),
    'base64 of zlib': lambda data: base64.b64encode(zlib.compress(data)),
    'base64 of gzip members': lambda data: base64.b64encode(gzip_members(data)),
}
