"""What is wrong with the values of OpenTelemetry's variables, as far as its Python SDK reads them.

The SDK says it in a log line with the whole value, or not at all, and some values keep it from
being imported. So this module imports nothing of it. Of headers, nothing is shown.

Where the SDK raises, `without_wrong()` does what the specification asks for: it says what is wrong,
and goes on without it.

Sources: https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/ and
https://opentelemetry.io/docs/specs/otel/protocol/exporter/.

Standard library only.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

from orq_otel.foundations.codes import BAD_VARIABLE
from orq_otel.foundations.guard import is_signals, warn_once
from orq_otel.foundations.settings import as_shown

_T = TypeVar("_T")

#: The name of a header, in ASCII.
HEADER_NAME: Final = r"[\w!#$%&'*+.^`|~-]+"
#: A header as exporters take it: a name, and a value that may be URL-encoded.
_HEADER: Final = re.compile(HEADER_NAME + r"[ \t]*=[ \t]*[ !#-+\--:<-\[\]-~]*", re.ASCII)


class Kind(NamedTuple):
    """What the values of variables have to be: `names` is a pattern, `what` the end of a sentence.

    A value is right without the spaces around it. Unless `is_shown`, it may be secret.
    """

    names: str
    what: str
    is_right: Callable[[str], object]
    is_shown: bool = True


class Wrong(NamedTuple):
    """A variable with a value that it cannot have: what is wrong, and what of it is right."""

    name: str
    sentence: str
    right: str | None = None


def headers_in(text: str) -> list[str]:
    """The headers in the value of a variable, without those that exporters leave out."""
    return [one for one in _parts(text) if _HEADER.fullmatch(one)]


def without_wrong(make: Callable[[], _T]) -> _T:
    """Do what variables may make OpenTelemetry fail in.

    If it fails, and variables have wrong values, it is done again without what is wrong in them,
    and each is logged. Meanwhile other OS threads see the environment so, too.

    Raises:
        Exception: What `make` raises where no variable is wrong, or the second time.
    """
    try:
        return make()
    except Exception as error:
        found = list(wrong())
        if is_signals(error) or not found:
            raise
    before = {one.name: os.environ.get(one.name) for one in found}
    try:
        for one in found:
            warn_once(BAD_VARIABLE, f"{one.sentence} What is wrong in it is left out.")
            _put(one.name, one.right)
        return make()
    finally:
        for name, value in before.items():
            _put(name, value)


def _put(name: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value


def wrong() -> Iterator[Wrong]:
    """The variables that have a value which they cannot have."""
    for name in sorted(os.environ):
        value = os.environ[name].strip()
        kind = next((one for one in _KINDS if re.fullmatch(one.names, name)), None)
        if value and kind is not None and not kind.is_right(value):
            shown = as_shown(value, is_secret=not kind.is_shown)
            right = ",".join(filter(kind.is_right, _parts(value)))
            yield Wrong(name, f"{name} is {kind.what}, {shown}.", right or None)
    name = "OTEL_TRACES_SAMPLER_ARG"
    argument = os.environ.get(name, "").strip()
    is_ratio = os.environ.get("OTEL_TRACES_SAMPLER", "").strip().lower().endswith("ratio")
    if is_ratio and argument and not _is_share(argument):
        said = f"{name} is a number from 0 to 1, such as 0.25, not {argument!r}. It counts as 1."
        yield Wrong(name, said)
    for kind_of_batch in ("BSP", "BLRP"):
        batch = f"OTEL_{kind_of_batch}_MAX_EXPORT_BATCH_SIZE"
        queue = f"OTEL_{kind_of_batch}_MAX_QUEUE_SIZE"
        sizes = [os.environ.get(batch, "512").strip(), os.environ.get(queue, "2048").strip()]
        if all(map(_is_positive, sizes)) and int(sizes[0]) > int(sizes[1]):
            said = f"{batch} is {sizes[0]}, and may not be more than {queue}, which is {sizes[1]}."
            yield Wrong(batch, said, sizes[1])


def _parts(text: str) -> list[str]:
    return [one.strip() for one in text.split(",") if one.strip()]


def _is_whole(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _is_positive(text: str) -> bool:
    return _is_whole(text) and int(text) > 0


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return -1.0


def _is_share(text: str) -> bool:
    return 0 <= _number(text) <= 1


def _is_flag(text: str) -> bool:
    return text.lower() in {"true", "false"}


def _is_compression(text: str) -> bool:
    is_grpc = os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL", "").strip() == "grpc"
    return text.lower() in ({"gzip"} if is_grpc else {"gzip", "deflate", "none"})


def _are_pairs(text: str) -> bool:
    return all("=" in one for one in _parts(text))


def _is_configuration(text: str) -> bool:
    try:
        return Path(text).is_file() and find_spec("opentelemetry.configuration") is not None
    except (ImportError, ValueError):  # its package is missing, or the path is no path
        return False


def _installed(group: str, *others: str) -> Callable[[str], bool]:
    """Whether each of several names is one of `others`, or one that a package has brought."""

    def is_right(text: str) -> bool:
        known = {*others, *(one.name for one in entry_points(group=f"opentelemetry_{group}"))}
        return known.issuperset(_parts(text))

    return is_right


_OTLP: Final = r"OTEL_EXPORTER_OTLP_((TRACES|METRICS|LOGS)_)?"
_KINDS: Final = (
    Kind(
        f"{_OTLP}HEADERS",
        "a list of name=value",
        lambda text: len(headers_in(text)) == len(_parts(text)),
        is_shown=False,
    ),
    Kind(f"{_OTLP}COMPRESSION", "gzip, or for HTTP also deflate or none", _is_compression),
    Kind("OTEL_RESOURCE_ATTRIBUTES", "a list of name=value", _are_pairs),
    Kind(f"{_OTLP}TIMEOUT", "a number of seconds", lambda text: _number(text) >= 0),
    Kind(f"{_OTLP}INSECURE|OTEL_SDK_DISABLED", "true or false", _is_flag),
    Kind(r"OTEL_(BSP|BLRP)_[A-Z_]+", "a whole number above 0", _is_positive),
    Kind(r"OTEL_([A-Z]+_)+LIMIT", "a whole number", _is_whole),
    Kind(
        "OTEL_METRIC_EXPORT_(INTERVAL|TIMEOUT)",
        "a number of milliseconds",
        lambda text: _number(text) > 0,
    ),
    Kind(
        "OTEL_TRACES_SAMPLER",
        "the name of a sampler that is installed",
        lambda text: _installed("traces_sampler")(text.lower()),
    ),
    Kind(
        "OTEL_PROPAGATORS",
        "a list of propagators that are installed, or none",
        _installed("propagator", "none"),
    ),
    *[
        Kind(
            f"OTEL_PYTHON_{group.upper()}",
            "a name that an installed package has",
            _installed(group),
        )
        for group in (
            "tracer_provider",
            "meter_provider",
            "logger_provider",
            "id_generator",
            "context",
            "distro",
            "configurator",
        )
    ],
    *[
        Kind(
            f"OTEL_{signal.upper()}_EXPORTER",
            "a list of exporters that are installed, or none",
            _installed(f"{signal}_exporter", "otlp", "none"),
        )
        for signal in ("metrics", "logs")
    ],
    Kind(
        "OTEL_EXPERIMENTAL_RESOURCE_DETECTORS",
        "a list of detectors that are installed",
        _installed("resource_detector", "*"),
    ),
    Kind(
        "OTEL_CONFIG_FILE",
        "the path of a file, for which opentelemetry-configuration has to be installed",
        _is_configuration,
    ),
)
