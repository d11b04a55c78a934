"""OTLP becomes spans, and spans become OTLP/JSON."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import DecodeError
from hypothesis import example, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from support.otlp_requests import BOMBS, SECOND, START, body, message, request

from orq_otel.viewer.model.telemetry import Span
from orq_otel.viewer.receive import otlp, protobuf_parts
from orq_otel.viewer.receive.received import MAX_TIME

VALUES = {
    "text": "Grüße 🙂",
    "empty": "",
    "yes": True,
    "no": False,
    "count": -(2**63),
    "ratio": 0.5,
    "tags": ["a", "b"],
    "nested": {"list": [1, [2.5, None]], "map": {"deep": "value"}},
    "nothing": None,
}


def as_json(made: ExportTraceServiceRequest) -> bytes:
    """OTLP/JSON of a message: protobuf's JSON with hexadecimal ids, and enums as numbers."""
    raw = MessageToDict(made, use_integers_for_enums=True)
    for of_resource in raw.get("resourceSpans", ()):
        for of_scope in of_resource.get("scopeSpans", ()):
            for span, original in zip(
                of_scope.get("spans", ()), made.resource_spans[0].scope_spans[0].spans, strict=True
            ):
                _hexadecimal(span, original)
                for link, linked in zip(span.get("links", ()), original.links, strict=True):
                    _hexadecimal(link, linked)
    return json.dumps(raw).encode()


def _hexadecimal(raw: dict[str, Any], original: Any) -> None:
    raw["traceId"] = original.trace_id.hex().upper()
    raw["spanId"] = original.span_id.hex()
    if raw.get("parentSpanId"):
        raw["parentSpanId"] = original.parent_span_id.hex()


@pytest.fixture
def full() -> ExportTraceServiceRequest:
    """A request with a span that has everything."""
    span = message(
        trace_id=bytes(range(16)),
        span_id=bytes(range(8)),
        parent_span_id=bytes(range(1, 9)),
        name="chat gpt",
        kind=3,
        attributes=VALUES,
    )
    span.status.code = 2
    span.status.message = "timed out"
    event = span.events.add(name="exception", time_unix_nano=START + 7)
    event.attributes.add(key="exception.type").value.string_value = "TimeoutError"
    link = span.links.add(trace_id=b"\1" * 16, span_id=b"\2" * 8)
    link.attributes.add(key="why").value.string_value = "retry"
    return request(span, resource={"service.name": "shop", "service.version": "1.2"})


EXPECTED = Span(
    trace_id="000102030405060708090a0b0c0d0e0f",
    span_id="0001020304050607",
    parent_id="0102030405060708",
    name="chat gpt",
    kind="CLIENT",
    start=START,
    end=START + SECOND,
    status="ERROR",
    status_message="timed out",
    service="shop",
    scope="tests",
    attributes=VALUES,
    resource={"service.name": "shop", "service.version": "1.2"},
    events=(
        {
            "name": "exception",
            "time": START + 7,
            "attributes": {"exception.type": "TimeoutError"},
        },
    ),
    links=({"trace_id": "01" * 16, "span_id": "02" * 8, "attributes": {"why": "retry"}},),
)


def test_protobuf(full: ExportTraceServiceRequest) -> None:
    assert otlp.from_protobuf(full.SerializeToString()) == otlp.Received([EXPECTED])


def test_json(full: ExportTraceServiceRequest) -> None:
    assert otlp.from_json(as_json(full)) == otlp.Received([EXPECTED])


def test_json_with_the_names_of_protobuf(full: ExportTraceServiceRequest) -> None:
    assert otlp.from_json(_snake_case(as_json(full))) == otlp.Received([EXPECTED])


def _snake_case(document: bytes) -> bytes:
    return re.sub(
        rb'"[a-z]+(?:[A-Z][a-z]+)+":',
        lambda name: re.sub(rb"[A-Z]", lambda one: b"_" + one[0].lower(), name[0]),
        document,
    )


def test_spans_become_otlp_json_again() -> None:
    other = Span(**{**_fields(EXPECTED), "span_id": "0f" * 8, "resource": {}, "service": ""})
    written = otlp.to_json([EXPECTED, other])
    assert otlp.from_json(json.dumps(written).encode()).spans == [EXPECTED, other]
    assert [len(one["scopeSpans"][0]["spans"]) for one in written["resourceSpans"]] == [1, 1]


def _fields(span: Span) -> dict[str, Any]:
    return {name: getattr(span, name) for name in span.__dataclass_fields__}


def test_the_example_of_the_specification() -> None:
    document = {
        "resourceSpans": [
            {
                "resource": {
                    "attributes": [{"key": "service.name", "value": {"stringValue": "my.service"}}]
                },
                "scopeSpans": [
                    {
                        "scope": {"name": "my.library", "version": "1.0.0", "attributes": []},
                        "spans": [
                            {
                                "traceId": "5B8EFFF798038103D269B633813FC60C",
                                "spanId": "EEE19B7EC3C1B174",
                                "parentSpanId": "EEE19B7EC3C1B173",
                                "name": "I'm a server span",
                                "startTimeUnixNano": "1544712660000000000",
                                "endTimeUnixNano": "1544712661000000000",
                                "kind": 2,
                                "attributes": [
                                    {"key": "my.span.attr", "value": {"stringValue": "some value"}}
                                ],
                                "aFieldOfALaterVersion": [1],
                            }
                        ],
                    }
                ],
            }
        ]
    }
    (span,) = otlp.from_json(json.dumps(document).encode()).spans
    assert span.trace_id == "5b8efff798038103d269b633813fc60c"
    assert span.span_id == "eee19b7ec3c1b174"
    assert span.parent_id == "eee19b7ec3c1b173"
    assert (span.kind, span.service, span.scope) == ("SERVER", "my.service", "my.library")
    assert span.start == 1_544_712_660_000_000_000
    assert span.attributes == {"my.span.attr": "some value"}


def test_bytes_become_base64() -> None:
    (span,) = otlp.from_protobuf(body(message(attributes={"b": b"\x00\xff"}))).spans
    assert span.attributes == {"b": "AP8="}


@pytest.mark.parametrize(
    ("number", "text"),
    [(float("nan"), "NaN"), (float("inf"), "Infinity"), (float("-inf"), "-Infinity")],
)
def test_numbers_that_json_lacks_become_words(number: float, text: str) -> None:
    made = request(message(attributes={"n": number}))
    assert otlp.from_protobuf(made.SerializeToString()).spans[0].attributes == {"n": text}
    assert otlp.from_json(as_json(made)).spans[0].attributes == {"n": text}


@pytest.mark.parametrize("is_json", [False, True])
def test_an_end_before_its_start_is_kept_and_marked(is_json: bool) -> None:
    made = request(message(end_time_unix_nano=START - 1))
    encoded = as_json(made) if is_json else made.SerializeToString()
    (span,) = (otlp.from_json if is_json else otlp.from_protobuf)(encoded).spans
    assert (span.start, span.end, span.ends_before_start) == (START, START - 1, True)
    assert otlp.from_json(json.dumps(otlp.to_json([span])).encode()).spans == [span]


@pytest.mark.parametrize("wrong", [0, MAX_TIME + 1, 2**64 - 1])
@pytest.mark.parametrize("name", ["start", "end"])
@pytest.mark.parametrize("is_json", [False, True])
def test_an_answer_is_kept_if_one_of_its_times_is_known(
    name: str, wrong: int, is_json: bool
) -> None:
    answer = {"gen_ai.output.messages": '[{"role": "assistant", "content": "Yes."}]'}
    other = {"start": "end", "end": "start"}[name]
    made = request(message(attributes=answer, **{f"{name}_time_unix_nano": wrong}))
    encoded = as_json(made) if is_json else made.SerializeToString()
    received = (otlp.from_json if is_json else otlp.from_protobuf)(encoded)
    (span,), whole = received.spans, otlp.from_protobuf(body(message())).spans[0]
    assert received.rejected == 0
    assert (span.start, span.end) == (getattr(whole, other),) * 2
    assert span.attributes["orq_otel.viewer.times"] == f"its {other} alone is known"


@pytest.mark.parametrize("wrong", [0, 2**64 - 1])
def test_an_answer_without_a_time_is_of_the_time_at_which_it_arrives(wrong: int) -> None:
    answer = {"gen_ai.output.messages": '[{"role": "assistant", "content": "Yes."}]'}
    times = {"start_time_unix_nano": wrong, "end_time_unix_nano": wrong}
    before = time.time_ns()
    (span,) = otlp.from_protobuf(body(message(attributes=answer, **times))).spans
    assert before <= span.start == span.end <= time.time_ns()
    assert span.attributes["orq_otel.viewer.times"] == "its arrival alone is known"


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"trace_id": b"\1" * 15}, "trace_id must be 16 bytes"),
        ({"trace_id": bytes(16)}, "trace_id must be 16 bytes"),
        ({"trace_id": b""}, "trace_id must be 16 bytes"),
        ({"span_id": b"\1" * 9}, "span_id must be 8 bytes"),
        ({"span_id": bytes(8)}, "span_id must be 8 bytes"),
        ({"parent_span_id": b"\1"}, "parent_span_id must be 8 bytes"),
        ({"start_time_unix_nano": 0, "end_time_unix_nano": 0}, "start_time_unix_nano is missing"),
        ({"end_time_unix_nano": 0}, "end_time_unix_nano is missing"),
        ({"end_time_unix_nano": 2**63}, "after the year 2261"),
        (
            {"start_time_unix_nano": MAX_TIME + 1, "end_time_unix_nano": MAX_TIME + 1},
            "after the year 2261",
        ),
    ],
)
@pytest.mark.parametrize("is_json", [False, True])
def test_a_span_that_makes_no_sense_is_rejected_and_others_are_kept(
    wrong: dict[str, Any], reason: str, is_json: bool
) -> None:
    made = request(message(name="good"), message(name="bad", **wrong), message(name="fine"))
    encoded = as_json(made) if is_json else made.SerializeToString()
    received = (otlp.from_json if is_json else otlp.from_protobuf)(encoded)
    assert [span.name for span in received.spans] == ["good", "fine"]
    assert received.rejected == 1
    assert "'bad'" in received.reason
    assert reason in received.reason


def test_zeros_for_a_parent_mean_that_there_is_none() -> None:
    assert otlp.from_protobuf(body(message(parent_span_id=bytes(8)))).spans[0].parent_id is None


def test_values_of_later_versions_are_as_if_there_were_none() -> None:
    span = message()
    span.kind, span.status.code = 99, 7
    (read,) = otlp.from_protobuf(body(span)).spans
    assert (read.kind, read.status) == ("UNSPECIFIED", "UNSET")


def test_names_of_enums_are_understood() -> None:
    document = json.loads(as_json(request(message())))
    span = document["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
    span |= {"kind": "SPAN_KIND_CLIENT", "status": {"code": "STATUS_CODE_ERROR"}}
    (read,) = otlp.from_json(json.dumps(document).encode()).spans
    assert (read.kind, read.status) == ("CLIENT", "ERROR")


@pytest.mark.parametrize("is_json", [False, True])
def test_what_is_too_large_is_cut_visibly(is_json: bool) -> None:
    deep: Any = "bottom"
    for _ in range(otlp.MAX_DEPTH + 5):
        deep = [deep]
    span = message(
        name="n" * 1_500,
        attributes={
            "text": "t" * 1_200_000,
            "k" * 1_500: 1,
            "deep": deep,
            "long": ["x"] * 1_200,
        },
    )
    crowded = message(attributes={f"a{number}": 1 for number in range(1_003)})
    made = request(span, crowded)
    encoded = as_json(made) if is_json else made.SerializeToString()
    cut, full = (otlp.from_json if is_json else otlp.from_protobuf)(encoded).spans
    assert cut.name == "n" * 1_000 + "… [cut: 1,500 characters]"
    assert cut.attributes["text"] == "t" * 1_000_000 + "… [cut: 1,200,000 characters]"
    assert cut.attributes["k" * 1_000 + "… [cut: 1,500 characters]"] == 1
    assert json.dumps(cut.attributes["deep"]).count("[") == otlp.MAX_DEPTH + 1
    assert "nested too deeply" in json.dumps(cut.attributes["deep"])
    assert len(cut.attributes["long"]) == 1_000
    assert len(full.attributes) == 1_001
    assert full.attributes["orq_otel.viewer.cut"] == "3 attributes more"


@pytest.mark.parametrize("is_json", [False, True])
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        # Files first, and always to the same length.
        (
            ["Ä" * 200_000, {"data": "A" * 900_000, "url": "data:image/png;base64," + "b" * 5_000}],
            [
                "Ä" * 200_000,
                {
                    "data": "A" * 1_000 + "… [cut: 900,000 characters]",
                    "url": "data:image/png;base64," + "b" * 978 + "… [cut: 5,022 characters]",
                },
            ],
        ),
        # Then the longest texts.
        (
            {"long": "so " * 400_000, "short": "so " * 30_000, "n": [1.5, None, True]},
            {
                "long": ("so " * 400_000)[:100_000] + "… [cut: 1,200,000 characters]",
                "short": "so " * 30_000,
                "n": [1.5, None, True],
            },
        ),
        (["so " * 1_000] * 400, [("so " * 1_000)[:1_000] + "… [cut: 3,000 characters]"] * 400),
        (
            ["\ud83d" + "so " * 400_000],
            ["?" + ("so " * 400_000)[:99_999] + "… [cut: 1,200,001 characters]"],
        ),
    ],
)
def test_json_that_is_too_long_stays_json(value: Any, expected: Any, is_json: bool) -> None:
    made = request(message(attributes={"value": json.dumps(value), "in": [json.dumps(value)]}))
    encoded = as_json(made) if is_json else made.SerializeToString()
    (span,) = (otlp.from_json if is_json else otlp.from_protobuf)(encoded).spans
    assert json.loads(span.attributes["value"]) == expected
    assert len(span.attributes["value"]) <= 1_000_000
    assert span.attributes["in"] == [span.attributes["value"]]


@pytest.mark.parametrize(
    "value",
    [
        "so " * 400_000,
        "[" + "so " * 400_000,
        "[" * 1_200_000,
        "[" + "1," * 600_000 + "1]",
        "[" + "1.5," * 300_000 + "1]",
        "{" + '"' + "k" * 1_200_000 + '": 1}',
        "[" + "1" * 1_200_000 + "]",
    ],
    ids=range(7),
)
def test_what_cannot_stay_json_is_cut(value: str) -> None:
    (span,) = otlp.from_protobuf(body(message(attributes={"value": value}))).spans
    cut = f"{value[:1_000_000]}… [cut: {len(value):,} characters]"
    assert span.attributes["value"] == cut


@pytest.mark.parametrize("is_json", [False, True])
def test_of_too_many_attributes_the_earliest_messages_are_left_out(is_json: bool) -> None:
    def said(number: int) -> dict[str, Any]:
        prefix = f"llm.input_messages.{number}.message."
        return {f"{prefix}{name}": f"{name} {number}" for name in ("role", "content", "id")}

    before = {"thread.id": "t", "llm.output_messages.0.message.content": "Yes."}
    after = {"llm.token_count.prompt": 5_000, "llm.model_name": "m"}

    def sent(numbers: Iterable[int]) -> dict[str, Any]:
        return (
            before | {key: one for number in numbers for key, one in said(number).items()} | after
        )

    many = sent(range(400)) | {f"a{number}": 1 for number in range(10)}
    very_many = sent(range(20_000))
    last = sent([0]) | {f"llm.input_messages.1.message.contents.{n}.text": n for n in range(1_200)}
    made = request(*(message(attributes=one) for one in (many, very_many, last)))
    encoded = as_json(made) if is_json else made.SerializeToString()
    spans = (otlp.from_json if is_json else otlp.from_protobuf)(encoded).spans
    few, fewer, some = (dict(span.attributes) for span in spans)
    # 1,214 were sent. A message is left out as a whole.
    assert few.pop("orq_otel.viewer.cut") == "216 attributes more"
    assert few == sent([0, *range(73, 400)]) | {f"a{number}": 1 for number in range(10)}
    assert fewer.pop("orq_otel.viewer.cut") == "59,004 attributes more"
    assert fewer == sent([0, *range(19_669, 20_000)])
    # Of the last message, a part is kept.
    assert some.pop("orq_otel.viewer.cut") == "207 attributes more"
    assert some == {key: one for key, one in last.items() if not isinstance(one, int) or one >= 207}


def test_spans_with_the_same_attributes_share_nothing_that_can_be_changed() -> None:
    same = {"word": "one", "list": ["a", "b"], "map": {"list": [1]}, "empty": []}
    encoded = body(*(message(attributes=same) for _ in range(2)))
    first, second = otlp.from_protobuf(encoded).spans
    for value in first.attributes.values():
        if isinstance(value, list):
            value.append("more")
    first.attributes["map"]["list"].append(2)  # type: ignore[index]
    (third, _) = otlp.from_protobuf(encoded).spans
    assert second.attributes == third.attributes == same


def test_a_span_of_many_megabytes_is_rejected_and_others_are_kept() -> None:
    spans = (message(name="good"), message(attributes={"a": "x" * otlp.MAX_SPAN}))
    received = otlp.from_protobuf(body(*spans))
    assert [span.name for span in received.spans] == ["good"]
    assert received.rejected == 1
    assert received.reason.endswith("bytes, over 8,388,608")


def test_halves_of_characters_become_text() -> None:
    document = as_json(request(message(name="x"))).replace(b'"x"', rb'"a\ud83d b\ud83d\ude42"')
    (span,) = otlp.from_json(document).spans
    assert span.name == "a\ufffd b🙂"


@pytest.mark.parametrize("is_json", [False, True])
def test_texts_that_are_no_utf_8_are_kept_with_replacement_characters(is_json: bool) -> None:
    values = {"a#": "#b", "long": "x" * 126 + "#", "in": {"list": ["Grüße", {"k#": "#"}], "n": 1}}
    span = message(name="caf#", attributes=values)
    span.status.message = "#"
    span.events.add(name="ev#nt").attributes.add(key="#").value.string_value = "##"
    made = request(message(name="good"), span, resource={"service.name": "sh#p", "n": 2.5})
    made.resource_spans[0].scope_spans[0].scope.name = "sc#pe"
    encoded = as_json(made) if is_json else made.SerializeToString()
    read = otlp.from_json if is_json else otlp.from_protobuf
    found = read(encoded.replace(b"#", b"\xe9"))
    assert (found.rejected, len(found.spans)) == (0, 2)
    expected = json.dumps(otlp.to_json(read(encoded).spans), ensure_ascii=False)
    assert json.dumps(otlp.to_json(found.spans), ensure_ascii=False) == (
        expected.replace("#", "\ufffd")
    )


@given(st.binary(min_size=1, max_size=300))
@example(b"\xff" * ord("#"))
def test_any_bytes_of_a_text_are_read_as_python_reads_them(data: bytes) -> None:
    encoded = body(message(attributes={"a": "#" * len(data)}))
    start = encoded.rindex(b"#" * len(data))  # before it is its length, which may be "#" as well
    (span,) = otlp.from_protobuf(encoded[:start] + data + encoded[start + len(data) :]).spans
    assert span.attributes == {"a": data.decode("utf-8", "replace")}


@pytest.mark.parametrize(
    ("document", "where"),
    [
        (b"", "no JSON"),
        (b"{", "no JSON"),
        (b"\xff\xff", "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b'{"a":' * 100_000, "no JSON"),
        (b"[]", "the body must be an object"),
        (b"null", "the body must be an object"),
        (b'{"resourceSpans": {}}', "resourceSpans must be a list"),
        (b'{"resourceSpans": [1]}', "each of resourceSpans must be an object"),
        (b'{"resourceSpans": [{"resource": []}]}', "resource must be an object"),
    ],
)
def test_json_that_is_no_otlp(document: bytes, where: str) -> None:
    with pytest.raises(otlp.InvalidRequestError, match=where):
        otlp.from_json(document)


@pytest.mark.parametrize(
    ("field", "value", "where"),
    [
        ("traceId", 7, "traceId must be a string"),
        ("name", ["x"], "name must be a string"),
        ("startTimeUnixNano", "soon", "startTimeUnixNano must be a whole number"),
        ("startTimeUnixNano", -1, "startTimeUnixNano must be a whole number"),
        ("startTimeUnixNano", "1" * 30, "startTimeUnixNano must be a whole number"),
        ("startTimeUnixNano", True, "startTimeUnixNano must be a whole number"),
        ("endTimeUnixNano", 1.5, "endTimeUnixNano must be a whole number"),
        ("kind", [], "kind must be a number"),
        ("status", "OK", "status must be an object"),
        ("events", {}, "events must be a list"),
        ("attributes", [{"key": 1}], "key must be a string"),
        ("attributes", [{"key": "a", "value": "b"}], "value must be an object"),
        ("attributes", [{"key": "a", "value": {"stringValue": 1}}], "stringValue must"),
        ("attributes", [{"key": "a", "value": {"intValue": 1.5}}], "intValue must"),
        ("attributes", [{"key": "a", "value": {"intValue": "1" * 310}}], "intValue must"),
        ("attributes", [{"key": "a", "value": {"boolValue": 1}}], "boolValue must"),
        ("attributes", [{"key": "a", "value": {"doubleValue": "x"}}], "doubleValue must"),
        ("attributes", [{"key": "a", "value": {"doubleValue": 10**400}}], "doubleValue must"),
        ("attributes", [{"key": "a", "value": {"arrayValue": []}}], "arrayValue must"),
    ],
)
def test_a_span_in_json_that_is_no_otlp_is_rejected_and_others_are_kept(
    field: str, value: Any, where: str
) -> None:
    document = json.loads(as_json(request(message(name="bad"), message(name="good"))))
    document["resourceSpans"][0]["scopeSpans"][0]["spans"][0][field] = value
    received = otlp.from_json(json.dumps(document).encode())
    assert [span.name for span in received.spans] == ["good"]
    assert received.rejected == 1
    assert received.reason.startswith("span ")
    assert where in received.reason


@pytest.mark.parametrize(
    ("number", "kept"),
    [
        (2**63 - 1, 2**63 - 1),
        (str(-(2**63)), -(2**63)),
        (2.0**53, 2**53),
        (2**63, "9223372036854775808"),
        (18446744073709552000, "18446744073709552000"),
        (1e21, "1000000000000000000000"),
        ("-1000000000000000000000", "-1000000000000000000000"),
    ],
)
def test_whole_numbers_beyond_64_bits_are_kept_as_text(number: Any, kept: Any) -> None:
    document = json.loads(as_json(request(message(attributes={"n": 1}))))
    (attribute,) = document["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["attributes"]
    attribute["value"]["intValue"] = number
    (span,) = otlp.from_json(json.dumps(document).encode()).spans
    assert span.attributes == {"n": kept}


@given(st.binary(max_size=400))
@example(b"\x0a\x80")
@example(b"\x0b")
@example(b"\x00\x00")
@example(b"\xff" * 11)
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for read in (otlp.from_protobuf, otlp.from_json):
        try:
            received = read(data)
        except otlp.InvalidRequestError:
            continue
        json.dumps([span.attributes for span in received.spans], allow_nan=False)


_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats()
    | st.text()
    | st.binary(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
    max_leaves=6,
)
_spans = st.builds(
    message,
    trace_id=st.binary(min_size=15, max_size=17),
    span_id=st.binary(min_size=7, max_size=9),
    parent_span_id=st.sampled_from([b"", b"\1" * 8, b"\1"]),
    name=st.text(),
    kind=st.integers(-1, 7),
    start_time_unix_nano=st.integers(0, 2**64 - 1),
    end_time_unix_nano=st.integers(0, 2**64 - 1),
    attributes=st.dictionaries(st.text(), _values, max_size=4),
)


@given(st.lists(_spans, max_size=5), st.data())
@settings(max_examples=150)
def test_spoilt_requests_are_read_as_protobuf_reads_them_or_refused(
    spans: list[Any], data: st.DataObject
) -> None:
    encoded = bytearray(body(*spans))
    for _ in range(data.draw(st.integers(0, 3))):
        where = data.draw(st.integers(0, len(encoded)))
        encoded[where : where + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
    try:
        received = otlp.from_protobuf(bytes(encoded))
    except otlp.InvalidRequestError:
        return
    try:
        made = ExportTraceServiceRequest.FromString(bytes(encoded))
    except DecodeError:
        return  # A schema's URL that is no UTF-8: nobody looks at it here.
    sent = sum(
        len(of_scope.spans)
        for of_resource in made.resource_spans
        for of_scope in of_resource.scope_spans
    )
    assert len(received.spans) + received.rejected == sent


@given(st.lists(_spans, max_size=3))
def test_both_forms_mean_the_same(spans: list[Any]) -> None:
    made = request(*spans)
    from_json = otlp.from_json(as_json(made))
    assert from_json == otlp.from_protobuf(made.SerializeToString())


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS)
@pytest.mark.one_in(2)
def test_a_request_that_would_fill_the_memory_is_refused_before_it_does(
    bomb: Callable[[], bytes],
) -> None:
    try:
        received = otlp.from_protobuf(bomb())
    except otlp.RequestTooLargeError:
        return
    assert received == otlp.Received([], 1, received.reason)
    assert "a span has 10,000,0" in received.reason


def test_json_that_would_fill_the_memory_is_refused_before_it_does() -> None:
    with pytest.raises(otlp.RequestTooLargeError):
        otlp.from_json(b'{"resourceSpans":[' + b"{}," * 5_000_000 + b"{}]}")


def test_as_many_parts_as_are_allowed_are_read() -> None:
    whole = b"\x0a\x00" * protobuf_parts.MAX_PARTS
    assert otlp.from_protobuf(whole) == otlp.Received()
    with pytest.raises(otlp.RequestTooLargeError):
        otlp.from_protobuf(whole + b"\x0a\x00")
