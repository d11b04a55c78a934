"""Secrets of one call, all of which a server knows and may repeat, and where they must not turn up.

Each has the word SECRET in it, so that a part of one is found as well.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote, quote_plus

from support.byte_server import as_json, http
from support.signals import Signals

PROMPT = "PROMPTSECRET is my diagnosis"
SIGNED = "https://files.example/scan.png?X-Amz-Credential=AKIASECRET&X-Amz-Signature=SIGNEDSECRET"

#: Credentials, by where they are: all but the last are such as may be taken for a name.
CREDENTIALS = {
    "key": "KEYSECRET-0123456789",
    "token": "TOKENSECRET.abc.def",
    "organization": "ORGANIZATIONSECRET",
    "header": "HEADERSECRET777",
    "more header": "MOREHEADERSECRET777",
    "cookie": "COOKIESECRET",
    "query": "QUERYSECRET_1",
    "more query": "MOREQUERYSECRET_1",
    "user": "USERSECRET",
    "password": "PASSWORDSECRET@1/2+3",
    "proxy": "PROXYSECRET-1",
    "environment": "ENVIRONMENTSECRET-1",
    "tool": "TOOLSECRET-1",
    "tool header": "TOOLHEADERSECRET-1",
}


def echo(*without: str) -> str:
    """All that a server may know of a call, plain and encoded, but for some credentials."""
    password = CREDENTIALS["password"]
    return " | ".join(
        [
            PROMPT,
            SIGNED,
            *(one for name, one in CREDENTIALS.items() if name not in without),
            quote(password, safe=""),
            quote_plus(password),
            base64.b64encode(password.encode()).decode(),
            f"Bearer {CREDENTIALS['key']}",
            f"session={CREDENTIALS['cookie']}",
        ]
    )


#: All of a call of OpenAI's client, whose kind for Azure alone has a token.
ECHO = echo("token")


def headers() -> dict[str, str]:
    """Headers of a client."""
    return {"X-Gateway": CREDENTIALS["header"], "Cookie": f"session={CREDENTIALS['cookie']}"}


def messages() -> Any:
    """A prompt with a signed URL."""
    return [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": PROMPT},
                {"type": "image_url", "image_url": {"url": SIGNED}},
            ],
        }
    ]


def tools() -> Any:
    """A tool on somebody else's server, with credentials for it."""
    return [
        {
            "type": "mcp",
            "server_label": "files",
            "authorization": CREDENTIALS["tool"],
            "headers": {"X-Tool": CREDENTIALS["tool header"]},
        }
    ]


def left_the_process(signals: Signals, log: str) -> Iterator[str]:
    """Every text that was exported or logged."""
    for span in signals.spans:
        yield span.to_json()
    for one in signals.logs:
        record = one.log_record
        yield repr((record.event_name, record.body, dict(record.attributes or {})))
    yield repr(signals.metrics())
    yield log


def assert_nothing_leaked(signals: Signals, log: str) -> None:
    """No secret is in anything that left the process."""
    assert signals.spans
    for text in left_the_process(signals, log):
        assert "SECRET" not in text.upper(), text


def assert_no_credential_leaked(signals: Signals, log: str) -> None:
    """No credential is, though the prompt may be. Shapes of the whole are looked for as well."""
    assert signals.spans
    for text in left_the_process(signals, log):
        without_prompt = text.replace(PROMPT, "").replace(SIGNED, "")
        assert "SECRET" not in without_prompt.upper(), text


# ---- What a server says, and who listens --------------------------------------------------------


def error(said: Any = ECHO) -> dict[str, Any]:
    """The fields of an error, all of which say the same."""
    return {"message": said, "type": said, "param": said, "code": said}


def refusal(body: Any, status: str = "400 Bad Request") -> bytes:
    """An answer with an error."""
    return http(body if isinstance(body, bytes) else as_json(body), status=status)


@contextmanager
def switching_on(instrumentor: type | None = None) -> Iterator[Callable[..., Signals]]:
    """A function that instruments a client, OpenAI's by default, with all signals."""
    made: list[Signals] = []

    def switch(**more: Any) -> Signals:
        signals = Signals(instrumentor=instrumentor) if instrumentor else Signals()
        made.append(signals.instrument(**more))
        return made[-1]

    yield switch
    for signals in made:
        signals.close()
