"""Which marts are published: read from the yml files beside the mart models."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from jobs.errors import RapportError

TYPES = {
    "VARCHAR", "BIGINT", "DOUBLE", "BOOLEAN", "DATE", "TIMESTAMP WITH TIME ZONE",
}  # fmt: skip
SPELLINGS = {
    "TEXT": "VARCHAR", "STRING": "VARCHAR", "INT8": "BIGINT", "LONG": "BIGINT", "FLOAT8": "DOUBLE",
    "BOOL": "BOOLEAN", "TIMESTAMPTZ": "TIMESTAMP WITH TIME ZONE",
}  # fmt: skip


class CatalogueError(RapportError):
    """A mart's yml does not say what publication needs; names file and model."""


@dataclass(frozen=True)
class Column:
    """A published column: DuckDB type, whether it may be null, and what it means."""

    name: str
    data_type: str
    nullable: bool
    description: str


@dataclass(frozen=True)
class Mart:
    """A published table. `partition` names the column by whose values its Parquet files are split."""

    name: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    description: str = ""
    restricted: bool = False
    partition: str | None = None

    @property
    def schema(self) -> str:
        """Schema of the candidate that holds it."""
        return "restricted" if self.restricted else "main"

    @classmethod
    def described(cls, name: str, entry: dict[str, Any]) -> "Mart":
        """The mart that a manifest's entry describes."""
        columns = tuple(Column(c["name"], c["type"], c["nullable"], c["description"]) for c in entry["columns"])
        return cls(name, tuple(entry["key"]), columns, entry["description"], entry["restricted"], entry["partition"])

    def ddl(self, qualified_name: str) -> str:
        """CREATE TABLE with types and NOT NULL."""
        columns = ", ".join(f"{quote(c.name)} {c.data_type}{'' if c.nullable else ' NOT NULL'}" for c in self.columns)
        return f"CREATE TABLE {qualified_name} ({columns})"


def quote(name: str) -> str:
    """A name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: object) -> str:
    """A value as an SQL string literal."""
    return "'" + str(text).replace("'", "''") + "'"


def read_catalogue(models: Path) -> dict[str, Mart]:
    """The marts described below `models`, by name; raises `CatalogueError` when a file falls short."""
    marts: dict[str, Mart] = {}
    for file in sorted([*models.rglob("*.yml"), *models.rglob("*.yaml")]):
        try:
            content = yaml.load(file.read_text(), Loader=yaml.CSafeLoader) or {}
        except yaml.YAMLError as error:
            raise CatalogueError(f"{file} is not YAML: {' '.join(str(error).split())}") from None
        for model in content.get("models") or []:
            mart = _mart(model, file)
            if mart.name in marts:
                raise CatalogueError(f"{file}: the mart {mart.name} is described twice")
            marts[mart.name] = mart
    if not marts:
        raise CatalogueError(f"no mart is described in {models}: set RAPPORT_DBT_PROJECT_DIR to the dbt project")
    return dict(sorted(marts.items()))


def _mart(model: dict[str, Any], file: Path) -> Mart:
    name = model.get("name", "?")
    config = model.get("config") or {}
    meta = {**(model.get("meta") or {}), **(config.get("meta") or {})}
    columns = tuple(_column(c, name, file) for c in model.get("columns") or [])
    known = {c.name: c for c in columns}
    key = tuple(meta.get("key") or ())
    if not key:
        raise CatalogueError(f"{file}: mart {name} has no config.meta.key: list its key columns")
    for column in key:
        if column not in known:
            raise CatalogueError(f"{file}: mart {name}: the key column {column} is not among its columns")
        if known[column].nullable:
            raise CatalogueError(f"{file}: mart {name}: the key column {column} needs a not_null constraint")
    partition = meta.get("partition")
    if partition is not None and partition not in known:
        raise CatalogueError(f"{file}: mart {name}: the partition column {partition} is not among its columns")
    return Mart(
        name=name,
        key=key,
        columns=columns,
        description=squeeze(model.get("description")),
        restricted=bool(meta.get("restricted")),
        partition=partition,
    )


def _column(column: dict[str, Any], mart: str, file: Path) -> Column:
    name = column.get("name", "?")
    spelled = str(column.get("data_type", "")).strip().upper()
    data_type = SPELLINGS.get(spelled, spelled)
    if data_type not in TYPES:
        raise CatalogueError(
            f"{file}: mart {mart}, column {name}: data_type {spelled or 'missing'} is none of {', '.join(sorted(TYPES))}"
        )
    constraints = [c.get("type") for c in column.get("constraints") or []]
    return Column(name, data_type, "not_null" not in constraints, squeeze(column.get("description")))


def squeeze(text: str | None) -> str:
    """A description on one line."""
    return re.sub(r"\s+", " ", text or "").strip()
