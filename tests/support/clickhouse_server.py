"""ClickHouse's engine behind its HTTP interface: what the real client talks to in tests.

The engine is `chdb`, in a process of its own, one query at a time:

    python3 -m support.clickhouse_server PORT FOLDER

It has users, with passwords and read-only profiles, and knows bound parameters and how long they
may be, settings, inserted rows in any format, and the summary of a query. For tests, `/log?since=0`
has the queries so far, one JSON object a line, `/logged` how many there are, `/fail?words=...` lets
queries and inserts with these words fail, in the SQL or in the rows, `/fail?late=1&words=...` lets
them fail at the end of an answer that began well, and `/hold?words=...` lets
queries wait until they are killed.
"""

from __future__ import annotations

import base64
import email
import gzip
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlencode, urlsplit

#: Parameters of the interface that are no settings of the engine.
_OF_TRANSPORT = frozenset(
    {
        *("buffer_size", "client_protocol_version", "compress", "database", "decompress"),
        *("default_format", "enable_http_compression", "http_headers_progress_interval_ms"),
        *("password", "query", "query_id", "quota_key", "role", "send_progress_in_http_headers"),
        *("session_check", "session_id", "session_timeout", "user", "wait_end_of_query"),
    }
)
_INSERT = re.compile(
    r"\s*INSERT\s+INTO\s+(?:TABLE\s+)?(?P<table>[^\s(]+)\s*(?P<columns>\(.*?\))?\s*"
    r"(?:SETTINGS\s.*?)?FORMAT\s+(?P<format>\w+)\s*$",
    re.DOTALL | re.IGNORECASE,
)
_FORMAT = re.compile(r"\sFORMAT\s+(\w+)\s*;?\s*$")
_KILL = re.compile(r"\s*KILL QUERY WHERE query_id = '([^']*)'")
#: The server's `http_max_field_value_size`: bytes of a parameter, in an address or in a form.
_FIELD = 128 * 1024
#: How many seconds a query waits to be killed.
_HOLD = 60
_READS = re.compile(r"\s*\(?\s*(?:SELECT|WITH|SHOW|DESC|EXPLAIN|EXISTS)", re.IGNORECASE)
#: The engine sends these states of errors as missing things.
_MISSING = frozenset({"60", "81"})
#: What a server answers that lacks memory, or room on its disk.
TOO_MUCH = "Code: 241. DB::Exception: too much (MEMORY_LIMIT_EXCEEDED)"
DISK_IS_FULL = "Code: 243. DB::Exception: Cannot reserve 1.00 MiB (NOT_ENOUGH_SPACE)"
#: Users: their passwords, and the value of `readonly` in their profiles.
USERS = {"default": ("", 0), "viewer": ("secret", 0), "reader": ("secret", 1)}


class Refused(Exception):
    """A query is refused before the engine sees it."""


class Answer(NamedTuple):
    """A body, its format, the rows that were read for it, and the processor's time in seconds."""

    body: bytes
    form: str
    rows: int
    seconds: float = 0.0


class Engine:
    """The engine, for one query at a time, with what is remembered of the queries."""

    def __init__(self, folder: str) -> None:
        from chdb.session import Session  # noqa: PLC0415 - this process starts it

        self._session: Any = Session(folder)
        self._lock = threading.Lock()
        self._database = ""
        self._settings: dict[str, str] = {}
        self.log: list[dict[str, Any]] = []
        self.failing = self.holding = ""
        self.error = TOO_MUCH
        self.late = ""
        self._killed = threading.Condition()
        self._kills: set[str] = set()
        self._held: set[str] = set()

    def ask(self, sql: str, form: str, values: dict[str, str], how: dict[str, str]) -> Answer:
        """Run a query, with settings and in a database that `how` has."""
        found = _FORMAT.search(sql)
        if found:
            form, sql = found[1], sql[: found.start()]
        if kill := _KILL.match(sql):
            with self._killed:
                self._kills.add(kill[1])
                self._killed.notify_all()
            return Answer(b"", form, 0)
        self._fail(sql)
        if self.holding and self.holding in sql:
            self._hold(how)
        with self._lock:
            self._use(how)
            self._set(how)
            began = time.process_time()
            told: Any = self._session.query(sql, form, **({"params": values} if values else {}))
            taken = time.process_time() - began
        body = told.bytes() if told is not None and hasattr(told, "bytes") else b""
        rows = getattr(told, "storage_rows_read", lambda: 0)()
        return Answer(body, form, rows, taken)

    def _hold(self, how: dict[str, str]) -> None:
        """Let a query wait until it is killed. One that takes its place goes on, and all others."""
        query_id = how.get("query_id", "")
        with self._killed:
            if query_id in self._held:
                if how.get("replace_running_query") != "1":
                    raise Refused("Code: 216. (QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING)")
                self._kills.add(query_id)
                self._killed.notify_all()
                self.holding = ""
                return
            self._held.add(query_id)
            if self._killed.wait_for(lambda: query_id in self._kills, _HOLD):
                raise Refused("Code: 394. DB::Exception: (QUERY_WAS_CANCELLED)")

    def insert(self, found: re.Match[str], rows: bytes, how: dict[str, str]) -> None:
        """Insert rows of a format."""
        self._fail(found[0], rows)
        with tempfile.NamedTemporaryFile() as file, self._lock:
            file.write(rows)
            file.flush()
            self._use(how)
            table = found["table"]
            described = str(self._session.query(f"DESCRIBE TABLE {table}", "JSONEachRow"))
            types = {one["name"]: one["type"] for one in map(json.loads, described.splitlines())}
            names = (
                [name.strip('`" \n') for name in found["columns"].strip("()").split(",")]
                if found["columns"]
                else list(types)
            )
            columns = ", ".join(f"`{name}`" for name in names)
            structure = ", ".join(f"`{name}` {types[name]}" for name in names)
            structure = structure.replace("\\", "\\\\").replace("'", "\\'")
            self._session.query(
                f"INSERT INTO {table} ({columns}) SELECT * FROM"
                f" file('{file.name}', '{found['format']}', '{structure}')"
            )

    def _fail(self, sql: str, rows: bytes = b"") -> None:
        if self.failing and (self.failing in sql or self.failing.encode() in rows):
            raise Refused(self.error)

    def _use(self, how: dict[str, str]) -> None:
        database = how.get("database") or "default"
        if database != self._database:
            self._session.query(f"USE `{database}`")
            self._database = database

    def _set(self, how: dict[str, str]) -> None:
        """Set what differs from the query before: a statement takes as long as a small query."""
        wanted = {
            name: f"'{value}'"
            for name, value in how.items()
            if name not in _OF_TRANSPORT and not name.startswith("param_") and name != "readonly"
        }
        changed = dict.fromkeys(self._settings.keys() - wanted.keys(), "DEFAULT")
        changed |= {k: v for k, v in wanted.items() if self._settings.get(k) != v}
        if changed:
            self._settings |= changed  # whatever the engine takes of it
            self._session.query(f"SET {', '.join(f'{k} = {v}' for k, v in changed.items())}")
            self._settings = wanted


class Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 20
    disable_nagle_algorithm = True
    engine: Engine

    def log_message(self, format: str, *_: Any) -> None:  # noqa: A002 - its base has it
        """Stay silent."""

    def do_GET(self) -> None:
        """Answer a request without a body."""
        self._handle(b"")

    def do_POST(self) -> None:
        """Answer a request with a body."""
        if (self.headers.get("Transfer-Encoding") or "").lower() == "chunked":
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            body = b"".join(parts)
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        self._handle(body)

    def _handle(self, body: bytes) -> None:
        address = urlsplit(self.path)
        how = dict(parse_qsl(address.query, keep_blank_values=True))
        if address.path == "/ping":
            self._answer(200, b"Ok.\n")
        elif address.path == "/log":
            queries = self.engine.log[int(how["since"]) :]
            self._answer(200, "\n".join(map(json.dumps, queries)).encode())
        elif address.path == "/logged":
            self._answer(200, str(len(self.engine.log)).encode())
        elif address.path == "/fail":
            words, is_late = how.get("words", ""), "late" in how
            self.engine.failing, self.engine.late = ("", words) if is_late else (words, "")
            self.engine.error = how["error"]
            self._answer(200, b"")
        elif address.path == "/hold":
            self.engine.holding = how.get("words", "")
            self._answer(200, b"")
        else:
            self._query(how, body)

    def _query(self, how: dict[str, str], body: bytes) -> None:
        name, password = self._user(how)
        if name not in USERS or USERS[name][0] != password:
            self._fail(
                f"Code: 516. DB::Exception: {name}: Authentication failed (AUTHENTICATION_FAILED)"
            )
            return
        kind = self.headers.get("Content-Type") or ""
        if kind.startswith("multipart/form-data"):
            form: Any = email.message_from_bytes(
                b"Content-Type: " + kind.encode() + b"\r\n\r\n" + body
            )
            for part in form.get_payload():
                field = str(part.get_param("name", header="content-disposition"))
                how[field] = part.get_payload(decode=True).decode()
            body = b""
        if any(len(value.encode()) > _FIELD for value in how.values()):
            self._fail("Poco::Exception. Code: 1000, HTML Form Exception: Field value too long")
            return
        sql = how.get("query", "")
        began = time.perf_counter()
        entry: dict[str, Any] = {
            "user": name,
            "how": {k: v for k, v in how.items() if k != "query"},
        }
        self.engine.log.append(entry)
        try:
            found = _INSERT.match(sql) if body else None
            if found:
                entry["sql"] = sql
                self._check(name, how, sql)
                self.engine.insert(found, body, how)
                answer = Answer(b"", "", 0)
            else:
                sql = "\n".join(filter(None, (sql, body.decode())))
                entry["sql"] = sql
                self._check(name, how, sql)
                if USERS[name][1]:
                    # The engine itself is not read-only, and would list settings as free.
                    sql = sql.replace("value, readonly FROM", "value, 1 AS readonly FROM")
                form = self.headers.get("X-ClickHouse-Format") or how.get("default_format")
                values = {k[6:]: v for k, v in how.items() if k.startswith("param_")}
                answer = self.engine.ask(sql, form or "TabSeparated", values, how)
        except Exception as error:  # noqa: BLE001 - the engine's errors have no class of their own
            entry["error"] = str(error)
            self._fail(str(error))
            return
        finally:
            entry["seconds"] = time.perf_counter() - began
        entry["rows"], entry["processor"] = answer.rows, answer.seconds
        if self.engine.late and self.engine.late in sql:
            answer = answer._replace(body=answer.body + f"{self.engine.error}\n".encode())
        summary = {"read_rows": str(answer.rows), "result_rows": "0"}
        self._answer(
            200,
            answer.body,
            X_ClickHouse_Format=answer.form,
            X_ClickHouse_Query_Id=how.get("query_id", "none"),
            X_ClickHouse_Summary=json.dumps(summary),
        )

    def _user(self, how: dict[str, str]) -> tuple[str, str]:
        authorization = self.headers.get("Authorization") or ""
        if authorization.startswith("Basic "):
            name, _, password = base64.b64decode(authorization[6:]).decode().partition(":")
            return name, password
        name = self.headers.get("X-ClickHouse-User") or how.get("user", "default")
        return name, self.headers.get("X-ClickHouse-Key") or how.get("password", "")

    def _check(self, user: str, how: dict[str, str], sql: str) -> None:
        profile = USERS[user][1]
        settings = [
            name for name in how if name not in _OF_TRANSPORT and not name.startswith("param_")
        ]
        if profile == 1 and settings:
            raise Refused(
                f"Code: 164. DB::Exception: Cannot modify '{settings[0]}' setting in readonly mode."
                " (READONLY)"
            )
        if (profile or int(how.get("readonly") or 0)) and not _READS.match(sql):
            raise Refused(
                f"Code: 164. DB::Exception: {user}: Cannot execute query in readonly mode."
                " (READONLY)"
            )

    def _fail(self, text: str) -> None:
        found = re.search(r"Code: (\d+)", text)
        code = found[1] if found else "1002"
        status = 403 if code == "516" else 404 if code in _MISSING else 500
        self._answer(status, text.encode(), X_ClickHouse_Exception_Code=code)

    def _answer(self, status: int, body: bytes, **headers: str) -> None:
        try:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("X-ClickHouse-Timezone", "UTC")
            self.end_headers()
            self.wfile.write(body)
        except OSError:
            self.close_connection = True


class ClickHouseServer:
    """A server in a process of its own, for as long as a block takes.

    Args:
        folder: Where its data is.
        port: The port to listen on, or 0 for a free one.
    """

    def __init__(self, folder: Path, port: int = 0) -> None:
        self.folder = folder
        self.port = port
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> ClickHouseServer:
        if find_spec("chdb") is None:
            import pytest  # noqa: PLC0415 - the engine's process does without

            pytest.skip("chdb is not installed")
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "support.clickhouse_server", str(self.port), str(self.folder)],
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self.__exit__()
            raise AssertionError("the engine did not start")
        self.port = int(line)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        with self._process:
            self.kill()

    def kill(self) -> None:
        """End it at once. A new one with its folder and port has what it had."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def url(self, database: str = "default", user: str = "viewer:secret", **options: str) -> str:
        """Returns the address of a store."""
        query = f"?{urlencode(options)}" if options else ""
        return f"clickhouse://{user}@127.0.0.1:{self.port}/{database}{query}"

    def command(self, sql: str, database: str = "default") -> str:
        """Runs a query, and returns the answer's text."""
        query = urlencode({"database": database})
        return self._post(f"/?{query}", sql)

    def rows(self, sql: str, database: str = "default") -> list[list[Any]]:
        """Runs a query, and returns its rows."""
        told = self.command(f"{sql} FORMAT JSONCompactEachRow", database)
        return [json.loads(line) for line in told.splitlines()]

    def log(self, since: int) -> list[dict[str, Any]]:
        """Returns the queries so far, without the first of them."""
        return [json.loads(line) for line in self._post(f"/log?since={since}", "").splitlines()]

    def logged(self) -> int:
        """Returns how many queries there were so far."""
        return int(self._post("/logged", ""))

    def fail(self, words: str = "", error: str = TOO_MUCH, *, is_late: bool = False) -> None:
        """Lets queries and inserts with some words fail from now on, or none.

        Late are errors at the end of an answer that began well.
        """
        asked = {"words": words, "error": error, **({"late": "1"} if is_late else {})}
        self._post(f"/fail?{urlencode(asked)}", "")

    def hold(self, words: str = "") -> None:
        """Lets queries with some words wait until they are killed, or none."""
        self._post(f"/hold?{urlencode({'words': words})}", "")

    def _post(self, path: str, body: str) -> str:
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", body.encode())
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=600) as answer:
                return str(answer.read().decode())
        except urllib.error.HTTPError as error:
            with error:
                raise RuntimeError(error.read().decode()) from None


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Leave a client that has gone."""


if __name__ == "__main__":
    Handler.engine = Engine(sys.argv[2])
    server = _Server(("127.0.0.1", int(sys.argv[1])), Handler)
    sys.stdout.write(f"{server.server_port}\n")
    sys.stdout.flush()
    server.serve_forever()
