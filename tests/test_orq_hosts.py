"""Which URLs are Orq's: only those that no program reads in any other way."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from urllib3.exceptions import LocationParseError
from urllib3.util import parse_url

from orq_otel.foundations.orq_hosts import is_orqs, server


@pytest.mark.parametrize(
    "url",
    [
        "https://api.orq.ai/v2/otel",
        "https://my.orq.ai/v2/otel/v1/traces",
        "https://my.orq.ai",
        "https://my.orq.ai/",
        "https://my.orq.ai:443/v2/otel",
        "https://eu.staging.orq.ai",
        "HTTPS://API.ORQ.AI/v2/otel",
        "https://api.orq.ai/@evil.com",
    ],
)
def test_hosts_below_orq_ai_are_orqs_over_https(url: str) -> None:
    assert is_orqs(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "api.orq.ai",
        "//api.orq.ai/v2/otel",
        "http://api.orq.ai/v2/otel",
        "http://api.orq.ai:443/v2/otel",
        "ftp://api.orq.ai",
        "https://orq.ai",
        "https://api.orq.ai:8443",
        "https://api.orq.ai:80",
        "https://api.orq.ai:",
        "https://api.orq.ai:x",
        "https://api.orq.ai.",
        "https://api.orq.ai.evil.com",
        "https://orq.ai.evil.com",
        "https://evilorq.ai",
        "https://evil.com/api.orq.ai",
        "https://evil.com?.orq.ai",
        "https://evil.com?x=https://api.orq.ai",
        "https://evil.com#.orq.ai",
        "https://evil.com\\.orq.ai",
        "https://evil.com\\@api.orq.ai",
        "https://evil.com%2f.orq.ai",
        "https://evil.com%00.orq.ai",
        "https://evil.com;.orq.ai",
        "https://evil.com\uff0f.orq.ai",
        "https://evil.com\u3002orq.ai",
        "https://api\u3002orq.ai",
        "https://api.orq.a\u0131",
        "https://api.\u2092rq.ai",
        "https://\u212a.orq.ai",
        "http\u017f://api.orq.ai",
        "https://evil.com\n.orq.ai",
        "https://evil.com\t.orq.ai",
        "https://evil.com .orq.ai",
        " https://api.orq.ai",
        "https://api.orq.ai\n",
        "https://api.orq.ai@evil.com",
        "https://api.orq.ai:443@evil.com",
        "https://evil.com@api.orq.ai",
        "https://user:password@api.orq.ai",
        "https://@api.orq.ai",
        "https://[::1].orq.ai",
        "https://[::1]",
        "https:///api.orq.ai",
        "https:/api.orq.ai",
        "https:api.orq.ai",
        "https://.orq.ai",
    ],
)
def test_what_only_looks_like_them_is_not(url: str) -> None:
    assert not is_orqs(url)
    assert not is_orqs(url, "https://orq.example.com")


@pytest.mark.parametrize(
    ("named", "url"),
    [
        ("https://orq.example.com", "https://orq.example.com/v2/otel"),
        ("https://orq.example.com/orq/", "https://ORQ.example.com:443"),
        ("https://orq.example.com:8443", "https://orq.example.com:8443/v2/otel"),
        ("http://orq.example.com", "http://orq.example.com:80/v2/otel"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080/v2/otel"),
        ("http://orq:8080", "http://orq:8080/v2/otel"),
        ("http://[::1]:8080", "http://[::1]:8080/v2/otel"),
        ("https://staging.orq.ai:8443", "https://staging.orq.ai:8443/v2/otel"),
    ],
)
def test_the_server_that_is_named_is_orqs(named: str, url: str) -> None:
    assert is_orqs(url, named)
    assert not is_orqs(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://orq.example.com:8443",
        "https://orq.example.com",
        "https://orq.example.com:8444",
        "https://a.orq.example.com:8443",
        "https://example.com:8443",
        "https://orq.example.com.:8443",
        "https://orq.example.com:8443@evil.com",
        "https://evil.com@orq.example.com:8443",
        "https://evil.com:8443/orq.example.com:8443",
    ],
)
def test_another_server_than_the_named_one_is_not(url: str) -> None:
    assert not is_orqs(url, "https://orq.example.com:8443")


@pytest.mark.parametrize(
    "url",
    [
        "http://my.orq.ai",
        "http://my.orq.ai:8080",
        "http://MY.ORQ.AI.",
        "http://orq.ai",
        "https://user:password@orq.example.com",
        "orq.example.com",
        "",
    ],
)
def test_some_can_not_be_named(url: str) -> None:
    assert not is_orqs(url, url)


PARTS = st.sampled_from(
    [
        *("https://", "HTTPS://", "http://", "api", ".orq.ai", ".ORQ.AI", "evil.com", "user", "*"),
        *(".", "..", "@", ":", "443", "80", "/", "//", "\\", "#", "?", "%2e", "%40", "-", "_", ";"),
        *("[", "]", "::1", " ", "\n", "\t", "\0", "\u3002", "\uff0f", "\u00ad", "\u200b"),
    ]
)
RESTS = st.lists(PARTS, max_size=8).map("".join) | st.text()


@given(st.sampled_from(["https://api", "https://api.orq.ai", "https://api.orq.ai:443"]), RESTS)
def test_the_exporters_library_reads_what_is_orqs_in_the_same_way(start: str, rest: str) -> None:
    if not is_orqs(start + rest):
        return
    read = parse_url(start + rest)
    assert (read.scheme, read.port or 443, read.auth) == ("https", 443, None)
    assert read.host is not None
    assert read.host.endswith(".orq.ai")


@given(st.sampled_from(["http", "https://", "http://h", "https://[::1]:4"]), RESTS)
def test_it_reads_every_server_in_the_same_way(start: str, rest: str) -> None:
    found = server(start + rest)
    if found is None:
        return
    try:
        read = parse_url(start + rest)
    except LocationParseError:  # a port or an address that is none
        return
    default = 443 if read.scheme == "https" else 80
    assert found == (read.scheme, read.host, default if read.port is None else read.port)
