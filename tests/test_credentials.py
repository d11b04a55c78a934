"""No credential of a call is left in a text, however it is written there."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orq_otel.genai.credentials import Credentials, of_body, of_headers, of_query, of_url

#: What a mask can't be mistaken for a part of, and what is not stripped.
SECRETS = st.text(
    st.characters(codec="utf-8", exclude_characters="*"), min_size=4, max_size=40
).filter(
    lambda text: text.strip() == text and text.lower() not in ("true", "false", "null", "none")
)
FORMS = [
    str,
    str.lower,
    lambda text: quote(text, safe=""),
    quote_plus,
    lambda text: json.dumps(text)[1:-1],
    lambda text: base64.b64encode(text.encode()).decode().rstrip("="),
]


@given(st.lists(SECRETS, min_size=1, max_size=5), st.lists(st.text(max_size=20), max_size=6))
def test_none_is_left_in_a_text(secrets: list[str], around: list[str]) -> None:
    written = [form(secret) for secret in secrets for form in FORMS]
    text = "".join(
        [piece for pair in zip(written, around * len(written), strict=False) for piece in pair]
    )
    masked = Credentials(secrets).mask(text)
    assert masked is not None
    for secret in secrets:
        assert secret not in masked.replace("***", "*")


@pytest.mark.parametrize(
    ("secret", "name", "is_known"),
    [
        ("gateway-7f3a91", "gateway-7f3a91", True),
        ("gateway-7f3a91", "GATEWAY-7F3A91", True),
        ("gateway-7f3a91", "x.gateway-7f3a91[0]", True),
        ("gateway-7f3a91", "7f3a91", True),
        ("gateway-7f3a91", "7f3", False),
        ("gateway-7f3a91", "invalid_request_error", False),
        ("e", "invalid_request_error", False),
        ("true", "true_error", False),
        ("", "sk-live-12345", True),
        ("", "eyJhbGciOi.J9", True),
    ],
)
def test_a_name_that_is_one_or_a_part_of_one(secret: str, name: str, is_known: bool) -> None:
    assert Credentials([secret]).are_revealed_by(name) is is_known


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (
            of_url("https://me:p%40ss@a.example/b?sig=s%20t&api-version=5"),
            {"me", "p%40ss", "p@ss", "s t", "s%20t", "me:p%40ss", "me:p@ss"},
        ),
        (of_url("https://a.example/b"), set()),
        (of_query({"a": ["b", {"c": "d"}], "model": "m", "n": 5}), {"b", "d", "5"}),
        (of_headers({"Accept": "x/y", "X-Stainless-OS": "Linux", "X-Key": "a"}), {"a"}),
        (of_headers([(b"Authorization", b"Bearer abc")]), {"Bearer abc", "abc"}),
        (
            of_headers({"Authorization": "Basic bWU6cGFzcw=="}),
            {"Basic bWU6cGFzcw==", "bWU6cGFzcw==", "me", "pass", "me:pass", "="},
        ),
        (of_headers({"Cookie": "a=b; c=d"}), {"a=b; c=d", "c=d", "b", "d"}),
        (of_body(b'{"authorization": "abc", "x": {"headers":{"X-A":"b"}}}'), {"abc", "b"}),
        (of_body(b'{"content": "{\\"authorization\\":\\"abc\\"}"}'), set()),
        (of_body(b'{"token": {"type": "string"}, "secret": '), set()),
        (of_body(None), set()),
    ],
)
def test_where_they_are_found(found: object, expected: set[str]) -> None:
    assert {one for one in found if one} == expected  # type: ignore[attr-defined]


def test_where_there_are_too_many_nothing_is_told() -> None:
    many = Credentials(f"secret-{number}" for number in range(1000))
    assert many.mask("Nothing.") is None
    assert many.are_revealed_by("nothing")
