"""The attributes that deals are compared by (S3), and their encoding as numbers (S5)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl

from jobs.similar.rules import SimilarError


@dataclass(frozen=True)
class Attribute:
    """A column of the deal table. `label`: the column that spells a category for people, where there is one."""

    name: str
    kind: Literal["number", "category"]
    label: str | None = None

    @property
    def words(self) -> str:
        """The name as it reads in a sentence."""
        return self.name.replace("_", " ")


BUILT_IN = (
    Attribute("estimated_value", "number"),
    Attribute("account_revenue", "number"),
    Attribute("account_employees", "number"),
    Attribute("industry", "category", "industry_label"),
    Attribute("country", "category"),
    Attribute("lead_source", "category", "lead_source_label"),
    Attribute("currency", "category", "currency_label"),
    Attribute("owner_business_unit", "category", "owner_business_unit_label"),
)


def attributes_of(extra: Iterable[Mapping[str, str]]) -> tuple[Attribute, ...]:
    """The built-in attributes, then those of the setting `similarity_attributes`."""
    found = list(BUILT_IN)
    for entry in extra:
        name, kind = entry.get("name", ""), entry.get("kind", "")
        if not name or kind not in ("number", "category"):
            raise SimilarError(f"similarity_attributes: {dict(entry)} needs a name and a kind, number or category")
        if name in {a.name for a in found}:
            raise SimilarError(f"similarity_attributes: {name} is listed twice or is the name of a built-in attribute")
        found.append(Attribute(name, kind))
    return tuple(found)


def clean(deals: pl.DataFrame, attributes: Sequence[Attribute]) -> pl.DataFrame:
    """The deals with attributes as they are compared (S3).

    Numbers are doubles; 0, less and what is no number are missing. Categories are trimmed texts, a country in lower case; empty is
    missing.
    """
    columns = []
    for a in attributes:
        if a.kind == "number":
            number = pl.col(a.name).cast(pl.Float64)
            columns.append(pl.when((number > 0) & number.is_finite()).then(number).alias(a.name))
        else:
            text = pl.col(a.name).cast(pl.String).str.strip_chars()
            text = text.str.to_lowercase() if a.name == "country" else text
            columns.append(pl.when(text != "").then(text).alias(a.name))
    return deals.with_columns(columns)


def numeric(deals: pl.DataFrame, attributes: Sequence[Attribute]) -> np.ndarray:
    """Cleaned deals as a matrix (deals x attributes): numbers as they are, categories as codes from 0; missing is NaN."""
    columns = []
    for a in attributes:
        column = deals[a.name]
        if a.kind == "category":
            column = column.cast(pl.Enum(column.drop_nulls().unique().sort())).to_physical()
        columns.append(column.cast(pl.Float64).fill_null(np.nan).to_numpy())
    return np.column_stack(columns) if columns else np.empty((deals.height, 0))


def with_ranks(values: np.ndarray, training: np.ndarray, attributes: Sequence[Attribute]) -> np.ndarray:
    """The matrix with each number replaced by its percentile rank among the training rows, 0 to 1 (S5).

    Where no training row has a value, every rank is missing.
    """
    ranked = values.copy()
    for k, a in enumerate(attributes):
        if a.kind == "number":
            known = np.sort(training[:, k][~np.isnan(training[:, k])])
            if not known.size:
                ranked[:, k] = np.nan
                continue
            below = np.searchsorted(known, values[:, k], "left")
            up_to = np.searchsorted(known, values[:, k], "right")
            ranked[:, k] = np.where(np.isnan(values[:, k]), np.nan, (below + 0.5 * (up_to - below)) / known.size)
    return ranked
