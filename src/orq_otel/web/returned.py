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
from orq_otel.threads.handlers import Keep, Keeper, Lender, Tasks, know, later

#: The attributes that run later, by the class of a framework. Of several, the most derived counts.
#:
#: - aiohttp: the body of `Response(body=generator())` is a payload, with the iterator in it.
#: - Bottle, and Pyramid with WebOb: the body.
#: - Django: `_iterator` is behind `streaming_content`; closers include those of the content.
#: - Flask and others on Werkzeug: the body, and what `call_on_close()` was given.
#: - Litestar: the content of `Stream` and `ServerSentEvent`, which may be a function.
#: - Quart: the body in its wrapper.
#: - Sanic: the function of `file_stream()`. Other streams are sent inside the handler.
#: - Starlette and FastAPI, and sse-starlette with `data_sender_callable`.
_RESPONSES: Final[Mapping[str, tuple[str, ...]]] = {
    "aiohttp.web_response.Response": ("_body._iter",),
    "bottle.BaseResponse": ("body",),
    "django.http.response.StreamingHttpResponse": ("_iterator", "_resource_closers"),
    "litestar.response.base.Response": ("iterator", "background"),
    "litestar.response.base.ASGIResponse": ("iterator", "background"),
    "quart.wrappers.response.Response": ("response.iter",),
    "sanic.response.types.ResponseStream": ("streaming_fn",),
    "starlette.responses.Response": ("body_iterator", "background", "data_sender_callable"),
    "webob.response.Response": ("_app_iter",),
    "werkzeug.wrappers.response.Response": ("response", "_on_close"),
}

#: The same for responses that a handler gets as an argument: Falcon's, with its stream, its events
#: and what `schedule()` was given, and FastAPI's.
_ARGUMENTS: Final[Mapping[str, tuple[str, ...]]] = {
    "falcon.response.Response": ("stream", "sse", "_registered_callbacks"),
    "starlette.responses.Response": ("background",),
}


#: Responses that Django renders when the view has returned, and FastAPI's container of tasks.
_RENDERED: Final = "django.template.response.SimpleTemplateResponse"
_TASKS: Final = "starlette.background.BackgroundTasks"


def _find_keeper(kind: type) -> Keeper | None:
    names = _names(kind)
    if _RENDERED in names:
        return _keep_rendering
    places = next((_RESPONSES[name] for name in names if name in _RESPONSES), ())
    return _keeper_of(places) if places else None


def _find_lender(kind: type) -> Lender | None:
    names = _names(kind)
    if _TASKS in names:
        return _lend_tasks
    places = next((_ARGUMENTS[name] for name in names if name in _ARGUMENTS), ())
    if not places:
        return None
    keeper = _keeper_of(places)
    return lambda value: lambda frame: keeper(value, frame)


def _names(kind: type) -> list[str]:
    """The names of a class and those that it inherits from, the class itself first."""
    return [f"{base.__module__}.{base.__qualname__}" for base in kind.__mro__]


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
    if not before:  # else they may be running, one after the other
        tasks.tasks = Tasks()

    def keep(frame: Frame) -> None:
        tasks.tasks[before:] = later(tasks.tasks[before:], frame)

    return keep


know(_find_keeper, _find_lender)
