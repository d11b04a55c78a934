"""A full disk, a locked file, a damaged file: senders are told, and nothing is lost in silence."""

from __future__ import annotations

import contextlib
import http.client
import os
import resource
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from subprocess import PIPE

import grpc
import httpx
import pytest
from google.rpc import status_pb2
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub
from support.otlp_requests import body, message
from support.viewer_process import CODE, PORTS, Viewer, run

from orq_otel.viewer.conversation.facts import read
from orq_otel.viewer.model.kept_spans import KeptSpan
from orq_otel.viewer.model.queries import ThreadQuery
from orq_otel.viewer.store.sqlite import SQLiteStore

from .command_line import COMMAND
from .sample_spans import call
from .sqlite_checks import rollup_errors

MEDIA = {"content-type": "application/x-protobuf"}
MIB = 2**20


def post(viewer: Viewer, *, size: int = 10) -> httpx.Response:
    """Send a span of a thread with so many bytes of text."""
    content = body(message(attributes={"thread.id": "one", "text": "x" * size}))
    return httpx.post(viewer.traces, content=content, headers=MEDIA, timeout=60)


def count(database: Path) -> int:
    """How many spans there are. The rollups must agree."""
    store = SQLiteStore(database)
    assert rollup_errors(store) == []
    threads = store.threads(ThreadQuery()).threads
    store.close()
    return sum(thread.spans for thread in threads)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MiB."""
    place = tmp_path / "small"
    place.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(place)],
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode != 0:
        pytest.skip(f"this machine has no small file system to mount: {made.stderr.strip()}")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_a_full_disk(small_disk: Path) -> None:
    database = small_disk / "threads.db"
    with Viewer(database) as viewer:
        acknowledged = 0
        while (answer := post(viewer, size=100_000)).status_code == 200:
            acknowledged += 1
            assert acknowledged < 100
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "5"
        assert "disk" in status_pb2.Status.FromString(answer.content).message
        # What is there can be read, and the next one is kept when there is room.
        threads = httpx.get(f"{viewer.pages}/api/threads").json()["threads"]
        assert [thread["spans"] for thread in threads] == [acknowledged]
        subprocess.run(
            ["mount", "-o", "remount,size=30m", str(small_disk)], check=True, capture_output=True
        )
        assert post(viewer, size=100_000).status_code == 200
        said = viewer.stop()
    assert "Spans are not kept" in said
    assert count(database) == acknowledged + 1


def test_a_read_only_disk_can_be_asked(small_disk: Path) -> None:
    database = small_disk / "threads.db"
    store = SQLiteStore(database)
    store.write([KeptSpan(one, read(one)) for one in (call("one"), call("one"))])
    store.close()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True, capture_output=True)
    for command in (("threads",), ("thread", "one"), ("export", "one")):
        ended = run(*command, "--db", str(database))
        assert (ended.returncode, ended.stderr) == (0, "")
        assert "one" in ended.stdout
    ended = run("viewer", *PORTS, "--db", str(database))
    assert ended.returncode == 1
    assert "may not be written to" in ended.stderr or "cannot be opened" in ended.stderr


def test_a_database_opens_on_a_full_disk(small_disk: Path) -> None:
    database = small_disk / "threads.db"
    store = SQLiteStore(database)
    store.write([KeptSpan(one, read(one)) for one in (call("one"), call("one"))])
    store.close()
    filling = small_disk / "filling"
    with pytest.raises(OSError, match="No space"), filling.open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)
    with Viewer(database) as viewer:
        threads = httpx.get(f"{viewer.pages}/api/threads").json()["threads"]
        assert [thread["spans"] for thread in threads] == [2]
        assert post(viewer).status_code == 503
        filling.unlink()
        assert post(viewer).status_code == 200
        viewer.stop()
    assert count(database) == 3


def test_a_file_that_may_not_grow(tmp_path: Path) -> None:
    """The same on machines that mount nothing: the limit of a process on the size of files."""
    code = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({2 * MIB}, {2 * MIB}));"
        "from orq_otel.cli.main import main; sys.exit(main())"
    )
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
    with Viewer(tmp_path / "threads.db", code=code) as viewer:
        acknowledged = 0
        while (answer := post(viewer, size=100_000)).status_code == 200:
            acknowledged += 1
            assert acknowledged < 100
        assert answer.status_code == 503
        assert post(viewer, size=3_000_000).status_code == 503
        viewer.stop()
    assert count(tmp_path / "threads.db") == acknowledged


def test_a_locked_file(tmp_path: Path) -> None:
    database = tmp_path / "threads.db"
    with Viewer(database) as viewer:
        assert post(viewer).status_code == 200
        other = sqlite3.connect(database, isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        answer = post(viewer)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        assert "locked" in status_pb2.Status.FromString(answer.content).message
        other.execute("ROLLBACK")
        other.close()
        assert post(viewer).status_code == 200
        assert "Spans are not kept" in viewer.stop()
    assert count(database) == 2


def test_senders_that_are_not_answered_before_the_end_are_told_to_send_again(
    tmp_path: Path,
) -> None:
    database = tmp_path / "threads.db"
    code = f"from orq_otel.viewer import server; server._GRACE_OF_SENDERS = 1; {CODE}"
    content = body(message(attributes={"thread.id": "one"}))
    head = (
        "POST /v1/traces HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\n"
        f"content-type: application/x-protobuf\r\ncontent-length: {len(content)}\r\n\r\n"
    )
    with Viewer(database, code=code) as viewer, contextlib.ExitStack() as stack:
        assert post(viewer).status_code == 200
        other = stack.enter_context(contextlib.closing(sqlite3.connect(database)))
        other.execute("BEGIN EXCLUSIVE")
        port = int(viewer.otlp_http.rpartition(":")[2])
        senders = []
        # One waits for the file, and the viewer waits for the rest of the other.
        for sent in (content, content[:-1]):
            sender = stack.enter_context(socket.create_connection(("localhost", port), timeout=30))
            sender.sendall(head.encode())
            assert sender.recv(1_000).startswith(b"HTTP/1.1 100 ")
            sender.sendall(sent)
            senders.append(sender)
        said = viewer.stop()
        for sender in senders:
            with http.client.HTTPResponse(sender) as answer:
                answer.begin()
                assert (answer.status, answer.headers["retry-after"]) == (503, "5")
                made = status_pb2.Status.FromString(answer.read())
                assert made.message == "the viewer is shutting down"
    assert "Traceback" not in said
    # Of those two, none has been written: the file was locked until the end.
    assert count(database) == 1


@pytest.mark.skipif(
    sys.platform == "win32", reason="this machine has no open files that can be deleted"
)
@pytest.mark.parametrize("how", ["deleted", "deleted with its log", "replaced", "folder deleted"])
def test_a_file_that_goes_away(tmp_path: Path, how: str) -> None:
    database = tmp_path / "place" / "threads.db"
    with Viewer(database) as viewer:
        assert [post(viewer).status_code for _ in range(3)] == [200] * 3
        expected = 1
        if how == "folder deleted":
            shutil.rmtree(database.parent)
        elif how == "replaced":
            other = SQLiteStore(tmp_path / "other.db")
            other.write([KeptSpan(one, read(one)) for one in (call("two"), call("two"))])
            other.close()
            (tmp_path / "other.db").rename(database)
            expected = 3
        else:
            for one in database.parent.glob("*" if how == "deleted with its log" else "*.db"):
                one.unlink()
        answer = post(viewer)
        if answer.status_code != 200:  # else the viewer's own work has found it before
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
            assert "deleted or replaced" in status_pb2.Status.FromString(answer.content).message
            # The sender tries again.
            assert post(viewer).status_code == 200
        threads = httpx.get(f"{viewer.pages}/api/threads").json()["threads"]
        assert sum(thread["spans"] for thread in threads) == expected
        assert viewer.stop().count("Spans in the old one are gone") == 1
    assert count(database) == expected


@pytest.mark.skipif(
    sys.platform == "win32", reason="this machine has no open files that can be deleted"
)
@pytest.mark.parametrize("how", ["deleted", "replaced"])
def test_a_sender_over_grpc_is_told_that_a_file_went_away(tmp_path: Path, how: str) -> None:
    database = tmp_path / "threads.db"
    content = ExportTraceServiceRequest.FromString(body(message(attributes={"thread.id": "one"})))
    with Viewer(database) as viewer:
        with grpc.insecure_channel(viewer.otlp_grpc.removeprefix("http://")) as channel:
            sender = TraceServiceStub(channel)
            sender.Export(content, timeout=30)
            if how == "replaced":
                SQLiteStore(tmp_path / "other.db").close()
                (tmp_path / "other.db").rename(database)
            else:
                database.unlink()
            try:
                sender.Export(content, timeout=30)
            except grpc.RpcError as error:
                refused = error.code(), "deleted or replaced" in error.details()
                # The sender tries again.
                sender.Export(content, timeout=30)
            else:  # the viewer's own work has found it before
                refused = None
            assert refused in {None, (grpc.StatusCode.UNAVAILABLE, True)}
        assert viewer.stop().count("Spans in the old one are gone") == 1
    assert count(database) == 1


def test_what_a_killed_viewer_left_can_be_asked_on_a_read_only_disk(small_disk: Path) -> None:
    database = small_disk / "threads.db"
    with Viewer(database) as viewer:
        assert post(viewer).status_code == 200
        viewer.kill()
    log = small_disk / "threads.db-wal"
    (small_disk / "threads.db-shm").unlink()
    assert log.stat().st_size > 0
    copies = Path(tempfile.gettempdir())
    before = {*copies.glob("orq-otel-*/threads.db")}
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True, capture_output=True)
    for command in (("threads",), ("thread", "one"), ("export", "one")):
        ended = run(*command, "--db", str(database))
        assert ended.returncode == 0, ended.stderr
        assert "one" in ended.stdout
        (line,) = ended.stderr.splitlines()
        assert str(database) in line
        assert "a copy" in line
    assert {*copies.glob("orq-otel-*/threads.db")} <= before
    for number in (signal.SIGTERM, signal.SIGHUP):
        command = [*COMMAND, "threads", "--watch", "--db", str(database)]
        with subprocess.Popen(command, stdout=PIPE, stderr=PIPE, text=True) as watching:
            while "one" not in watching.stdout.readline():
                pass
            assert not {*copies.glob("orq-otel-*/threads.db")} <= before
            watching.send_signal(number)
        assert watching.returncode == -number
        assert {*copies.glob("orq-otel-*/threads.db")} <= before


@pytest.mark.skipif(
    sys.platform == "win32", reason="this machine has no open files that can be deleted"
)
def test_pages_notice_that_a_file_goes_away(tmp_path: Path) -> None:
    database = tmp_path / "threads.db"
    with Viewer(database) as viewer:
        assert post(viewer).status_code == 200
        assert len(httpx.get(f"{viewer.pages}/api/threads").json()["threads"]) == 1
        database.unlink()
        assert httpx.get(f"{viewer.pages}/api/threads").status_code == 503
        assert post(viewer).status_code == 200
        assert len(httpx.get(f"{viewer.pages}/api/threads").json()["threads"]) == 1
        assert viewer.stop().count("deleted or replaced") == 1


def test_a_variable_with_a_slip_is_said_and_not_shown(tmp_path: Path) -> None:
    with Viewer(tmp_path / "threads.db", ORQ_OTEL_VIEWER_TOKN="a-secret") as viewer:
        said = viewer.stop()
    assert "orq-otel viewer: there is no variable ORQ_OTEL_VIEWER_TOKN: " in said
    assert "ORQ_OTEL_VIEWER_TOKEN" in said
    assert "a-secret" not in said


@pytest.mark.parametrize(
    "content", [b"no database" * 1_000, b"SQLite format 3\0" + b"\xff" * 5_000]
)
def test_a_file_that_is_no_database(tmp_path: Path, content: bytes) -> None:
    database = tmp_path / "threads.db"
    database.write_bytes(content)
    ended = run("viewer", *PORTS, "--db", str(database))
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert ended.stderr.startswith("orq-otel viewer: ")
    assert str(database) in ended.stderr
    assert "Traceback" not in ended.stderr
    assert database.read_bytes() == content


def test_a_file_that_was_damaged(tmp_path: Path) -> None:
    database = tmp_path / "threads.db"
    with Viewer(database) as viewer:
        for _ in range(30):
            assert post(viewer, size=20_000).status_code == 200
        viewer.stop()
    with database.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(database.stat().st_size - 4096))
    content = database.read_bytes()
    ended = run("viewer", *PORTS, "--db", str(database))
    assert ended.returncode == 1
    assert "damaged. Move it away, or name another file with --db." in ended.stderr
    assert "Traceback" not in ended.stderr
    assert database.read_bytes() == content


@pytest.mark.skipif(
    sys.platform == "win32" or os.geteuid() == 0, reason="this machine lets root write anywhere"
)
def test_a_place_where_nothing_may_be_written(tmp_path: Path) -> None:
    place = tmp_path / "closed"
    place.mkdir(mode=0o500)
    ended = run("viewer", *PORTS, "--db", str(place / "threads.db"))
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr


def test_a_directory_in_place_of_a_file(tmp_path: Path) -> None:
    ended = run("viewer", *PORTS, "--db", str(tmp_path))
    assert ended.returncode == 1
    assert str(tmp_path) in ended.stderr
    assert "Traceback" not in ended.stderr
