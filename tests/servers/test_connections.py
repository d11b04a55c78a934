"""Conversations over gRPC, plain sockets and websockets, and requests that share a connection."""

from __future__ import annotations

import asyncio
import http.client
import json
from collections import Counter
from pathlib import Path
from typing import Any

import grpc
import pytest
import websockets

from .load import CONVERSATIONS, PATIENCE, TURNS, Turn, are_there, check, check_reports, take
from .processes import Surroundings, reports_of, surroundings
from .test_http_servers import SERVERS, serving

APPS = Path(__file__).with_name("apps")


@pytest.mark.parametrize("kind", ["threads", "aio"])
async def test_grpc(kind: str, tmp_path: Path) -> None:
    with surroundings(tmp_path) as around:
        with around.run(str(APPS / "grpc_app.py"), kind, told=True) as process:
            port = int(process.stdout.readline())  # type: ignore[union-attr]
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                encode, decode = (lambda given: json.dumps(given).encode()), json.loads
                answer = channel.unary_unary("/support/answer", encode, decode)
                stream = channel.unary_stream("/support/stream", encode, decode)

                async def have(turn: Turn) -> None:
                    request = {"conversation": turn.conversation, "turn": turn.number}
                    if turn.is_streamed:
                        words = [word async for word in stream(request)]
                    else:
                        words = [await answer(request)]
                    assert len("".join(words).split()) == 4

                await take(have)
                report = channel.unary_unary("/support/report", encode, decode)
                check_reports([await report({})])
            around.spans(are_there)
        names = check(around.receiver.spans)
    assert names["work"] == names["done"] == 500
    assert names["/support/answer"] == names["/support/stream"] == 250


async def test_asyncio(tmp_path: Path) -> None:
    with surroundings(tmp_path) as around:
        with around.run(str(APPS / "asyncio_app.py"), told=True) as process:
            port = int(process.stdout.readline())  # type: ignore[union-attr]

            async def ask(line: str) -> str:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(f"{line}\n".encode())
                answer = (await reader.readline()).decode()
                writer.close()
                await writer.wait_closed()
                return answer

            async def have(turn: Turn) -> None:
                kind = "stream" if turn.is_streamed else "answer"
                answer = await ask(f"{kind} {turn.conversation} {turn.number}")
                assert len(answer.split()) == 4

            await take(have)
            check_reports([json.loads(await ask("report"))])
            around.spans(are_there)
        names = check(around.receiver.spans)
    assert names["work"] == names["done"] == names["serve N"] == 500


async def test_websockets(tmp_path: Path) -> None:
    pids: set[str] = set()
    with surroundings(tmp_path) as around:
        with serving(around, SERVERS["uvicorn"]) as url:

            async def converse(number: int) -> None:
                conversation = f"c-{number}"
                async with websockets.connect(
                    f"{url.replace('http', 'ws')}/{conversation}",
                    additional_headers={"x-conversation": conversation},
                    open_timeout=PATIENCE,
                    proxy=None,
                ) as websocket:
                    pids.add(websocket.response.headers["x-pid"])  # type: ignore[union-attr]
                    for turn in range(TURNS):
                        await websocket.send(str(turn))
                        words = []
                        while (word := await websocket.recv()) != "END":
                            words.append(str(word))
                        assert len("".join(words).split()) == 4

            await asyncio.wait_for(
                asyncio.gather(*(converse(number) for number in range(CONVERSATIONS))), PATIENCE
            )
            check_reports(reports_of(f"{url}/report", pids))
            around.spans(lambda spans: are_there(spans, CONVERSATIONS * (TURNS + 1)))
        names = check(around.receiver.spans)
    assert names["work"] == names["done"] == 500
    check_messages(around)


def check_messages(around: Surroundings) -> None:
    """Each message has a trace of its own, in which all work on it is."""
    spans = around.receiver.spans
    messages = [span for span in spans if span.name == "websocket receive /{conversation}"]
    assert len({span.trace_id for span in messages}) == len(messages) == CONVERSATIONS * TURNS
    assert {(span.parent_id, span.kind) for span in messages} == {(None, "CONSUMER")}
    worked = Counter(span.trace_id for span in spans if span.name == "work")
    called = Counter(span.trace_id for span in spans if "gen_ai.request.seed" in span.attributes)
    assert worked == called == dict.fromkeys((span.trace_id for span in messages), 1)


def test_a_request_on_the_connection_of_another_has_none_of_its_thread(tmp_path: Path) -> None:
    # A body of this size makes the server stop to read for a while. It goes on from inside the
    # first request, and whatever it reads from then on starts there.
    body = b"x" * 1_000_000
    with surroundings(tmp_path) as around, serving(around, SERVERS["uvicorn"]) as url:
        connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=PATIENCE)

        def ask(method: str, path: str, **arguments: Any) -> Any:
            connection.request(method, path, **arguments)
            return json.loads(connection.getresponse().read())

        headers = {"x-conversation": "c-1"}
        own = "Thread(id='c-1', tags=('load',))"
        assert ask("POST", "/upload", body=body, headers=headers) == f"1000000 {own}"
        for _ in range(3):
            assert ask("GET", "/thread") == "None"
        connection.close()
