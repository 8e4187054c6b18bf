"""Instants: ISO 8601 texts and Graph's dateTime with a zone, as UTC in whole seconds (N21, N35)."""

import csv
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from zoneinfo import ZoneInfo, available_timezones

import polars as pl

INSTANT = pl.Datetime("us", "UTC")
FIRST_YEAR, LAST_YEAR = 1990, 2099

_TEXT = (
    r"^(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2})(?:[Tt ](?P<minute>[0-9]{2}:[0-9]{2})(?::(?P<second>[0-9]{2})(?:[.,][0-9]*)?)?"
    r"[ ]*(?P<offset>[Zz]|[+-][0-9]{2}(?::?[0-9]{2})?)?)?$"
)


def instant(text: pl.Expr) -> pl.Expr:
    """An ISO 8601 text as an instant, fractions of a second cut, UTC where it names no offset; null if unreadable.

    A date alone is its midnight (N38).
    """
    return text.map_batches(_instants, return_dtype=INSTANT)


def _instants(texts: pl.Series) -> pl.Series:
    """The spelling that nearly all instants have is read at once, the others one part at a time."""
    plain = texts.str.to_datetime("%Y-%m-%dT%H:%M:%SZ", strict=False, time_unit="us").dt.replace_time_zone("UTC")
    other = (plain.is_null() & texts.is_not_null()).arg_true()
    if other.is_empty():
        return plain
    return plain.scatter(other, texts.gather(other).to_frame("text").select(_parsed(pl.col("text"))).to_series())


def _parsed(text: pl.Expr) -> pl.Expr:
    part = text.str.strip_chars().str.extract_groups(_TEXT).struct
    clock = pl.concat_str(
        part.field("date"), part.field("minute").fill_null("00:00"), part.field("second").fill_null("00"), separator=":"
    ).str.to_datetime("%Y-%m-%d:%H:%M:%S", strict=False, time_unit="us")
    digits = part.field("offset").str.replace(":", "", literal=True)
    sign = pl.when(digits.str.starts_with("-")).then(-1).otherwise(1)
    minutes = sign * (
        digits.str.slice(1, 2).cast(pl.Int64, strict=False).fill_null(0) * 60
        + digits.str.slice(3, 2).cast(pl.Int64, strict=False).fill_null(0)
    )
    return (clock - pl.duration(minutes=minutes)).dt.replace_time_zone("UTC")


def in_range(at: pl.Expr) -> pl.Expr:
    """Whether an instant may be an activity's time (R5): years 1990 to 2099."""
    return at.dt.year().is_between(FIRST_YEAR, LAST_YEAR)


@cache
def _windows_zones() -> dict[str, str]:
    """Windows zone names and their IANA zone (CLDR, territory 001; Unicode licence)."""
    text = resources.files(__package__).joinpath("data/windows_zones.csv").read_text()
    return {row["windows"]: row["iana"] for row in csv.DictReader(text.splitlines())}


@cache
def zone(name: str | None) -> ZoneInfo | None:
    """The zone of a Graph `timeZone`: IANA or Windows name, empty is UTC; None if unknown (N35)."""
    text = (name or "").strip()
    if text in ("", "UTC") or text.lower() == "tzone://microsoft/utc":
        return ZoneInfo("UTC")
    text = _windows_zones().get(text, text)
    return ZoneInfo(text) if text in available_timezones() else None


def zoned_instant(text: pl.Expr, zone_name: pl.Expr, into: str) -> pl.Expr:
    """The instant of a wall-clock text in a zone as `into`, and `<into>_zone_known`: a struct of both.

    An offset in the text wins; a time that occurs twice is the earlier one, a skipped one moves on by the gap.
    """
    wall = pl.struct(text.alias("text"), zone_name.fill_null("").alias("zone"))
    fields = {into: INSTANT, f"{into}_zone_known": pl.Boolean}
    return wall.map_batches(lambda walls: _zoned(walls).struct.rename_fields(list(fields)), pl.Struct(fields)).alias(into)


def _zoned(walls: pl.Series) -> pl.Series:
    """Each wall-clock time of a zone is looked up once."""
    # A date alone ends in "-dd", which looks like an offset.
    has_offset = pl.col("text").str.contains(r"([Zz]|[+-][0-9]{2}(:?[0-9]{2})?) *$") & pl.col("text").str.contains("[Tt ]")
    plain = walls.struct.unnest().with_columns(pl.col("text").pipe(instant).alias("at"), has_offset.alias("has_offset"))
    local = plain.filter(pl.col("at").is_not_null() & ~pl.col("has_offset")).select("at", "zone").unique()
    moved = [_to_utc(at, name) for at, name in local.iter_rows()]
    known = local.with_columns(
        pl.Series("moved", [at for at, _ in moved], dtype=INSTANT), pl.Series("known", [ok for _, ok in moved], dtype=pl.Boolean)
    )
    found = plain.join(known, on=["at", "zone"], how="left", maintain_order="left").select(
        pl.when("has_offset").then("at").otherwise("moved").alias("at"),
        (pl.col("has_offset") | pl.col("known").fill_null(True)).fill_null(True).alias("zone_known"),
    )
    return found.to_struct(walls.name)


def _to_utc(wall: datetime, name: str) -> tuple[datetime | None, bool]:
    known = zone(name)
    if known is None:
        return None, False
    if known.key == "UTC":
        return wall, True
    try:
        # fold 0 is the earlier of two instants, and in a gap the offset before it: forward by the gap.
        return wall.replace(tzinfo=known, fold=0).astimezone(UTC), True
    except OverflowError:
        return None, True
