"""Everything a payload may be once it is un-base64'd and inflated, in every encoding: the records that come out equal the
independent parse."""
import pytest

import flows
import payloads
from conftest import EXPORTER
from scenario import exported_as, reply_to
from wire import Client, ok

HEADER = ' '.join(flows.V2_FORMAT)


def _documents(lines, separator):
    third = len(lines) // 3
    parts = lines[:third], lines[third:2 * third], lines[2 * third:]
    return separator.join(payloads.simple_document(part) for part in parts)


def _shuffled_columns(lines):
    """Text whose header names the fields in reverse order."""
    return payloads.text([' '.join(reversed(line.split())) for line in lines], ' '.join(reversed(flows.V2_FORMAT)))


def _halves(lines):
    return lines[:len(lines) // 2], lines[len(lines) // 2:]


FORMS = {
    **{f'document, {shape}': lambda lines, shape=shape: payloads.document_text(shape, lines, seed=7)
       for shape in payloads.DOCUMENT_SHAPES},
    'documents in a row': lambda lines: _documents(lines, b''),
    'documents on lines': lambda lines: _documents(lines, b'\n'),
    'documents, white space between': lambda lines: _documents(lines, b' \r\n\t\n '),
    'array of documents': lambda lines: b'[' + _documents(lines, b',') + b']',
    'Lambda event': lambda lines: payloads.lambda_event(payloads.simple_document(lines)),
    'Kinesis event': lambda lines: payloads.kinesis_event(map(payloads.simple_document, _halves(lines))),
    'Kinesis event, documents in a row in a record':
        lambda lines: payloads.kinesis_event([_documents(lines, b'')]),
    'Firehose objects': payloads.firehose_objects,
    'Firehose objects on lines': lambda lines: payloads.firehose_objects(lines, '\n'),
    'text': payloads.text,
    'text with header': lambda lines: payloads.text(lines, HEADER),
    'text with header, CR LF': lambda lines: payloads.text(lines, HEADER, '\r\n'),
    'text, no newline at the end': lambda lines: payloads.text(lines, final_newline=False),
    'text, header repeated': lambda lines: b''.join(payloads.text(half, HEADER) for half in _halves(lines)),
    'text, columns in reverse': _shuffled_columns,
    'text, runs of spaces': lambda lines: payloads.text([line.replace(' ', '   ') for line in lines], HEADER),
}


@pytest.mark.parametrize('encoding', payloads.ENCODINGS)
@pytest.mark.parametrize('form', FORMS)
def test_form(server, generator, form, encoding):
    lines = generator.mixed_lines(12, idle=0.2)
    with Client(server.address) as client:
        assert client.ask(payloads.ENCODINGS[encoding](FORMS[form](lines))) == reply_to(lines)
    server.sink.wait_for(exported_as(EXPORTER, lines))


@pytest.mark.parametrize('header', (None, HEADER))
def test_text_of_base64_letters_only_is_still_text(server, generator, header):
    """A NODATA line has no dot and no colon: each of its bytes is a base64url digit or white space."""
    lines = [generator.idle_line(generator.any_interface()) for _ in range(3)]
    with Client(server.address) as client:
        assert client.ask(payloads.text(lines, header)) == ok(0, 3)


def test_any_spelling_of_an_ipv6_address(server, generator):
    lines = [f'2 111122223333 eni-1 {spelling} 2001:DB8::{n:X} {n} 443 6 1 40 1700000000 1700000060 ACCEPT OK'
             for n, spelling in enumerate(('::', '::1', '1::', '2001:db8:0:0:0:0:0:1', '2001:0DB8::0001', 'fe80::1:0:0:2',
                                           '::ffff:192.0.2.1', '1:2:3:4:5:6:7::', '::2:3:4:5:6:7:8'), start=100)]
    with Client(server.address) as client:
        assert client.ask(payloads.simple_document(lines)) == ok(len(lines))
    server.sink.wait_for(exported_as(EXPORTER, lines))


def test_absent_values_are_left_out_not_zero(server):
    """`-` in any field: the element is not in the record's template."""
    line = '2 111122223333 eni-1 192.0.2.81 192.0.2.82 - - 6 - - 1700000000 1700000060 ACCEPT OK'
    with Client(server.address) as client:
        assert client.ask(payloads.simple_document([line])) == ok(1)
    wanted = exported_as(EXPORTER, [line])
    assert wanted[0].sport is None and wanted[0].packets is None
    server.sink.wait_for(wanted)


@pytest.mark.parametrize('line', (
    '2 111122223333 eni-1 192.0.2.91 192.0.2.92 0 0 1 18446744073709551615 18446744073709551615 1700000000 1700000060 '
    'ACCEPT OK',
    '2 111122223333 eni-1 192.0.2.93 192.0.2.94 65535 65535 255 0 0 1700000060 1700000000 REJECT OK',
    '2 unknown eni-1 192.0.2.95 192.0.2.96 1 2 6 1 1 1700000000123 1700000060456 ACCEPT OK',
    '2 111122223333 eni-1 0.0.0.0 255.255.255.255 68 67 17 1 328 0 1 ACCEPT OK',
), ids=('largest counters', 'end before start', 'milliseconds, account unknown', '1970'))
def test_extreme_values(server, line):
    with Client(server.address) as client:
        assert client.ask(payloads.simple_document([line])) == ok(1)
    server.sink.wait_for(exported_as(EXPORTER, [line]))
