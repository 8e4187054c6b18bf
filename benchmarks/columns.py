"""Columns made in bulk: ids, hashes and addresses as Polars series, from a NumPy generator."""

import numpy as np
import polars as pl


def hex_texts(rng: np.random.Generator, count: int, digits: int) -> pl.Series:
    """Random hexadecimal texts of `digits` (even) characters."""
    text = np.frombuffer(rng.bytes(count * digits // 2).hex().encode(), dtype=f"S{digits}")
    return pl.Series("hex", text).cast(pl.String)


def guids(rng: np.random.Generator, count: int) -> pl.Series:
    """Random GUIDs in lower case."""
    text = pl.col("hex").str
    parts = [text.slice(start, length) for start, length in ((0, 8), (8, 4), (12, 4), (16, 4), (20, 12))]
    return pl.DataFrame([hex_texts(rng, count, 32)]).select(pl.concat_str(parts, separator="-").alias("guid")).to_series()


def numbered(prefix: str, count: int, suffix: str = "") -> pl.Series:
    """`prefix`, a number from 0, `suffix`: addresses, names and domains that are distinct."""
    return pl.select(pl.format(f"{prefix}{{}}{suffix}", pl.int_range(count))).to_series()


def instants(seconds: np.ndarray) -> pl.Series:
    """UTC seconds as timestamps."""
    return pl.Series(seconds.astype(np.int64) * 1_000_000).cast(pl.Datetime("us", "UTC"))


def iso(seconds: np.ndarray) -> pl.Series:
    """UTC seconds as Graph spells an instant."""
    return instants(seconds).dt.strftime("%Y-%m-%dT%H:%M:%SZ")
