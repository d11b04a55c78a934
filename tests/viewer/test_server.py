"""The command `orq-otel viewer`: its options, its ports, its line, its end."""

from __future__ import annotations

import gzip
import http.client
import pwd
import re
import signal
import socket
import sys
import threading
import time
from importlib.metadata import entry_points
from pathlib import Path

import grpc
import httpx
import pytest
from support.otlp_requests import BOMBS, body, message
from support.viewer_process import PORTS, Viewer, run

from orq_otel.viewer.ports.listening import PortError, bind
from orq_otel.viewer.settings import Settings, SettingsError, default_store
from orq_otel.viewer.store.sqlite import SQLiteStore

from .sqlite_checks import rollup_errors

MEDIA = {"content-type": "application/x-protobuf"}


def spans(database: Path, thread_id: str = "one") -> int:
    """How many spans a thread has."""
    store = SQLiteStore(database)
    thread = store.thread(thread_id)
    store.close()
    return 0 if thread is None else thread.spans


def thread_body(name: str = "work", **attributes: str) -> bytes:
    return body(message(name=name, attributes={"thread.id": "one", **attributes}))


def test_the_command_is_installed() -> None:
    (found,) = entry_points(group="console_scripts", name="orq-otel")
    assert found.value == "orq_otel.cli.main:main"


def test_the_line(tmp_path: Path) -> None:
    database = tmp_path / "new" / "threads.db"
    with Viewer(database) as viewer:
        assert viewer.line == (
            f"Threads: {viewer.pages} | OTLP over HTTP: {viewer.otlp_http} | "
            f"OTLP over gRPC: {viewer.otlp_grpc} | store: {database}\n"
        )
        addresses = {viewer.pages, viewer.otlp_http, viewer.otlp_grpc}
        assert len(addresses) == 3
        assert all(re.fullmatch(r"http://localhost:[1-9]\d+", one) for one in addresses)
        assert httpx.get(f"{viewer.pages}/api/threads").json()["threads"] == []
        assert viewer.stop() == ""


@pytest.mark.parametrize("is_wanted", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_compiled_templates_are_kept_as_compiled_modules_are(
    tmp_path: Path, *, is_wanted: bool
) -> None:
    folder = tmp_path / "compiled"
    kept: list[set[tuple[str, int]]] = []
    for _ in range(2):
        with Viewer(
            tmp_path / "threads.db",
            PYTHONPYCACHEPREFIX=str(folder),
            PYTHONDONTWRITEBYTECODE="" if is_wanted else "1",
        ) as viewer:
            assert httpx.get(viewer.pages, timeout=60).status_code == 200
        files = folder.rglob("templates/*.jinja")
        kept.append({(one.name, one.stat().st_mtime_ns) for one in files})
    assert bool(kept[0]) == is_wanted
    assert kept[1] == kept[0]  # what is there is not made again


@pytest.mark.slow
def test_where_compiled_templates_cannot_be_kept(tmp_path: Path) -> None:
    folder = tmp_path / "a file"
    folder.write_text("")
    with Viewer(
        tmp_path / "threads.db", PYTHONPYCACHEPREFIX=str(folder), PYTHONDONTWRITEBYTECODE=""
    ) as viewer:
        assert httpx.get(viewer.pages, timeout=60).status_code == 200
        assert viewer.stop() == ""


@pytest.mark.parametrize("address", ["127.0.0.1", "[::1]"])
def test_localhost_is_both_addresses(tmp_path: Path, address: str) -> None:
    if address == "[::1]":
        try:
            socket.create_server(("::1", 0), family=socket.AF_INET6).close()
        except OSError:
            pytest.skip("this machine has no IPv6")
    with Viewer(tmp_path / "threads.db") as viewer:
        for url in (viewer.pages, viewer.otlp_http):
            httpx.get(url.replace("localhost", address))
        target = viewer.otlp_grpc.removeprefix("http://").replace("localhost", address)
        with grpc.insecure_channel(target) as channel:
            call = channel.unary_unary(
                "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
            )
            assert call(thread_body(), timeout=30) == b""


@pytest.mark.parametrize("option", ["--port", "--otlp-http-port", "--otlp-grpc-port"])
def test_a_port_in_use(tmp_path: Path, option: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = run("viewer", *PORTS, option, str(port), "--db", str(tmp_path / "threads.db"))
    assert ended.returncode == 1
    assert ended.stderr == (
        f"orq-otel viewer: port {port} is in use, maybe by another collector or viewer: choose "
        f"another with {option}, or {option} 0 for a free one\n"
    )
    assert not (tmp_path / "threads.db").exists()


def test_an_address_of_another_machine(tmp_path: Path) -> None:
    ended = run(
        "viewer",
        *PORTS,
        "--host",
        "192.0.2.1",
        "--token",
        "x",
        "--db",
        str(tmp_path / "threads.db"),
    )
    assert ended.returncode == 1
    assert ended.stderr.startswith("orq-otel viewer: cannot listen on 192.0.2.1, port 0 (--port): ")


def test_a_name_that_nobody_has() -> None:
    with pytest.raises(PortError, match="cannot listen on no.such.name.invalid"):
        bind("no.such.name.invalid", 0, "--port")


@pytest.mark.parametrize("port", ["-1", "65536", "x", "1.5", "²"])
def test_what_is_no_port(port: str) -> None:
    ended = run("viewer", f"--port={port}")
    assert ended.returncode == 2
    assert f"{port!r} is no port: 0 to 65535" in ended.stderr


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "example.com"])
def test_other_machines_need_a_token(host: str) -> None:
    with pytest.raises(SettingsError, match="a token is needed"):
        Settings(host=host).check()
    with pytest.raises(SettingsError, match="a token is needed"):
        Settings(host=host, token="").check()
    Settings(host=host, token="secret").check()
    ended = run("viewer", *PORTS, "--host", host)
    assert ended.returncode == 2
    assert "ORQ_OTEL_VIEWER_TOKEN" in ended.stderr


@pytest.mark.parametrize("token", ["sec ret", "sécret", "日本", "sec\nret", "sec\x7fret"])
def test_a_token_that_nobody_can_send(token: str) -> None:
    with pytest.raises(SettingsError, match="no request can carry the token"):
        Settings(token=token).check()
    ended = run("viewer", *PORTS, ORQ_OTEL_VIEWER_TOKEN=token)
    assert ended.returncode == 2
    assert "no request can carry the token: set ORQ_OTEL_VIEWER_TOKEN" in ended.stderr
    assert token not in ended.stderr


def test_a_token_of_spaces_is_none() -> None:
    ended = run("viewer", *PORTS, "--host", "0.0.0.0", ORQ_OTEL_VIEWER_TOKEN=" \n")
    assert ended.returncode == 2
    assert "a token is needed" in ended.stderr


@pytest.mark.parametrize("token", ["secret", " secret ", "secret\n"])
def test_all_addresses_with_a_token(token: str, tmp_path: Path) -> None:
    with Viewer(
        tmp_path / "threads.db", "--host", "0.0.0.0", ORQ_OTEL_VIEWER_TOKEN=token
    ) as viewer:
        assert viewer.pages.startswith("http://localhost:")
        api = f"{viewer.pages}/api/threads"
        assert httpx.get(api).status_code == 401
        bearer = {"authorization": "Bearer secret"}
        assert httpx.get(api, headers=bearer).status_code == 200
        assert httpx.get(api, headers={**bearer, "host": "evil.example"}).status_code == 403
        viewer.stop()


def test_variables_stand_for_options_and_options_win(tmp_path: Path) -> None:
    variables = {
        "ORQ_OTEL_VIEWER_HOST": "127.0.0.1",
        "ORQ_OTEL_VIEWER_PORT": "0",
        "ORQ_OTEL_VIEWER_OTLP_HTTP_PORT": "0",
        "ORQ_OTEL_VIEWER_OTLP_GRPC_PORT": "99999",
        "ORQ_OTEL_VIEWER_DB": str(tmp_path / "variable.db"),
        "ORQ_OTEL_VIEWER_TOKEN": "from-the-variable",
        "ORQ_OTEL_VIEWER_RETENTION": "30d",
        "ORQ_OTEL_VIEWER_ALLOWED_HOSTS": "a.example, b.example",
    }
    ended = run("viewer", **variables)
    assert ended.returncode == 2
    assert "'99999' is no port" in ended.stderr
    variables["ORQ_OTEL_VIEWER_OTLP_GRPC_PORT"] = "0"
    with Viewer(tmp_path / "option.db", **variables) as viewer:
        assert viewer.pages.startswith("http://127.0.0.1:")
        assert (tmp_path / "option.db").exists()
        assert not (tmp_path / "variable.db").exists()
        headers = {"authorization": "Bearer from-the-variable", "host": "b.example"}
        answer = httpx.get(f"{viewer.pages}/api/threads", headers=headers)
        assert answer.status_code == 200
        viewer.stop()


def test_the_default_store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert default_store() == str(tmp_path / "orq-otel" / "threads.db")
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setenv("HOME", "/home/somebody")
    assert default_store() == "/home/somebody/.local/share/orq-otel/threads.db"


def test_the_default_store_of_a_user_without_an_account(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    for name in ("HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    # As `pwd` answers for a number that has no entry.
    monkeypatch.setattr(pwd, "getpwuid", {}.__getitem__)
    monkeypatch.chdir(tmp_path)
    assert default_store() == str(tmp_path / ".local" / "share" / "orq-otel" / "threads.db")


def test_the_file_of_somebody_who_is_not_there() -> None:
    ended = run("threads", "--db", "~nobody-is-called-so/threads.db")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith(
        "orq-otel: There is no database at ~nobody-is-called-so/threads.db."
    )


def test_the_token_is_not_in_the_help() -> None:
    ended = run("viewer", "--help", ORQ_OTEL_VIEWER_TOKEN="secret-secret")
    assert ended.returncode == 0
    assert "--otlp-grpc-port" in ended.stdout
    assert "secret-secret" not in ended.stdout


# Retention.


@pytest.mark.parametrize("text", ["30", "30x", "30d;2GB", "30d,", "-1d"])
def test_what_is_no_retention(tmp_path: Path, text: str) -> None:
    ended = run("viewer", *PORTS, f"--retention={text}", "--db", str(tmp_path / "threads.db"))
    assert ended.returncode == 2
    assert ended.stderr.startswith(f"orq-otel viewer: --retention: {text!r}")


def test_retention_is_not_for_clickhouse() -> None:
    ended = run("viewer", *PORTS, "--retention=30d", "--store=clickhouse://localhost:1/otel")
    assert ended.returncode == 2
    assert "give the table a TTL" in ended.stderr


def test_what_is_older_is_deleted(tmp_path: Path) -> None:
    database = tmp_path / "threads.db"
    now = time.time_ns()
    with Viewer(database) as viewer:
        for age in (0, 60 * 86_400):
            start = now - age * 1_000_000_000
            span = message(
                start_time_unix_nano=start,
                end_time_unix_nano=start + 1,
                attributes={"thread.id": "one" if age == 0 else "old"},
            )
            assert httpx.post(viewer.traces, content=body(span), headers=MEDIA).status_code == 200
        viewer.stop()
    with Viewer(database, "--retention", "30d,2GB") as viewer:
        until(lambda: len(_threads(viewer)) == 1)
        viewer.stop()
    assert (spans(database), spans(database, "old")) == (1, 0)


def test_what_is_too_much_is_deleted(tmp_path: Path) -> None:
    database = tmp_path / "threads.db"
    with Viewer(database) as viewer:
        for _ in range(20):
            content = body(
                *(message(attributes={"thread.id": "one", "x": "x" * 1_000}) for _ in range(200))
            )
            assert httpx.post(viewer.traces, content=content, headers=MEDIA).status_code == 200
        viewer.stop()
    store = SQLiteStore(database)
    whole = store.size()
    assert whole > 3_000_000
    store.close()
    store = SQLiteStore(tmp_path / "empty.db")
    store.write([])
    empty = store.size()
    store.close()
    with Viewer(database, "--retention", "2MB") as viewer:
        log = Path(f"{database}-wal")
        until(lambda: database.stat().st_size + log.stat().st_size <= 2_000_000)
        left = sum(thread["spans"] for thread in _threads(viewer))
        assert left >= 4_000 * (2_000_000 - empty) / (whole - empty) * 0.9, (whole, empty)
        viewer.stop()
    store = SQLiteStore(database)
    assert 1_800_000 < store.size() <= 2_000_000
    assert rollup_errors(store) == []
    store.close()


def _threads(viewer: Viewer) -> list[dict[str, int]]:
    threads: list[dict[str, int]] = httpx.get(f"{viewer.pages}/api/threads").json()["threads"]
    return threads


def until(condition: object) -> None:
    """Wait for something."""
    assert callable(condition)
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


# Its end.


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_ends_it(tmp_path: Path, name: str) -> None:
    with Viewer(tmp_path / "threads.db") as viewer:
        # Connections that are left open keep nothing alive.
        with httpx.Client() as client, socket.create_connection(("localhost", _port(viewer))):
            client.get(viewer.pages)
            assert client.post(viewer.traces, content=thread_body(), headers=MEDIA).is_success
            began = time.monotonic()
            viewer.stop(getattr(signal, name))
            assert time.monotonic() - began < 10
    assert spans(tmp_path / "threads.db") == 1


def _port(viewer: Viewer) -> int:
    return int(viewer.otlp_http.rpartition(":")[2])


def test_what_arrives_before_the_end_is_answered_and_kept(tmp_path: Path) -> None:
    database = tmp_path / "threads.db"
    acknowledged = 0
    lock = threading.Lock()

    def send(viewer: Viewer) -> None:
        nonlocal acknowledged
        connection = http.client.HTTPConnection("localhost", _port(viewer))
        try:
            while True:
                connection.request("POST", "/v1/traces", thread_body(), MEDIA)
                answer = connection.getresponse()
                answer.read()
                assert answer.status in {200, 503}
                with lock:
                    acknowledged += answer.status == 200
        except (OSError, http.client.HTTPException):
            connection.close()

    with Viewer(database) as viewer:
        threads = [threading.Thread(target=send, args=[viewer]) for _ in range(4)]
        for thread in threads:
            thread.start()
        until(lambda: acknowledged > 20)
        viewer.stop()
        for thread in threads:
            thread.join(30)
    # A sender that does not hear that its last span is kept would send it again.
    assert acknowledged <= spans(database) <= acknowledged + len(threads)


# Bad input.


def test_bytes_that_are_no_http(tmp_path: Path) -> None:
    with Viewer(tmp_path / "threads.db") as viewer:
        for data in (
            b"\0" * 1_000,
            b"GET / HTTP/9.9\r\n\r\n",
            b"POST /v1/traces HTTP/1.1\r\nhost: localhost\r\ncontent-length: x\r\n\r\n",
            b"POST /v1/traces HTTP/1.1\r\nhost: localhost\r\ncontent-length: -1\r\n\r\n",
            b"POST /v1/traces HTTP/1.1\r\nhost: localhost\r\nx: " + b"x" * 200_000,
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        ):
            with socket.create_connection(("localhost", _port(viewer)), timeout=30) as connection:
                try:
                    connection.sendall(data)
                    answer = connection.recv(100)
                except ConnectionError:
                    answer = b""
            assert answer == b"" or answer.startswith(b"HTTP/1.1 4"), (data[:50], answer)
        port = int(viewer.otlp_grpc.rpartition(":")[2])
        with socket.create_connection(("localhost", port), timeout=30) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
            connection.recv(100)
        assert httpx.post(viewer.traces, content=thread_body(), headers=MEDIA).status_code == 200
        viewer.stop()
    assert spans(tmp_path / "threads.db") == 1


@pytest.mark.skipif(sys.platform != "linux", reason="this machine has no /proc")
def test_memory_is_bounded(tmp_path: Path) -> None:
    with Viewer(tmp_path / "threads.db") as viewer:
        for bomb in BOMBS.values():
            content = gzip.compress(bomb(), 1)
            headers = {**MEDIA, "content-encoding": "gzip"}
            answer = httpx.post(viewer.traces, content=content, headers=headers, timeout=60)
            assert answer.status_code in {200, 413}
        content = gzip.compress(b"\0" * 1_000_000_000, 1)
        assert httpx.post(viewer.traces, content=content, headers=headers).status_code == 413
        assert viewer.memory() < 200_000_000
        viewer.stop()
