"""Where the responses and tasks of web frameworks keep what runs after a handler has returned.

A decorated handler's thread holds for these, too. Frameworks are recognised by the names of their
classes, so none is imported. Names that begin with an underscore are private parts of a framework.
Where one is gone, the framework's responses are left as they are.

Standard library only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from orq_otel.threads.frames import Frame
from orq_otel.threads.handlers import Keep, Keeper, Lender, know, later

#: The attributes that run later, by a framework's package and the name of its class.
#:
#: - aiohttp: the body of `Response(body=generator())` is a payload, with the iterator in it.
#: - BlackSheep: the content is made by a function that is an asynchronous generator.
#: - Django: `_iterator` is behind `streaming_content`; closers include those of the content.
#: - Flask and others on Werkzeug: the body, and what `call_on_close()` was given.
#: - Litestar: the content of `Stream` and `ServerSentEvent`, which may be a function.
#: - Quart: the body in its wrapper.
#: - Sanic: the function of `file_stream()`. Other streams are sent inside the handler.
#: - Starlette and FastAPI, and sse-starlette with `data_sender_callable`.
_RESPONSES: Final[Mapping[tuple[str, str], tuple[str, ...]]] = {
    ("aiohttp", "Response"): ("_body._iter",),
    ("blacksheep", "Response"): ("content.generator",),
    ("bottle", "BaseResponse"): ("body",),
    ("django", "StreamingHttpResponse"): ("_iterator", "_resource_closers"),
    ("litestar", "Response"): ("iterator", "background"),
    ("litestar", "ASGIResponse"): ("iterator", "background"),
    ("quart", "Response"): ("response.iter",),
    ("sanic", "ResponseStream"): ("streaming_fn",),
    ("starlette", "Response"): ("body_iterator", "background", "data_sender_callable"),
    ("webob", "Response"): ("_app_iter",),
    ("werkzeug", "Response"): ("response", "_on_close"),
}

#: The same for responses that a handler gets as an argument.
_ARGUMENTS: Final[Mapping[tuple[str, str], tuple[str, ...]]] = {
    ("falcon", "Response"): ("stream", "_registered_callbacks"),
    ("starlette", "Response"): ("background",),
}


def _find_keeper(kind: type) -> Keeper | None:
    if _names(kind).intersection([("django", "SimpleTemplateResponse")]):
        return _keep_rendering
    places = _places(kind, _RESPONSES)
    return _keeper_of(places) if places else None


def _find_lender(kind: type) -> Lender | None:
    if ("starlette", "BackgroundTasks") in _names(kind):
        return _lend_tasks
    places = _places(kind, _ARGUMENTS)
    if not places:
        return None
    keeper = _keeper_of(places)
    return lambda value: lambda frame: keeper(value, frame)


def _names(kind: type) -> set[tuple[str, str]]:
    """The package and the name of each class that `kind` inherits from."""
    return {(base.__module__.partition(".")[0], base.__name__) for base in kind.__mro__}


def _places(kind: type, table: Mapping[tuple[str, str], tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(place for name in sorted(_names(kind)) for place in table.get(name, ()))


def _keeper_of(places: tuple[str, ...]) -> Keeper:
    paths = [place.rpartition(".") for place in places]

    def keep(result: Any, frame: Frame) -> Any:
        for owner_name, _, name in paths:
            owner = getattr(result, owner_name, None) if owner_name else result
            value = getattr(owner, name, None)
            kept = later(value, frame)
            if kept is not value:
                setattr(owner, name, kept)
        return result

    return keep


def _keep_rendering(result: Any, frame: Frame) -> Any:
    """Let Django render a template in the thread, which it does when the view has returned."""
    render = result.render

    def render_once() -> Any:
        result.__dict__.pop("render", None)  # a response that is rendered may be pickled
        return render()

    if not result.is_rendered:
        result.render = later(render_once, frame)
    return result


def _lend_tasks(tasks: Any) -> Keep:
    """Keep the thread for the tasks that a handler adds to FastAPI's `BackgroundTasks`."""
    before = len(tasks.tasks)

    def keep(frame: Frame) -> None:
        tasks.tasks[before:] = later(tasks.tasks[before:], frame)

    return keep


know(_find_keeper, _find_lender)
