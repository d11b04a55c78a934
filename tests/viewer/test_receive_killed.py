"""Whatever was acknowledged is there after a kill, and once: the promise of the viewer."""

from __future__ import annotations

import http.client
import itertools
import random
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest
from support.otlp_requests import body, message
from support.viewer_process import Viewer

from orq_otel.viewer.model.queries import ThreadQuery
from orq_otel.viewer.store.sqlite import SQLiteStore

from .sqlite_checks import rollup_errors

BATCH = 40
THREADS = 30
EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"

Way = Callable[[Viewer], Iterator["Batch"]]

_numbers = itertools.count(1)


class Batch:
    """Some spans of some threads, as one request."""

    def __init__(self) -> None:
        numbers = [next(_numbers) for _ in range(BATCH)]
        self.ids = {f"{number:016x}" for number in numbers}
        self.body = body(
            *(
                message(
                    trace_id=(number // 200 * 200 + number % THREADS + 1).to_bytes(16, "big"),
                    span_id=number.to_bytes(8, "big"),
                    attributes={
                        "thread.id": f"thread-{number % THREADS}",
                        "thread.tags": ["load", f"tag-{number % 7}"],
                        "gen_ai.operation.name": "chat",
                        "gen_ai.response.model": f"model-{number % 3}",
                        "gen_ai.usage.input_tokens": number % 100,
                    },
                )
                for number in numbers
            )
        )


class Load:
    """Senders that send until the viewer is gone, and send again what was not acknowledged."""

    def __init__(self) -> None:
        self.acknowledged: set[str] = set()
        self._unanswered: list[Batch] = []
        self._lock = threading.Lock()

    def until_killed(self, viewer: Viewer, batches: int) -> None:
        """Send, and kill the viewer when so many batches were acknowledged in this round."""
        enough = threading.Semaphore(0)
        threads = [
            threading.Thread(target=self._send, args=(way, viewer, enough))
            for way in (self._http, self._http, self._http, self._grpc)
        ]
        for thread in threads:
            thread.start()
        for _ in range(batches):
            assert enough.acquire(timeout=60)
        viewer.kill()
        for thread in threads:
            thread.join(60)
            assert not thread.is_alive()

    def _send(self, way: Way, viewer: Viewer, enough: threading.Semaphore) -> None:
        for acknowledged in way(viewer):
            with self._lock:
                self.acknowledged |= acknowledged.ids
            enough.release()

    def _next(self) -> Batch:
        with self._lock:
            return self._unanswered.pop() if self._unanswered else Batch()

    def _again(self, batch: Batch) -> None:
        with self._lock:
            self._unanswered.append(batch)

    def _http(self, viewer: Viewer) -> Iterator[Batch]:
        connection = http.client.HTTPConnection(viewer.otlp_http.removeprefix("http://"))
        headers = {"content-type": "application/x-protobuf"}
        while True:
            batch = self._next()
            try:
                connection.request("POST", "/v1/traces", batch.body, headers)
                answer = connection.getresponse()
                answer.read()
            except (OSError, http.client.HTTPException):
                connection.close()
                self._again(batch)
                return
            assert answer.status == 200
            yield batch

    def _grpc(self, viewer: Viewer) -> Iterator[Batch]:
        with grpc.insecure_channel(viewer.otlp_grpc.removeprefix("http://")) as channel:
            export = channel.unary_unary(EXPORT)
            while True:
                batch = self._next()
                try:
                    export(batch.body, timeout=60)
                except grpc.RpcError:
                    self._again(batch)
                    return
                yield batch


def kept(store: SQLiteStore) -> list[str]:
    """The ids of all spans of all threads."""
    found = store.threads(ThreadQuery(limit=THREADS + 1)).threads
    return [
        one.span.span_id
        for thread in found
        for one in store.spans(thread.id, 10_000_000)
        if one.facts.thread_id == thread.id
    ]


@pytest.mark.parametrize("kills", [6, pytest.param(20, marks=pytest.mark.slow)])
def test_nothing_that_was_acknowledged_is_lost(tmp_path: Path, kills: int) -> None:
    choice = random.Random(kills)
    load = Load()
    database = tmp_path / "threads.db"
    for _ in range(kills):
        with Viewer(database) as viewer:
            load.until_killed(viewer, choice.randint(1, 60))
        store = SQLiteStore(database)
        assert rollup_errors(store) == []
        ids = kept(store)
        assert len(ids) == len(set(ids))
        assert load.acknowledged <= set(ids)
        threads = store.threads(ThreadQuery(limit=THREADS + 1)).threads
        assert sum(thread.spans for thread in threads) == len(ids)
        store.close()
    assert len(load.acknowledged) > kills * BATCH


def test_spans_that_are_sent_again_count_once(tmp_path: Path) -> None:
    batch = Batch()
    with Viewer(tmp_path / "threads.db") as viewer:
        connection = http.client.HTTPConnection(viewer.otlp_http.removeprefix("http://"))
        for _ in range(3):
            connection.request(
                "POST", "/v1/traces", batch.body, {"content-type": "application/x-protobuf"}
            )
            assert connection.getresponse().read() == b""
        connection.close()
        viewer.stop()
    store = SQLiteStore(tmp_path / "threads.db")
    assert sorted(kept(store)) == sorted(batch.ids)
    assert rollup_errors(store) == []
    store.close()
