"""How the rules take rows."""

from typing import TypeVar

import polars as pl

Frame = TypeVar("Frame", pl.DataFrame, pl.LazyFrame)
"""A rule that knows rows and columns alone takes them either way and answers in kind."""
