"""How the rules take rows, and how what several of them give is worked out."""

from dataclasses import fields
from typing import Any, TypeVar

import polars as pl

Frame = TypeVar("Frame", pl.DataFrame, pl.LazyFrame)
"""A rule that knows rows and columns alone takes them either way and answers in kind."""


def collected(tables: Any) -> Any:
    """A dataclass of lazy frames as one of frames: worked out together, so that what they share is worked out once."""
    return type(tables)(*pl.collect_all([getattr(tables, field.name) for field in fields(tables)]))
