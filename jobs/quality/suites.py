"""Expectation suites as data: one file a table in `expectations/`, and the checks over several tables.

A file has `table`, `name` (default: the table), `schema` (main, restricted, lake or raw; default main), `key` (columns that name a row in evidence),
`include` (shared parts, files that begin with an underscore) and `expectations`. An expectation has a `type` of Great
Expectations, `kwargs`, and `meta` with `severity`, `rule`, `reason` and `remedy`; with `columns` it stands for one a
column. `expect_no_rows` is ours: its `query` gives the rows that break the rule, `{batch}` standing for the table.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from jobs.publish.catalogue import literal, quote
from jobs.publish.verdict import SEVERITIES, GateError

META = ("severity", "rule", "reason", "remedy")
SHORT = {
    "expect_column_values_to_not_be_null": "not_null",
    "expect_column_values_to_be_between": "between",
    "expect_column_values_to_be_in_set": "in_set",
    "expect_no_rows": "no_rows",
}
JUDGED_BY = {
    "expect_column_values_to_not_be_null": "expect_no_null",
    "expect_column_values_to_be_between": "expect_between",
    "expect_column_values_to_be_in_set": "expect_in_set",
}


@dataclass(frozen=True)
class Expectation:
    """One expectation, as Great Expectations takes it, and the query for the rows that break it."""

    name: str
    type: str
    kwargs: dict[str, Any]
    meta: dict[str, str]
    evidence: str

    def configuration(self) -> dict[str, Any]:
        """The expectation as Great Expectations reads it, by the class of `expectations.py` that judges it."""
        query = self.evidence.replace("{", "{{").replace("}", "}}")
        kwargs = {"unexpected_rows_query": query} if self.type == "expect_no_rows" else self.kwargs
        return {"type": JUDGED_BY.get(self.type, self.type), "kwargs": kwargs, "meta": {"name": self.name, **self.meta}}


@dataclass(frozen=True)
class Suite:
    """The expectations of one table."""

    table: str
    schema: str
    key: tuple[str, ...]
    expectations: tuple[Expectation, ...]
    file: Path
    name: str

    @property
    def relation(self) -> str:
        return f"{self.schema}.{quote(self.table)}"


def read_suites(folder: Path) -> list[Suite]:
    """Every suite of a folder, by name; raises `GateError` that names file and expectation."""
    suites = [read_suite(f) for f in sorted(folder.rglob("*.yml")) if not f.name.startswith("_")]
    if not suites:
        raise GateError(f"no suite in {folder}: the folder expectations/ belongs to the project")
    names = [s.name for s in suites]
    for suite in suites:
        if names.count(suite.name) > 1:
            raise GateError(f"{suite.file}: the table {suite.name} has two suites")
    return sorted(suites, key=lambda s: s.name)


def read_suite(file: Path) -> Suite:
    """One suite file."""
    content = _load(file)
    entries = [(file, e) for e in content.get("expectations") or []]
    for part in content.get("include") or []:
        shared = file.parent / f"_{part}.yml"
        entries += [(shared, e) for e in _load(shared).get("expectations") or []]
    key = tuple(content.get("key") or ())
    table, schema = content.get("table", file.stem), content.get("schema", "main")
    relation = f"{schema}.{quote(table)}"
    expectations = [e for source, entry in entries for e in _expand(entry, source, relation, key)]
    names = [e.name for e in expectations]
    for name in names:
        if names.count(name) > 1:
            raise GateError(f"{file}: two expectations are named {name}: give one a name of its own")
    name = content.get("name") or (table if schema == "main" else f"{schema}.{table}")
    return Suite(table, schema, key, tuple(expectations), file, name)


def _load(file: Path) -> dict[str, Any]:
    try:
        return yaml.load(file.read_text(), Loader=yaml.CSafeLoader) or {}
    except FileNotFoundError:
        raise GateError(f"{file} is missing though a suite includes it") from None
    except yaml.YAMLError as error:
        raise GateError(f"{file} is not YAML: {' '.join(str(error).split())}") from None


def _expand(entry: dict[str, Any], file: Path, relation: str, key: tuple[str, ...]) -> list[Expectation]:
    kind, meta = entry.get("type", "?"), entry.get("meta") or {}
    label = entry.get("name") or kind
    if kind not in SHORT:
        raise GateError(f"{file}: {label}: type {kind} is none of {', '.join(SHORT)}")
    missing = [m for m in META if not meta.get(m)]
    if missing or meta["severity"] not in SEVERITIES:
        raise GateError(f"{file}: {label}: meta needs {', '.join(missing) or 'a severity of ' + ', '.join(SEVERITIES)}")
    meta = {m: " ".join(str(meta[m]).split()) for m in META}
    kwargs = dict(entry.get("kwargs") or {})
    if kind == "expect_no_rows":
        if not entry.get("name"):
            raise GateError(f"{file}: expect_no_rows needs a name")
        query = kwargs["query"].strip()
        return [Expectation(entry["name"], kind, {"query": query}, meta, query.replace("{batch}", relation))]
    expanded = []
    for column in entry.get("columns") or [kwargs.get("column")]:
        if not column:
            raise GateError(f"{file}: {label}: name a column")
        filled = {**kwargs, "column": column}
        shown = ", ".join(quote(c) for c in dict.fromkeys([*key, column]))
        evidence = f"SELECT {shown} FROM {relation} WHERE {_broken(kind, filled)}"
        expanded.append(Expectation(entry.get("name") or f"{column}_{SHORT[kind]}", kind, filled, meta, evidence))
    return expanded


def _broken(kind: str, kwargs: dict[str, Any]) -> str:
    """The condition of the rows that break a column expectation."""
    column = quote(kwargs["column"])
    if kind == "expect_column_values_to_not_be_null":
        return f"{column} IS NULL"
    if kind == "expect_column_values_to_be_in_set":
        return f"{column} NOT IN ({', '.join(literal(v) for v in kwargs['value_set'])})"
    bounds = [f"{column} {sign} {kwargs[b]}" for b, sign in (("min_value", "<"), ("max_value", ">")) if kwargs.get(b) is not None]
    return " OR ".join(bounds)
