"""Ids, tags, users and metadata that a decorator computes for each call, from its arguments."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from string import Formatter
from typing import Any, Final, TypeAlias

from orq_otel.foundations.guard import is_signals
from orq_otel.threads.frames import as_tags
from orq_otel.threads.misuse import loggable, wrong_type, wrong_value

#: Gets the positional and the keyword arguments of one call. Returns an id or a tag.
Resolver: TypeAlias = Callable[[tuple[Any, ...], dict[str, Any]], Any]

#: Gets the same, and a list to which it adds an error for each tag that fails. Returns the others.
TagsResolver: TypeAlias = Callable[[tuple[Any, ...], dict[str, Any], list[Exception]], Any]

#: The same for the user and the metadata.
DetailResolver: TypeAlias = Callable[
    [tuple[Any, ...], dict[str, Any], list[Exception]], tuple[Any, Any]
]


#: Stands for a user or a value of metadata that could not be computed.
_FAILED: Final = object()


class WrongCallError(TypeError):
    """The arguments do not fit the handler. Calling it raises an error, as its caller expects."""


def resolvers(handler: Callable[..., Any], id: Any, tags: Any) -> tuple[Resolver, TagsResolver]:  # noqa: A002
    """Make the functions that compute the id and the tags of each call to `handler`.

    Raises:
        TypeError: A template names an argument that the handler does not take, or a callable is
            asynchronous.
        ValueError: A template has unbalanced braces.
    """
    get_id = _Template(handler, id, is_id=True) if is_template(id) else _resolver(handler, id)
    return get_id, _tags_resolver(handler, tags)


def detail_resolver(handler: Callable[..., Any], user: Any, metadata: Any) -> DetailResolver | None:
    """Make the function that computes the user and the metadata of each call, or None without them.

    Raises the same as `resolvers`.
    """
    if user is None and not metadata:
        return None
    get_user = _resolver(handler, user)
    get_metadata = _resolver(handler, metadata) if callable(metadata) else None
    values = {} if callable(metadata) or metadata is None else metadata
    get_values = [(key, _resolver(handler, value)) for key, value in values.items()]

    def resolve(
        args: tuple[Any, ...], kwargs: dict[str, Any], wrong: list[Exception]
    ) -> tuple[Any, Any]:
        def attempt(get: Resolver, doing: str) -> Any:
            try:
                return get(args, kwargs)
            except WrongCallError:
                raise
            except Exception as error:  # noqa: BLE001 - the user's function may raise anything
                wrong.append(loggable(error, doing))
                return _FAILED

        found_user = attempt(get_user, "working out the user")
        if get_metadata is not None:
            found = attempt(get_metadata, "working out the metadata")
        else:
            all_found = [(key, attempt(get, "working out metadata")) for key, get in get_values]
            found = {key: value for key, value in all_found if value is not _FAILED}
        return _or_none(found_user), _or_none(found)

    return resolve


def _or_none(value: Any) -> Any:
    return None if value is _FAILED else value


def is_template(value: object) -> bool:
    """Whether a value of a decorator is filled in with the arguments of each call."""
    return isinstance(value, str) and "{" in value


def is_asynchronous(function: object) -> bool:
    """Whether a call of a function returns a coroutine."""
    call = None if isinstance(function, type) else getattr(function, "__call__", None)  # noqa: B004
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)


def _resolver(handler: Callable[..., Any], value: Any) -> Resolver:
    if is_template(value):
        return _Template(handler, value)
    if is_asynchronous(value):
        raise wrong_type(
            "@thread takes functions for the id, tags, user and metadata that are not "
            "asynchronous. Await yours in the handler, and write async with thread(...) there."
        )
    if callable(value):
        return _calling(handler, value)
    return lambda _args, _kwargs: value


def _tags_resolver(handler: Callable[..., Any], tags: Any) -> TagsResolver:
    parts = (tags,) if callable(tags) else as_tags(tags)
    if not any(callable(part) or is_template(part) for part in parts):
        return lambda _args, _kwargs, _wrong: parts
    resolve_parts = [_resolver(handler, part) for part in parts]

    def resolve(args: tuple[Any, ...], kwargs: dict[str, Any], wrong: list[Exception]) -> Any:
        found = []
        for resolve_part in resolve_parts:
            try:
                found.append(resolve_part(args, kwargs))
            except WrongCallError:  # noqa: PERF203 - one tag may fail without the others
                raise
            except Exception as error:  # noqa: BLE001 - the user's function may raise anything
                wrong.append(loggable(error, "working out a tag"))
        return found[0] if found and callable(tags) else tuple(found)

    return resolve


def _calling(handler: Callable[..., Any], value: Callable[..., Any]) -> Resolver:
    def resolve(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        try:
            return value(*args, **kwargs)
        except TypeError as error:
            if _fits(handler, args, kwargs):
                raise
            raise WrongCallError from error

    return resolve


def _fits(handler: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether a call can be right."""
    if hasattr(handler, "__wrapped__"):  # a decorator, which may take other arguments than it says
        return True
    try:
        inspect.signature(handler).bind(*args, **kwargs)
    except TypeError:
        return False
    except ValueError:  # some C functions have no signature
        return True
    return True


def field_names(template: str, subject: str) -> list[str]:
    """The fields in a template's braces: "{ticket_id}-{request.id:{width}}" has three.

    Raises:
        ValueError: The braces are unbalanced, or there is no such conversion. Its message calls the
            template by `subject`.
    """
    try:
        return list(_fields(template))
    except ValueError as error:
        raise wrong_value(
            f"{subject} {template!r} is not a template: {error}. Write {{{{ and }}}} for braces."
        ) from None


def _fields(template: str) -> Iterator[str]:
    for _, field, form, conversion in Formatter().parse(template):
        if field is not None:
            Formatter().convert_field(None, conversion)
            yield field
            yield from _fields(form or "")


def _given_by_position(handler: Callable[..., Any]) -> Mapping[str, Any]:
    """The arguments that a `functools.partial` gives by position. Its signature lacks them."""
    if not isinstance(handler, functools.partial):
        return {}
    left = inspect.signature(handler).parameters
    given = inspect.signature(handler.func).bind_partial(*handler.args).arguments
    return {name: value for name, value in given.items() if name not in left}


class _Template(Formatter):
    """Formats a template with the arguments of a call: "{ticket_id}", "{request.session_id}"."""

    def __init__(self, handler: Callable[..., Any], text: str, *, is_id: bool = False) -> None:
        self.handler = handler
        self.text = text
        self.is_id = is_id
        try:
            self.signature = inspect.signature(handler)
        except ValueError:
            raise wrong_type(
                f"@thread: the template {text!r} cannot be filled in, since Python knows no "
                f"names of arguments of {getattr(handler, '__qualname__', handler)}(). Work "
                "out the id with a callable."
            ) from None
        self.given = _given_by_position(handler)
        parameters = {**self.given, **self.signature.parameters}
        self.catch_all = next(
            (p.name for p in self.signature.parameters.values() if p.kind is p.VAR_KEYWORD), None
        )
        for field in field_names(text, "@thread:"):
            name = field.partition(".")[0].partition("[")[0]
            if name not in parameters and (self.catch_all is None or not name.isidentifier()):
                raise wrong_type(
                    f"@thread: the template {text!r} names {name!r}, which "
                    f"{getattr(handler, '__qualname__', handler)}() does not take. It takes: "
                    f"{', '.join(parameters) or 'nothing'}. Write {{{{ and }}}} for braces."
                )

    def __call__(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        try:
            # Partial, since an inner decorator may add arguments that this call does not have yet.
            bound = self.signature.bind_partial(*args, **kwargs)
        except TypeError as error:
            if is_signals(error):
                raise
            raise self._unfit(args, kwargs) from error
        bound.apply_defaults()
        names = {**self.given, **bound.arguments}
        if self.catch_all is not None:  # it may have the name of an argument that has none, `a, /`
            names = {**names[self.catch_all], **names}
        try:
            return self.vformat(self.text, (), names)
        except WrongCallError:
            raise self._unfit(args, kwargs) from None
        except Exception as error:  # noqa: BLE001 - the arguments are the user's
            raise loggable(error, f"filling in {self.text!r}")  # noqa: B904 - its cause is set

    def _unfit(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> TypeError:
        """The error of a call that does not have what the template needs."""
        if not _fits(self.handler, args, kwargs):
            return WrongCallError()
        return wrong_type(
            f"@thread: the template {self.text!r} cannot be filled in with the arguments of "
            "this call. If a decorator changes them, put @thread below it."
        )

    def get_value(
        self,
        key: int | str,
        args: Sequence[Any],  # noqa: ARG002 - part of Formatter's interface; always empty here
        kwargs: Mapping[str, Any],
    ) -> Any:
        if key in kwargs:
            return kwargs[str(key)]
        if key in self.signature.parameters:
            raise WrongCallError
        raise wrong_type(
            f"@thread: the template {self.text!r} names {key!r}, which this call does not pass."
        )

    def convert_field(self, value: Any, conversion: str | None) -> Any:
        # "ticket-None" and "ticket-" would put every call without a ticket into one thread.
        if value is None:
            raise wrong_type(self._refusal("None"))
        return value if conversion is None else super().convert_field(value, conversion)  # type: ignore[arg-type,unused-ignore]

    def format_field(self, value: Any, format_spec: str) -> Any:
        filled_in = format(value, format_spec)
        if self.is_id and not filled_in.strip():
            raise wrong_value(self._refusal("empty"))
        return filled_in

    def _refusal(self, what: str) -> str:
        return (
            f"@thread: an argument that the template {self.text!r} uses is {what}. Give the "
            "handler a value for it, or work out the id with a callable."
        )
