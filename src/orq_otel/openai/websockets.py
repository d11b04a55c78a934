"""Websockets of the client: a proxy through which every message passes once.

Clients have many ways to receive (`recv`, `recv_bytes`, iteration, handlers, sessions with lanes)
and to send, and newer ones have more. All of them end in `send`, `recv` and `close` of the
websocket, a connection of the `websockets` package. A proxy of that sees everything, while the
caller keeps the client's own connection. The websocket is opened when the connection's manager is
entered, and newer clients open another one when it breaks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeAlias

from opentelemetry.context import attach

from orq_otel.foundations.guard import report
from orq_otel.foundations.patching import Patch, Seam, around
from orq_otel.foundations.reaches import replace_websocket, websocket_of
from orq_otel.genai.instrumentor import ClientInstrumentor
from orq_otel.genai.streams import Proxy
from orq_otel.genai.wrapping import leave, traced_context
from orq_otel.openai.sessions import LiveSession, RealtimeSession, ResponsesSession, Session

#: From a manager to the session of the connection that it makes, or None to pass it through.
_Begin: TypeAlias = Callable[[Any], "Session | None"]

#: Modules of the client, the managers in them, what their connections carry, and the versions that
#: brought the manager and its `_connect_ws`, by which newer clients connect once more.
_MANAGERS: tuple[tuple[str, str, type[Session], str, str], ...] = (
    ("realtime.realtime", "RealtimeConnectionManager", RealtimeSession, "1.103", "2.32"),
    (
        "realtime.translations.translations",
        "TranslationsConnectionManager",
        Session,
        "3.34",
        "3.34",
    ),
    ("beta.realtime.realtime", "RealtimeConnectionManager", RealtimeSession, "1.58", ""),
    ("responses.responses", "ResponsesConnectionManager", ResponsesSession, "2.22", "2.32"),
    ("beta.responses.responses", "ResponsesConnectionManager", ResponsesSession, "2.45", "2.45"),
    ("live.live", "LiveConnectionManager", LiveSession, "3.12", "3.12"),
    ("live.sideband", "SidebandConnectionManager", LiveSession, "3.12", "3.12"),
    ("live.forks", "ForksConnectionManager", LiveSession, "3.12", "3.12"),
)

#: Attribute of a manager that holds the session, for websockets that it opens later.
_SESSION = "_orq_otel_session"


def patches(instrumentor: ClientInstrumentor) -> Sequence[Patch]:
    """What to wrap in each of the client's modules that have websockets."""
    found = []
    for module, name, kind, since, reconnecting_since in _MANAGERS:
        has, reconnects = _since(since), _since(reconnecting_since)
        sync = around(partial(_enter, partial(_begin, instrumentor, kind, f"_{name}__")))
        asynchronous = around(
            partial(_async_enter, partial(_begin, instrumentor, kind, f"_Async{name}__"))
        )
        seams = (
            Seam(name, "__enter__", sync, has),
            Seam(name, "enter", sync, has),
            Seam(name, "_connect_ws", around(_connect), reconnects),
            Seam(f"Async{name}", "__aenter__", asynchronous, has),
            Seam(f"Async{name}", "enter", asynchronous, has),
            Seam(f"Async{name}", "_connect_ws", around(_async_connect), reconnects),
        )
        found.append(Patch(f"openai.resources.{module}", seams))
    return found


def _since(version: str) -> str:
    return f"openai >= {version}, < 4" if version else ""


def _begin(
    instrumentor: ClientInstrumentor, kind: type[Session], prefix: str, manager: Any
) -> Session | None:
    """Start the session of a manager, whose private attributes are the arguments it was made with.

    `prefix` is what Python puts before their names: "_Manager__".
    """
    try:
        vars(manager).pop(_SESSION, None)
        telemetry = instrumentor.telemetry
        if telemetry is None or traced_context() is None:
            return None
        parameters = {
            name: getattr(manager, prefix + name, None)
            for name in ("client", "extra_headers", "extra_query", "model", "session_id")
        }
        session = kind(instrumentor, parameters)
        if not session.start(telemetry):
            return None
        vars(manager)[_SESSION] = session
    except Exception as error:  # noqa: BLE001 - the connection has to be made
        report("starting the span of a websocket", error)
        return None
    return session


def _enter(
    begin: _Begin,
    wrapped: Callable[..., Any],
    manager: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    session = begin(manager)
    if session is None:
        return wrapped(*args, **kwargs)
    token = attach(session.context)
    try:
        connection = wrapped(*args, **kwargs)
    except BaseException as error:
        session.end(error)
        raise
    finally:
        leave(token)
    _opened(session, connection, Websocket)
    return connection


async def _async_enter(
    begin: _Begin,
    wrapped: Callable[..., Any],
    manager: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    session = begin(manager)
    if session is None:
        return await wrapped(*args, **kwargs)
    token = attach(session.context)
    try:
        connection = await wrapped(*args, **kwargs)
    except BaseException as error:
        session.end(error)
        raise
    finally:
        leave(token)
    _opened(session, connection, AsyncWebsocket)
    return connection


def _opened(session: Session, connection: Any, proxy: type[_Websocket]) -> None:
    """Put a proxy into the connection, unless its manager has: older ones have no `_connect_ws`."""
    try:
        websocket = websocket_of(connection)
        if not isinstance(websocket, _Websocket):
            replace_websocket(connection, proxy(websocket, session))
        session.opened(connection)
    except Exception as error:  # noqa: BLE001 - the caller gets the connection all the same
        report("handing out a connection over a websocket", error)
        session.end()


def _connect(
    wrapped: Callable[..., Any], manager: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    return _watched(manager, wrapped(*args, **kwargs), Websocket)


async def _async_connect(
    wrapped: Callable[..., Any], manager: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    return _watched(manager, await wrapped(*args, **kwargs), AsyncWebsocket)


def _watched(manager: Any, websocket: Any, proxy: type[_Websocket]) -> Any:
    try:
        session: Session | None = vars(manager).get(_SESSION)
        if session is None:
            return websocket
        session.reopened()
        return proxy(websocket, session)
    except Exception as error:  # noqa: BLE001 - the client needs its websocket
        report("watching a websocket", error)
        return websocket


class _Websocket(Proxy):
    """What both kinds share.

    Special methods of a websocket are its class's own, called on the proxy: what they receive and
    close passes through the proxy too.
    """

    _self_session: Session

    def __init__(self, websocket: Any, session: Session) -> None:
        super().__init__(websocket)
        self._self_session = session


class Websocket(_Websocket):
    """A synchronous websocket."""

    def __iter__(self) -> Any:
        return type(self.__wrapped__).__iter__(self)

    def __enter__(self) -> Any:
        return type(self.__wrapped__).__enter__(self)

    def __exit__(self, *exc_info: object) -> Any:
        return type(self.__wrapped__).__exit__(self, *exc_info)

    def send(self, /, message: Any, *args: Any, **kwargs: Any) -> Any:
        """Send a message, after the session has read it."""
        session = self._self_session
        response = session.sending(message)
        try:
            return self.__wrapped__.send(message, *args, **kwargs)
        except BaseException as error:
            session.not_sent(response, error)
            raise

    def recv(self, /, *args: Any, **kwargs: Any) -> Any:
        """Receive a message, and let the session read it. A timeout does not end the session."""
        try:
            message = self.__wrapped__.recv(*args, **kwargs)
        except BaseException as error:
            self._self_session.failed(error)
            raise
        self._self_session.received(message)
        return message

    def close(self, /, *args: Any, **kwargs: Any) -> Any:
        """Close the websocket, and end the session if it is over."""
        self._self_session.closing()
        try:
            return self.__wrapped__.close(*args, **kwargs)
        finally:
            self._self_session.closed()


class AsyncWebsocket(_Websocket):
    """An asynchronous websocket."""

    def __aiter__(self) -> Any:
        return type(self.__wrapped__).__aiter__(self)

    async def __aenter__(self) -> Any:
        return await type(self.__wrapped__).__aenter__(self)

    async def __aexit__(self, *exc_info: object) -> Any:
        return await type(self.__wrapped__).__aexit__(self, *exc_info)

    async def send(self, /, message: Any, *args: Any, **kwargs: Any) -> Any:
        """Send a message, after the session has read it."""
        session = self._self_session
        response = session.sending(message)
        try:
            return await self.__wrapped__.send(message, *args, **kwargs)
        except BaseException as error:
            session.not_sent(response, error)
            raise

    async def recv(self, /, *args: Any, **kwargs: Any) -> Any:
        """Receive a message, and let the session read it. A timeout does not end the session."""
        try:
            message = await self.__wrapped__.recv(*args, **kwargs)
        except BaseException as error:
            self._self_session.failed(error)
            raise
        self._self_session.received(message)
        return message

    async def close(self, /, *args: Any, **kwargs: Any) -> Any:
        """Close the websocket, and end the session if it is over."""
        self._self_session.closing()
        try:
            return await self.__wrapped__.close(*args, **kwargs)
        finally:
            self._self_session.closed()
