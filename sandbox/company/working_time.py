"""When people work: weekdays, public holidays and office hours of three time zones, in UTC seconds."""

from datetime import date, datetime, timedelta
from random import Random
from zoneinfo import ZoneInfo

DAY = 86_400
HOUR = 3_600
ZONES = ("Europe/Berlin", "Europe/London", "America/New_York")

_EPOCH = date(1970, 1, 1)
_EVERYWHERE = ((1, 1), (5, 1), (12, 24), (12, 25), (12, 26), (12, 31))
_ONLY = {
    "Europe/Berlin": ((10, 3), (11, 1)),
    "Europe/London": ((8, 25), (5, 5)),
    "America/New_York": ((7, 4), (11, 27)),
}
_EASTER_MONDAYS = (date(2025, 4, 21), date(2026, 4, 6))


class WorkingTime:
    """Working moments between two UTC instants (seconds), per time zone."""

    def __init__(self, first: int, last: int) -> None:
        days = range(first // DAY - 2, last // DAY + 3)
        self._offset: dict[str, dict[int, int]] = {}
        self._quiet: dict[str, set[int]] = {}
        for name in ZONES:
            zone = ZoneInfo(name)
            self._offset[name] = {
                day: int(datetime.fromtimestamp(day * DAY + DAY // 2, zone).utcoffset().total_seconds()) for day in days
            }
            self._quiet[name] = {day for day in days if _is_quiet(name, _EPOCH + timedelta(days=day))}

    def local_day(self, zone: str, at: int) -> int:
        """Days since 1970-01-01 of the local calendar day that holds `at`."""
        return (at + self._offset[zone][at // DAY]) // DAY

    def is_quiet(self, zone: str, at: int) -> bool:
        """Weekend or public holiday in `zone`."""
        return self.local_day(zone, at) in self._quiet[zone]

    def instant(self, zone: str, day: int, second: int) -> int:
        """UTC second of a local wall-clock `second` on a local calendar `day`."""
        return day * DAY + second - self._offset[zone][day]

    def moment(self, rng: Random, zone: str, at: int) -> int:
        """A moment in office hours on the day of `at`, or on the next working day; now and then a quiet day or an evening."""
        day = self.local_day(zone, at)
        if rng.random() > 0.04:
            while day in self._quiet[zone]:
                day += 1
        hour = 7.6 + 10.6 * (rng.random() + rng.random()) / 2 if rng.random() > 0.05 else 18.5 + 4 * rng.random()
        return self.instant(zone, day, int(hour * HOUR))

    def after(self, rng: Random, zone: str, at: int) -> int:
        """The moment itself when somebody in `zone` is at work then, else early on the next working day."""
        local = at + self._offset[zone][at // DAY]
        day, second = divmod(local, DAY)
        at_work = 7 * HOUR < second < 19 * HOUR and day not in self._quiet[zone]
        if at_work or rng.random() < 0.05:
            return at
        if second >= 19 * HOUR:
            day += 1
        while day in self._quiet[zone]:
            day += 1
        return self.instant(zone, day, int((7.7 + 2.3 * rng.random()) * HOUR))


def _is_quiet(zone: str, day: date) -> bool:
    holiday = (day.month, day.day)
    return day.weekday() >= 5 or holiday in _EVERYWHERE or holiday in _ONLY[zone] or day in _EASTER_MONDAYS
