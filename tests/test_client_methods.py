"""Every method of both clients that sends a request, and whether it gets a span: decided in a list.

`client_methods/openai.txt` and `client_methods/orq.txt` are those lists. A line without indentation
is a resource of the client. Below it stand its methods, each with the request that it sends and
with the operation of its span, or `none` and the reason, which a resource may give for all of them.

Each method is called on a real client, and a server notes the request and refuses it: so a list
holds what happens. A method that no list knows fails here, until somebody decides on it.
"""

from __future__ import annotations

import inspect
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from types import MethodType
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

import openai
import pytest
from openai._resource import AsyncAPIResource, SyncAPIResource
from support.byte_server import Answer, ByteServer, as_json, http
from support.client_versions import METHOD_LISTS, NEWEST, needs
from support.recorded import Telemetry

from orq_otel import OpenAIInstrumentor, OrqInstrumentor

_REFUSED = Answer(http(b"{}", status="400 Bad Request"))
#: What comes before the refusal, for a method that goes on only then.
_FIRST = {"beta.agents.sessions.stream": Answer(http(as_json({"status": "idle"})))}

#: Arguments for which the client takes no string, and those of methods that want more of them.
_BYTES = dict.fromkeys(("audio_sample", "data", "file", "image", "recording", "video"), b"bytes")
_ARGUMENTS: dict[str, dict[str, Any]] = {
    "beta.agents.environments.files.upload": {"path": "/workspace/file"},
    "beta.agents.sessions.stream": {"input": "text"},
    "responses.stream": {"input": "text", "model": "gpt-5"},
    "uploads.upload_file_chunked": {"filename": "file", "bytes": 5},
    "vector_stores.file_batches.upload_and_poll": {"files": [b"bytes"]},
}
#: Where Orq's client builds a request.
_BUILDS = re.compile(r'method="(\w+)",\s+path="([^"]+)"')


class Sent(NamedTuple):
    """What a method sends, `POST /embeddings` or `-` for nothing, and the operation of its span."""

    request: str
    operation: str


@pytest.fixture
def refusing() -> Iterator[ByteServer]:
    with ByteServer() as server:
        server.script(_REFUSED)
        yield server


@needs("openai", NEWEST["openai"], "what is listed")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("kind", [openai.OpenAI, openai.AsyncOpenAI])
async def test_every_method_of_openai_is_decided_on(
    kind: type[Any], telemetry: Telemetry, refusing: ByteServer
) -> None:
    resource = {openai.OpenAI: SyncAPIResource, openai.AsyncOpenAI: AsyncAPIResource}[kind]
    client = kind(
        api_key="key",
        admin_api_key="key",
        base_url=refusing.base_url,
        websocket_base_url=refusing.base_url.replace("http", "ws"),
        max_retries=0,
    )
    sent = {}
    OpenAIInstrumentor().instrument(tracer_provider=telemetry.provider)
    try:
        for path, method in _methods(client, resource):
            refusing.script(*filter(None, [_FIRST.get(path)]), _REFUSED)
            with suppress(Exception):
                await _use(_called(path, method))
            sent[path] = Sent(_request(refusing), _operation(telemetry))
    finally:
        OpenAIInstrumentor().uninstrument()
        await _closed(client)
    _check("openai", sent)


def _called(path: str, method: MethodType) -> Any:
    """Call a method with its required arguments, each of which is its own name in braces."""
    plain = inspect.unwrap(method.__func__)  # without the check of which arguments go together
    arguments = {**_required(method), **_ARGUMENTS.get(path, {})}
    return plain(method.__self__, **arguments)


def _required(method: Callable[..., Any]) -> dict[str, Any]:
    """An argument for each parameter without a default."""
    return {
        name: _BYTES.get(name, f"{{{name}}}")
        for name, parameter in inspect.signature(method).parameters.items()
        if parameter.default is parameter.empty
    }


async def _use(result: Any) -> None:
    """Let what a method returns send its request, if that has not been sent yet."""
    if inspect.isawaitable(result):
        result = await result
    if hasattr(result, "__aenter__"):
        async with result:
            pass
    elif hasattr(result, "__enter__"):
        with result:
            pass


async def _closed(client: Any) -> None:
    closing = client.close()
    if inspect.isawaitable(closing):
        await closing


def _request(server: ByteServer) -> str:
    """The first request since the last script."""
    if not server.received:
        return "-"
    first, *headers = server.received[0].head
    method, target, _ = first.decode().split(" ")
    if b"upgrade: websocket" in map(bytes.lower, headers):
        method = "WEBSOCKET"
    return f"{method} {unquote(urlsplit(target).path).removeprefix('/v1')}"


def _operation(telemetry: Telemetry) -> str:
    """The operation of the spans since the last time, or "none" if there are none."""
    attributes = [span.attributes or {} for span in telemetry.take()]
    names = [one["gen_ai.operation.name"] for one in attributes]
    return " or ".join(map(str, dict.fromkeys(names))) or "none"


# ---- Orq ----------------------------------------------------------------------------------------


@needs("orq-ai-sdk", NEWEST["orq-ai-sdk"], "what is listed")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("is_async", [False, True])
async def test_every_method_of_orqs_client_is_decided_on(
    is_async: bool, telemetry: Telemetry, refusing: ByteServer
) -> None:
    import orq_ai_sdk  # noqa: PLC0415 - not everywhere installed
    from orq_ai_sdk.basesdk import BaseSDK  # noqa: PLC0415

    sent = {}
    OrqInstrumentor().instrument(tracer_provider=telemetry.provider)
    try:
        with orq_ai_sdk.Orq(api_key="key", server_url=refusing.base_url) as client:
            for path, method in _methods(client, BaseSDK):
                if path.endswith("_async") is not is_async:
                    continue
                for further in _searches(method):
                    with suppress(Exception):
                        await _use(method(**_required(method), **further))
                sent[path.removesuffix("_async")] = Sent(_built(method), _operation(telemetry))
    finally:
        OrqInstrumentor().uninstrument()
    _check("orq-ai-sdk", sent)


def _searches(method: Callable[..., Any]) -> list[dict[str, str]]:
    """Further arguments to call a method with: a query, if it takes one, makes it a search."""
    return [{}, {"q": "{q}"}] if "q" in inspect.signature(method).parameters else [{}]


def _built(method: Callable[..., Any]) -> str:
    """The request that a method's source builds. None gets through with strings for arguments."""
    found = _BUILDS.search(inspect.getsource(inspect.unwrap(method)))
    return " ".join(found.groups()) if found else "-"


# ---- A release that adds a method ---------------------------------------------------------------

#: By package: the test of its list, a module, a class there, a method that it gets, and what the
#: test says then.
_ADDED = {
    "openai": (
        "test_every_method_of_openai_is_decided_on[OpenAI]",
        "resources/embeddings.py",
        "class Embeddings(SyncAPIResource):\n",
        "    def invent(self):\n        return self._post('/inventions', cast_to=object)\n\n",
        "embeddings.invent: sends Sent(request='POST /inventions', operation='none'), listed is",
    ),
    "orq_ai_sdk": (
        "test_every_method_of_orqs_client_is_decided_on[False]",
        "embeddings.py",
        "class Embeddings(BaseSDK):\n",
        "    def invent(self):\n        pass\n\n",
        "router.embeddings.invent: sends Sent(request='-', operation='none'), listed is",
    ),
}


@pytest.mark.slow
@needs("openai", NEWEST["openai"], "what is listed")
@needs("orq-ai-sdk", NEWEST["orq-ai-sdk"], "what is listed")
@pytest.mark.parametrize("package", _ADDED)
def test_a_method_that_a_copy_of_the_client_has_besides_fails(package: str, tmp_path: Path) -> None:
    test, module, owner, method, expected = _ADDED[package]
    spec = find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    copied = shutil.copytree(Path(spec.origin).parent, tmp_path / package)
    source = (copied / module).read_text()
    assert owner in source
    (copied / module).write_text(source.replace(owner, owner + method))
    path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))
    options = ["-q", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, f"{__file__}::{test}"],
        env={**os.environ, "PYTHONPATH": path},
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert expected in done.stdout


# ---- Both ---------------------------------------------------------------------------------------


def _methods(owner: Any, resource: type[Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """The public methods of a client's resources, by their path on the client."""
    for name in dir(owner):
        if name.startswith(("_", "with_", "parent_")):
            continue
        found = getattr(owner, name)
        if isinstance(found, resource):
            yield from _methods(found, resource, f"{path}{name}.")
        elif path and inspect.ismethod(found) and not hasattr(resource, name):
            yield f"{path}{name}", found


def _check(client: str, sent: dict[str, Sent]) -> None:
    """Fail unless these methods are in the client's list, and no others."""
    listed = _listed(client)
    different = [
        f"{path}: sends {sent.get(path)}, listed is {listed.get(path)}"
        for path in sorted(sent.keys() | listed)
        if sent.get(path) != listed.get(path)
    ]
    if different:
        where = METHOD_LISTS[client].name
        pytest.fail("\n".join([f"Decide on these in client_methods/{where}:", *different]))


def _listed(client: str) -> dict[str, Sent]:
    listed: dict[str, Sent] = {}
    resource = shared = ""
    for line in METHOD_LISTS[client].read_text(encoding="utf-8").splitlines():
        if line.startswith(" "):
            method, request, decision = re.split(r"  +", line.strip())
            operation, _, reason = decision.partition(": ")
            path = f"{resource}.{method}"
            assert path not in listed, f"{path} is listed twice"
            assert operation != "none" or reason or shared, f"{path} has no reason"
            listed[path] = Sent(request, operation)
        elif line and not line.startswith("#"):
            resource, _, shared = (part.strip() for part in line.partition(" none: "))
    return listed
