"""Whether an OTLP endpoint can be reached, and what is wrong if not: asked by sending no spans.

An export without spans is valid, and a collector answers it as it would any other. Each question
ends within seconds. What a server answers is not shown, since it may repeat credentials.
"""

from __future__ import annotations

import errno
import http.client
import io
import os
import re
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from orq_otel.foundations import codes
from orq_otel.foundations.version import __version__
from orq_otel.setup.destination import (
    GRPC,
    HTTP,
    has_credential_provider,
    variable,
    without_secrets,
)
from orq_otel.setup.report import Finding

#: Seconds for one question.
_TIMEOUT: Final = 3.0
#: Seconds by which clocks may differ. A Date header has whole seconds.
_APART: Final = 10.0
#: What a connection of HTTP/2 begins with, and a frame of settings without any.
_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
_SETTINGS: Final = 4
#: Targets of gRPC that are no URL: https://grpc.github.io/grpc/core/md_doc_naming.html.
_OF_GRPC_ALONE: Final = re.compile(r"(unix|unix-abstract|dns|ipv4|ipv6|vsock|xds):", re.IGNORECASE)
#: The variables that name files with certificates and keys.
_FILES: Final = tuple(
    f"OTEL_EXPORTER_OTLP_{signal}{what}"
    for what in ("CERTIFICATE", "CLIENT_KEY", "CLIENT_CERTIFICATE")
    for signal in ("TRACES_", "")
)
_EXPORT: Final = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
#: Headers of exporters that are not sent along: the body here is another one.
_OWN: Final = ("content-type", "content-encoding", "content-length", "user-agent")
_USE_HTTPS: Final = "this port speaks TLS: write https://."

#: What servers answer that have nothing at a path, or no such method there.
_NOT_HERE: Final = (
    HTTPStatus.NOT_FOUND,
    HTTPStatus.METHOD_NOT_ALLOWED,
    HTTPStatus.NOT_IMPLEMENTED,
)
_OF_GRPC: Final = {
    "UNAUTHENTICATED": codes.REFUSED,
    "PERMISSION_DENIED": codes.REFUSED,
    "UNIMPLEMENTED": codes.NOT_FOUND,
    "NOT_FOUND": codes.NOT_FOUND,
    "DEADLINE_EXCEEDED": codes.NO_ANSWER,
}


class Address(NamedTuple):
    """Where an endpoint is, and how it is reached."""

    host: str
    port: int
    is_tls: bool
    proxy: tuple[str, int] | None = None

    @property
    def target(self) -> str:
        """Host and port, as in a URL."""
        return f"{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"


def reach(protocol: str, url: str, headers: Mapping[str, str]) -> list[Finding]:
    """What is wrong with an endpoint for traces, by asking it whether it takes them.

    The URL is for HTTP with its path, for gRPC with or without a scheme. Headers are what an
    exporter sends along. They are sent, and not shown.
    """
    shown = without_secrets(url)
    if protocol == GRPC and _OF_GRPC_ALONE.match(url):
        findings = _of_export(
            url, headers, is_tls=not _is_insecure(), unavailable=codes.NOTHING_LISTENS
        )
        return [Finding(one.code, f"{shown} ({protocol}): {one.details}") for one in findings]
    try:
        parts = urlsplit(url if "//" in url else f"//{url}")
        host, port = parts.hostname, parts.port
    except ValueError:  # the port is no number, say
        return [Finding(codes.BAD_ENDPOINT, shown)]
    if host is None or (protocol == HTTP and parts.scheme not in ("http", "https")):
        return [Finding(codes.BAD_ENDPOINT, shown)]
    is_tls = parts.scheme == "https" or (not parts.scheme and not _is_insecure())
    unreadable = [name for name in _FILES if not _is_readable(os.environ.get(name))]
    if is_tls and unreadable:
        return [Finding(codes.BAD_TLS, f"The file of {unreadable[0]} cannot be read.")]
    try:
        proxy = _proxy_for(url, host) if protocol == HTTP else None
    except ValueError:
        return [Finding(codes.PROXY, f"{shown} ({protocol}): the proxy's own URL cannot be used.")]
    try:
        if protocol == HTTP:
            address = Address(host, port or (443 if is_tls else 80), is_tls, proxy)
            findings = _over_http(address, url, headers)
        else:
            findings = _over_grpc(Address(host, port or (443 if is_tls else 4317), is_tls), headers)
    except (ValueError, http.client.InvalidURL):  # its words may hold a header
        findings = [Finding(codes.BAD_ENDPOINT, "the URL or a header has what cannot be sent.")]
    return [
        Finding(one.code, f"{shown} ({protocol}): {one.details}", one.is_problem)
        for one in findings
    ]


def _is_insecure() -> bool:
    """Whether gRPC goes without TLS to an address that has no scheme. Exporters take TLS there."""
    return (variable("INSECURE") or "").strip().lower() == "true"


def _is_readable(file: str | None) -> bool:
    return not file or (Path(file).is_file() and os.access(file, os.R_OK))


def speaks_http2(host: str, port: int) -> bool:
    """Whether a server on a port, without TLS, speaks HTTP/2 from the start, as gRPC's do."""
    try:
        with socket.create_connection((host, port), _TIMEOUT) as connection:
            connection.sendall(_PREFACE)
            connection.settimeout(_TIMEOUT)
            answer = connection.recv(9)
    except OSError:
        return False
    return len(answer) > 3 and answer[3] == _SETTINGS and not answer.startswith(b"HTTP")  # noqa: PLR2004 - a frame's type


def _over_http(address: Address, url: str, headers: Mapping[str, str]) -> list[Finding]:
    asked_at = time.time()
    try:
        status, answer, about = _send(address, url, headers)
    except ssl.SSLError as error:
        return [Finding(codes.BAD_TLS, f"{error.reason or type(error).__name__}.")]
    except TimeoutError:
        return [Finding(codes.NO_ANSWER, f"no answer within {_TIMEOUT:.0f} seconds.")]
    except OSError as error:
        if address.proxy is not None:
            return [Finding(codes.PROXY, f"{_reason(error)}, by way of a proxy.")]
        return _not_reached(error, address)
    except http.client.InvalidURL:
        raise
    except http.client.HTTPException:
        return _no_http(address)
    return [*_clock(about, asked_at), *_judge(status, answer, about, address)]


def _send(
    address: Address, url: str, headers: Mapping[str, str], method: str = "POST"
) -> tuple[int, bytes, Mapping[str, str]]:
    """Send an export without spans. Returns the status, the beginning of the body, and headers."""
    parts = urlsplit(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    at = address.proxy or (address.host, address.port)
    connection: http.client.HTTPConnection
    if address.is_tls:
        connection = http.client.HTTPSConnection(*at, timeout=_TIMEOUT, context=_trust())
        if address.proxy is not None:
            connection.set_tunnel(address.host, address.port)
    else:
        connection = http.client.HTTPConnection(*at, timeout=_TIMEOUT)
        if address.proxy is not None:
            target = f"http://{address.target}{target}"
    connection.response_class = _Answer
    with closing(connection):
        sent = {name: value for name, value in headers.items() if name.lower() not in _OWN}
        sent |= {"content-type": "application/x-protobuf", "user-agent": f"orq-otel/{__version__}"}
        connection.request(method, target, b"", sent)
        answer = connection.getresponse()
        about = {name.lower(): value for name, value in answer.getheaders()}
        return answer.status, answer.read1(65536), about  # the rest may never come


class _Answer(http.client.HTTPResponse):
    """An answer that has to come within seconds as a whole, and not only each piece of it."""

    def __init__(self, sock: socket.socket, /, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp = io.BufferedReader(_UntilDeadline(self.fp.detach(), sock))


class _UntilDeadline(io.RawIOBase):
    """Reads what a socket's own reader reads, until a deadline."""

    def __init__(self, reader: io.RawIOBase, connection: socket.socket) -> None:
        self._reader = reader
        self._connection = connection
        self._deadline = time.monotonic() + _TIMEOUT

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._connection.settimeout(left)
        return self._reader.readinto(buffer)

    def close(self) -> None:
        self._reader.close()
        super().close()


def _trust() -> ssl.SSLContext:
    """Trust what exporters trust: the certificate of the variable, or else certifi's."""
    file = variable("CERTIFICATE")
    if file is None and find_spec("certifi") is not None:
        import certifi  # noqa: PLC0415 - comes with the exporter

        file = certifi.where()
    context = ssl.create_default_context(cafile=file)
    own = variable("CLIENT_CERTIFICATE")
    if own is not None:
        context.load_cert_chain(own, variable("CLIENT_KEY"))
    return context


def _proxy_for(url: str, host: str) -> tuple[str, int] | None:
    """The host and port of the proxy that the environment names for a URL."""
    if proxy_bypass(host):
        return None
    proxies = getproxies()
    address = proxies.get(urlsplit(url).scheme) or proxies.get("all")
    if not address:
        return None
    parts = urlsplit(address if "//" in address else f"//{address}")
    return (parts.hostname, parts.port or 80) if parts.hostname else None


def _reason(error: OSError) -> str:
    """What went wrong, without any text of others."""
    if isinstance(error, socket.gaierror):
        return "the host's name is not known"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    return errno.errorcode.get(error.errno or 0, type(error).__name__)


def _not_reached(error: OSError, address: Address) -> list[Finding]:
    unknown = isinstance(error, (socket.gaierror, ConnectionRefusedError))
    if unknown or error.errno in (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EADDRNOTAVAIL):
        return [Finding(codes.NOTHING_LISTENS, f"{_reason(error)}.")]
    return _no_http(address)


def _no_http(address: Address) -> list[Finding]:
    """What a server is that does not answer as HTTP/1 does."""
    if not address.is_tls and speaks_http2(address.host, address.port):
        return [Finding(codes.WRONG_PROTOCOL, "this is a port for gRPC.")]
    if not address.is_tls and _speaks_tls(address):
        return [Finding(codes.BAD_TLS, _USE_HTTPS)]
    return [Finding(codes.NO_OTLP, "what listens there does not speak HTTP.")]


def _speaks_tls(address: Address) -> bool:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # only to see whether it speaks TLS; nothing is sent
    try:
        with (
            socket.create_connection((address.host, address.port), _TIMEOUT) as plain,
            context.wrap_socket(plain),
        ):
            return True
    except OSError:
        return False


def _clock(about: Mapping[str, str], asked_at: float) -> Iterator[Finding]:
    """Compare the Date of an answer, which was made between `asked_at` and now."""
    try:
        there = parsedate_to_datetime(about["date"]).timestamp()
    except (KeyError, ValueError, TypeError):
        return
    if asked_at - _APART <= there <= time.time() + _APART:
        return
    word = "ahead of" if there > asked_at else "behind"
    seconds = abs(there - asked_at)
    yield Finding(codes.CLOCKS_APART, f"its clock is {seconds:.0f} seconds {word} this machine's.")


def _judge(
    status: int, answer: bytes, about: Mapping[str, str], address: Address
) -> Iterator[Finding]:
    named = f"it answers with HTTP {status}."
    if status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        yield Finding(codes.PROXY, "the proxy wants credentials.")
    elif status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        # A session of the user's may know credentials that are not among the headers.
        yield Finding(codes.REFUSED, named, is_problem=not has_credential_provider())
    elif address.proxy is not None and status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        yield Finding(codes.PROXY, named)
    elif status == HTTPStatus.BAD_REQUEST and not address.is_tls and _speaks_tls(address):
        yield Finding(codes.BAD_TLS, _USE_HTTPS)
    elif status in _NOT_HERE:
        yield Finding(codes.VIEWERS_PAGE if _is_viewers_page(address) else codes.NOT_FOUND, named)
    elif HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        yield Finding(codes.NOT_FOUND, f"it redirects to somewhere else, with HTTP {status}.")
    elif status >= HTTPStatus.BAD_REQUEST:
        yield Finding(codes.NO_OTLP, named)
    elif "html" in about.get("content-type", ""):
        is_viewers = b"orq-otel</title>" in answer
        yield Finding(
            codes.VIEWERS_PAGE if is_viewers else codes.NO_OTLP, "it answers with a web page."
        )
    elif "via" in about or address.proxy is not None:
        yield Finding(codes.PROXY, "the answer came by way of a proxy.", is_problem=False)


def _is_viewers_page(address: Address) -> bool:
    try:
        url = f"{'https' if address.is_tls else 'http'}://{address.target}/"
        _, answer, _ = _send(address, url, {}, "GET")
    except (OSError, http.client.HTTPException):
        return False
    return b"orq-otel</title>" in answer


def _over_grpc(address: Address, headers: Mapping[str, str]) -> list[Finding]:
    findings = _is_for_grpc(address)
    if findings:
        return findings
    return _of_export(address.target, headers, is_tls=address.is_tls)


def _of_export(
    target: str, headers: Mapping[str, str], *, is_tls: bool, unavailable: str = codes.NO_OTLP
) -> list[Finding]:
    """What is wrong with a target of gRPC, by sending an export without spans.

    `unavailable` is the code of a finding for a target that is not available.
    """
    try:
        code = _export_over_grpc(target, headers, is_tls=is_tls)
    except ImportError:
        return [Finding(codes.NOT_INSTALLED, "grpcio is missing.")]
    if code is None:
        return []
    if is_tls and code == "UNAVAILABLE":
        return [
            Finding(codes.BAD_TLS, f"it answers with {code} to TLS, which it gets without http://.")
        ]
    kind = unavailable if code == "UNAVAILABLE" else _OF_GRPC.get(code, codes.NO_OTLP)
    return [Finding(kind, f"it answers with {code}.")]


def _is_for_grpc(address: Address) -> list[Finding]:
    """What is wrong with a port to which gRPC is to be sent, if that can be seen from outside."""
    try:
        with socket.create_connection((address.host, address.port), _TIMEOUT):
            pass
    except TimeoutError:
        return [Finding(codes.NO_ANSWER, f"no answer within {_TIMEOUT:.0f} seconds.")]
    except OSError as error:
        return [Finding(codes.NOTHING_LISTENS, f"{_reason(error)}.")]
    if address.is_tls or speaks_http2(address.host, address.port):
        return []
    if _speaks_tls(address):
        return [Finding(codes.BAD_TLS, _USE_HTTPS)]
    if _is_viewers_page(address):
        return [Finding(codes.VIEWERS_PAGE, "it is a web page.")]
    return [Finding(codes.WRONG_PROTOCOL, "this is no port for gRPC.")]


def _export_over_grpc(target: str, headers: Mapping[str, str], *, is_tls: bool) -> str | None:
    """Send an export without spans. Returns the name of an error's status, or None."""
    import grpc  # noqa: PLC0415 - comes with the exporter for gRPC

    if is_tls:
        files = [variable(what) for what in ("CERTIFICATE", "CLIENT_KEY", "CLIENT_CERTIFICATE")]
        read = [None if file is None else Path(file).read_bytes() for file in files]
        channel = grpc.secure_channel(target, grpc.ssl_channel_credentials(*read))
    else:
        channel = grpc.insecure_channel(target)
    with closing(channel):
        try:
            named = {name.lower(): value for name, value in headers.items()}
            metadata = tuple((name, value) for name, value in named.items() if name not in _OWN)
            channel.unary_unary(_EXPORT)(b"", timeout=_TIMEOUT, metadata=metadata)
        except grpc.RpcError as error:
            return str(error.code().name)
    return None
