"""The tenant folder being written: records of the base state and of each later step, one JSON line each."""

import gzip
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from sandbox.company.working_time import DAY

LOGICAL_NAME = "@Microsoft.Dynamics.CRM.lookuplogicalname"
LABEL = "@OData.Community.Display.V1.FormattedValue"

Record = dict[str, Any]


def instant(at: int) -> str:
    """UTC seconds as the sources spell an instant."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def day(at: int) -> str:
    """UTC seconds as a date."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d")


def lookup(column: str, table: str | None, record_id: str | None, label: str | None = None) -> Record:
    """The keys that a Dataverse lookup column gives: value, logical name and, where asked for, the label."""
    keys: Record = {f"_{column}_value": record_id}
    if record_id is not None and table is not None:
        keys[f"_{column}_value{LOGICAL_NAME}"] = table
    if label is not None:
        keys[f"_{column}_value{LABEL}"] = label
    return keys


def choice(column: str, value: int | None, labels: dict[int, str]) -> Record:
    """The keys of an option column with its label."""
    return {column: value} if value is None else {column: value, f"{column}{LABEL}": labels[value]}


class TenantFolder:
    """Records by step (0: the base state; n: the n-th day after as-of) and by file; written once at the end."""

    def __init__(self, as_of: int, steps: int) -> None:
        self.as_of = as_of
        self._files: list[dict[str, list[tuple[int, bytes]]]] = [{} for _ in range(steps + 1)]
        self._version = 1_000

    def step(self, at: int) -> int | None:
        """The step in which something that arrives at `at` is first seen; None when it lies after the last step."""
        step = 0 if at < self.as_of else 1 + (at - self.as_of) // DAY
        return step if step < len(self._files) else None

    def add(self, file: str, record: Record, at: int) -> None:
        """Put a record into `file` of the step of `at`; lines keep the order of `at`, then of adding."""
        step = self.step(at)
        if step is None:
            return
        self._version += 1
        line = orjson.dumps({"@odata.etag": f'W/"{self._version}"', **record})
        self._files[step].setdefault(file, []).append((at, line))

    def crm(self, entity_set: str, record: Record, at: int) -> None:
        """Put a Dataverse row into its entity set."""
        self.add(f"dataverse/{entity_set}.jsonl", record, at)

    def remove(self, file: str, record_id: str, at: int) -> None:
        """Put a removal of a record into the step of `at`."""
        step = self.step(at)
        if step is not None:
            line = orjson.dumps({"id": record_id, "@removed": {"reason": "deleted"}})
            self._files[step].setdefault(file, []).append((at, line))

    def ensure(self, file: str) -> None:
        """Make `file` exist in the base state, even without a record."""
        self._files[0].setdefault(file, [])

    def records(self, file: str) -> list[Record]:
        """The records of a file of the base state, in the order of its lines."""
        return [orjson.loads(line) for _, line in sorted(self._files[0].get(file, []), key=_arrival)]

    def count(self, name: str) -> int:
        """Lines of the base state in all files whose name ends with `name`."""
        return sum(len(lines) for file, lines in self._files[0].items() if file.endswith(name))

    def write(self, folder: Path, description: Record) -> None:
        """Write every file and tenant.json beside `folder`, then put it in place whole.

        An earlier tenant of the same name is replaced; any other content is left alone (`FileExistsError`).
        """
        if folder.is_dir() and any(folder.iterdir()) and not _is_tenant(folder, description["name"]):
            raise FileExistsError(f"{folder} holds something else than the tenant {description['name']}; give an empty folder")
        partial = folder.with_name(folder.name + ".partial")
        shutil.rmtree(partial, ignore_errors=True)
        for step, files in enumerate(self._files):
            root = partial / "changes" / f"{step:03}" if step else partial
            for name, lines in sorted(files.items()):
                path = root / name
                path.parent.mkdir(parents=True, exist_ok=True)
                content = b"".join(line + b"\n" for _, line in sorted(lines, key=_arrival))
                path.write_bytes(gzip.compress(content, compresslevel=1, mtime=0) if name.endswith(".gz") else content)
        (partial / "tenant.json").write_bytes(orjson.dumps(description, option=orjson.OPT_INDENT_2))
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)


def _is_tenant(folder: Path, name: str) -> bool:
    try:
        return orjson.loads((folder / "tenant.json").read_bytes())["name"] == name
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _arrival(line: tuple[int, bytes]) -> int:
    return line[0]
