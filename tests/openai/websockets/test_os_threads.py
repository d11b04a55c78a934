"""A connection that several OS threads use."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import openai
from support.client_versions import needs
from support.recorded import Telemetry
from support.websocket_sessions import (
    ask,
    attributes,
    both,
    by_iterating,
    connect,
    in_session,
    is_well,
    wait,
)

from orq_otel import bind, thread

pytestmark = needs("openai", "1.58", "websockets")


@both
def test_one_thread_sends_and_another_receives(
    instrumented: Telemetry, client: openai.OpenAI, api: str
) -> None:
    with connect(client, api) as connection, ThreadPoolExecutor(1) as reader:
        for number in range(5):
            end = reader.submit(wait, connection)
            with thread(f"t-{number}"):
                ask(connection, api)
            end.result(timeout=10)
        with thread("bound"):
            send = bind(ask)
        end = reader.submit(wait, connection)
        threading.Thread(target=send, args=(connection, api)).start()
        end.result(timeout=10)

    answers, _ = in_session(instrumented)
    assert [attributes(answer)["thread.id"] for answer in answers] == [
        *(f"t-{number}" for number in range(5)),
        "bound",
    ]


@both
def test_it_is_closed_while_another_thread_receives(
    instrumented: Telemetry, client: openai.OpenAI, api: str
) -> None:
    with connect(client, api) as connection, ThreadPoolExecutor(1) as reader:
        ask(connection, api, "hold")
        wait(connection, "response.created")
        end = reader.submit(by_iterating, connection)
        connection.close()
        end.result(timeout=10)

    answers, session = in_session(instrumented)
    assert len(answers) == 1
    assert is_well(answers[0])
    assert is_well(session)
