"""The time zone of a page: the one that its address names, or else the browser's."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone, tzinfo
from typing import Final

from markupsafe import Markup
from starlette.requests import Request

from orq_otel.viewer.formats import timestamp
from orq_otel.viewer.times import SECOND

#: The query parameter and the cookie that name a zone, such as "Europe/Berlin". The page's script
#: sets the cookie to the browser's zone, or to UTC if the reader wants that.
PARAMETER: Final = "tz"
COOKIE: Final = "orq_otel_zone"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=timezone.utc)
_LATEST: Final = 2**63 - 1
_MONTHS: Final = (
    *("Jan", "Feb", "Mar", "Apr", "May", "Jun"),
    *("Jul", "Aug", "Sep", "Oct", "Nov", "Dec"),
)


@dataclass(frozen=True)
class Zone:
    """A time zone.

    Attributes:
        name: Its name, such as "UTC" or "Europe/Berlin".
        info: Its rules.
        has_years: Whether moments are written with their year.
    """

    name: str = "UTC"
    info: tzinfo = timezone.utc
    has_years: bool = False

    def over(self, first: int, last: int) -> Zone:
        """Returns this zone for a time, which is written with years if it spans several."""
        return replace(self, has_years=self.at(first).year != self.at(last).year)

    def at(self, nanoseconds: int) -> datetime:
        """Returns a moment by the clocks of this zone."""
        seconds = min(max(nanoseconds, 0), _LATEST) // SECOND
        return (_EPOCH + timedelta(seconds=seconds)).astimezone(self.info)

    def day(self, nanoseconds: int) -> str:
        """Returns the day on which a moment falls: `Saturday, 21 November 2026`."""
        at = self.at(nanoseconds)
        return f"{at:%A}, {at.day} {at:%B} {at.year}"

    def clock(self, nanoseconds: int) -> str:
        """Returns the time of a day: `14:00:04`."""
        return _clock(self.at(nanoseconds))

    def full(self, nanoseconds: int) -> str:
        """Returns a moment: `21 Nov, 14:00:04`, as the pages' script writes it."""
        at = self.at(nanoseconds)
        year = f" {at.year}" if self.has_years else ""
        return f"{at.day} {_MONTHS[at.month - 1]}{year}, {_clock(at)}"

    def short(self, nanoseconds: int) -> str:
        """Returns a moment without its seconds: `21 Nov, 14:00`."""
        return self.full(nanoseconds)[:-3]

    def time(self, nanoseconds: int, *, clock: bool = False) -> Markup:
        """Returns a moment as HTML. A list has hundreds: a macro takes three times as long."""
        show = ' data-show="clock"' if clock else ' data-show="dated"' if self.has_years else ""
        text = self.clock(nanoseconds) if clock else self.full(nanoseconds)
        return _element(nanoseconds, show, text)

    def end(self, nanoseconds: int) -> Markup:
        """Returns an end of an axis as HTML."""
        show = "short-dated" if self.has_years else "short"
        return _element(nanoseconds, f' data-show="{show}"', self.short(nanoseconds))


def _clock(at: datetime) -> str:
    """Returns the time of a day. `strftime` takes ten times as long, and a list has hundreds."""
    return f"{at.hour:02}:{at.minute:02}:{at.second:02}"


def _element(nanoseconds: int, show: str, text: str) -> Markup:
    return Markup(  # noqa: S704 - numbers, and names of months
        f'<time datetime="{timestamp(nanoseconds)}"{show}>{text}</time>'
    )


UTC: Final = Zone()


def zone_of(request: Request) -> Zone:
    """Returns the zone of a request. A name that no zone has means UTC."""
    name = request.query_params.get(PARAMETER) or request.cookies.get(COOKIE, "")
    # A name is a path below the zones' folder, and zoneinfo refuses those that lead out of it. What
    # else is there, such as "localtime" and "right/UTC", begins with no capital: to a browser it is
    # no zone, so that the page's script would end.
    if not name[:1].isupper() or len(name) > 64:  # noqa: PLR2004 - longer than any zone's name
        return UTC
    from zoneinfo import ZoneInfo  # noqa: PLC0415 - the first page needs none

    try:
        return Zone(name, ZoneInfo(name))
    except (ValueError, OSError, LookupError):
        return UTC
