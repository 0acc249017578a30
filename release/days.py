"""On which day is a version released, may that be, and on which day do waivers have to hold?"""

import datetime
from typing import Final

# The first data of the telescope that anybody could have: nothing about them is older.
EARLIEST: Final = datetime.date(2022, 7, 12)
# Where a day begins first; what is today there is not yet to come everywhere.
_FIRST_ZONE: Final = datetime.timezone(datetime.timedelta(hours=14))


def today() -> datetime.date:
    """Give the day it is here."""
    return datetime.datetime.now().astimezone().date()


def judging_day(released: str | None) -> datetime.date:
    """Give the day on which waivers have to hold: that of the release, if it is to come.

    Parameters
    ----------
    released : str or None
        Day of release, ISO 8601.
    """
    day = _parse(released)
    return today() if day is None else max(today(), day)


def day_problem(released: str | None) -> str:
    """Say why a version cannot be published now with this day of release; empty where it can.

    Parameters
    ----------
    released : str or None
        As for `judging_day`; that it is missing or no day at all is not said here.
    """
    day = _parse(released)
    if day is None:
        return ""
    if day > datetime.datetime.now(_FIRST_ZONE).date():
        return "the day of release is still to come"
    return "the day of release is older than any data of the telescope" if day < EARLIEST else ""


def day_note(released: str | None) -> str:
    """Say that the day of release is not the present one; empty where it is.

    Parameters
    ----------
    released : str or None
        As for `judging_day`.
    """
    day = _parse(released)
    if day is None or day == today():
        return ""
    return (
        f"The bundle says that it is released on {day}, and today is {today()}: the archive will "
        "show that day. Build it anew with --date if it should be another."
    )


def _parse(released: str | None) -> datetime.date | None:
    try:
        return None if released is None else datetime.date.fromisoformat(released)
    except ValueError:
        return None
