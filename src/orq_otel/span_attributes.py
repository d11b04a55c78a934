"""Set attributes on a span past the SDK's checks.

They take longer than all else that an attribute costs, and find nothing here: readers and labels
make text that has UTF-8, numbers that fit, and tuples of text. Where the SDK does not keep
attributes as it does today, or has limits that might be exceeded, it sets them itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from opentelemetry.attributes import BoundedAttributes

#: Where the SDK's own method is. Whoever overrides or replaces it wants to see every attribute.
_SDK: Final = "opentelemetry.sdk.trace"


def put(span: Any, attributes: Mapping[str, Any]) -> None:
    """Set attributes on a span that is open.

    Args:
        span: A recording span.
        attributes: Text, numbers, truth values, and tuples of them, valid as they are.
    """
    kept = getattr(span, "_attributes", None)
    if (
        type(kept) is not BoundedAttributes
        or kept.max_value_len is not None
        or type(span).set_attributes.__module__ != _SDK
    ):
        span.set_attributes(attributes)
        return
    try:
        values, most = kept._dict, kept.maxlen  # noqa: SLF001 - see above
        fits = type(values) is dict and (most is None or len(values) + len(attributes) <= most)
        if fits:
            with kept._lock:  # noqa: SLF001
                values.update(attributes)
            return
    except AttributeError:  # it keeps them in another way
        pass
    span.set_attributes(attributes)
