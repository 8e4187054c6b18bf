"""The folder `published`: immutable versions, the pointer `current`, and the log of what was switched when."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobs.errors import RapportError
from jobs.publish import files
from jobs.publish.catalogue import Mart

MANIFEST = "manifest.json"


class VersionError(RapportError):
    """A version does not exist, or its files are not those of its manifest."""


@dataclass(frozen=True)
class Version:
    """A complete version on disk."""

    folder: Path
    manifest: dict[str, Any]

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def content_hash(self) -> str:
        return self.manifest["content_hash"]

    @property
    def marts(self) -> dict[str, Mart]:
        """The marts of the version as its manifest describes them."""
        return {name: Mart.described(name, entry) for name, entry in self.manifest["marts"].items()}

    def mart_files(self, mart: str) -> list[Path]:
        """The Parquet files of a mart; empty when the version has no such mart."""
        entry = self.manifest["marts"].get(mart)
        return [self.folder / name for name in entry["files"]] if entry else []


def content_hash(hashes: Iterable[str]) -> str:
    """SHA-256 over the sorted hashes of the marts' Parquet files."""
    return hashlib.sha256("\n".join(sorted(hashes)).encode()).hexdigest()


class Published:
    """Reads and changes `$RAPPORT_HOME/published`; changes only while the caller holds the publish lock."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.root = home / "published"
        self.versions_folder = self.root / "versions"
        self.link = self.root / "current"
        self.log_file = self.root / "log.jsonl"
        self.intent_file = self.root / "switch.json"

    def versions(self) -> list[Version]:
        """Every complete version, oldest as-of first; raises `VersionError` that names a manifest which cannot be read."""
        found = []
        for file in sorted(self.versions_folder.glob(f"[!.]*/{MANIFEST}")):
            try:
                found.append(Version(file.parent, json.loads(file.read_text())))
            except ValueError:
                raise VersionError(
                    f"{file} is damaged: put it back from a backup, or move {file.parent.name} out of {self.versions_folder}"
                ) from None
        return found

    def current_name(self) -> str | None:
        """The version that `current` names."""
        return self.link.readlink().name if self.link.is_symlink() else None

    def current(self) -> Version | None:
        """The version that readers see; None before the first publication."""
        name = self.current_name()
        return self.version(name) if name else None

    def version(self, name: str) -> Version:
        """A kept version by its name or by a prefix that only it has."""
        matching = [v for v in self.versions() if v.name.startswith(name)]
        exact = [v for v in matching if v.name == name]
        if len(exact or matching) != 1:
            what = "no kept version begins" if not matching else f"{len(matching)} kept versions begin"
            raise VersionError(f"{what} with {name}: see `rapport versions`")
        return (exact or matching)[0]

    def log(self) -> list[dict[str, Any]]:
        """What was done, oldest first: `id`, `at`, `action`, `version`, `previous`, `run_id`, `as_of`, `reason`."""
        return files.read_lines(self.log_file)

    def record(self, entry: dict[str, Any]) -> None:
        """Add an entry to the log unless it is there already."""
        if all(e.get("id") != entry["id"] for e in self.log()):
            files.append_line(self.log_file, entry)

    def published_count(self) -> int:
        """How many versions were published so far, those no longer kept included (G5)."""
        return len({e["version"] for e in self.log() if e["action"] in ("publish", "release")})

    def point(self, version: Version) -> None:
        """Make `current` name `version`."""
        if self.current_name() != version.name:
            files.point(self.link, f"versions/{version.name}")

    def intent(self) -> dict[str, Any] | None:
        """The switch that was begun and not finished."""
        return json.loads(self.intent_file.read_text()) if self.intent_file.exists() else None

    def begin(self, intent: dict[str, Any]) -> None:
        files.write_json(self.intent_file, intent)

    def finish(self) -> None:
        self.intent_file.unlink(missing_ok=True)
        files.sync(self.root)

    def clean(self) -> None:
        """Remove what an interrupted publication left half-written."""
        self.versions_folder.mkdir(parents=True, exist_ok=True)
        for leftover in self.versions_folder.glob(".*"):
            files.remove_tree(leftover)

    def prune(self, keep: int) -> list[str]:
        """Remove all but the current version and the `keep` that were switched to last; returns their names."""
        recent: list[str] = []
        for entry in reversed(self.log()):
            if entry["version"] and entry["version"] not in recent:
                recent.append(entry["version"])
        keeping = {self.current_name(), *recent[:keep]}
        doomed = [v for v in self.versions() if v.name not in keeping]
        for version in doomed:
            files.remove_tree(version.folder)
        return [v.name for v in doomed]


def verify(version: Version) -> list[str]:
    """What is wrong with the files of a version, one text each; empty when they fit the manifest."""
    manifest = version.manifest
    wrong = []
    listed: dict[str, dict[str, Any]] = dict(manifest["containers"])
    for group in ("marts", "records"):
        for entry in manifest[group].values():
            listed.update(entry["files"])
    for name, entry in listed.items():
        path = version.folder / name
        if not path.exists():
            wrong.append(f"{version.name}/{name} is missing")
        elif path.stat().st_size != entry["bytes"] or files.sha256(path) != entry["sha256"]:
            wrong.append(f"{version.name}/{name} is not the file that was published")
    there = {str(p.relative_to(version.folder)) for p in version.folder.rglob("*") if p.is_file()}
    wrong += [f"{version.name}/{name} is not in the manifest" for name in sorted(there - set(listed) - {MANIFEST})]
    expected = content_hash(f["sha256"] for m in manifest["marts"].values() for f in m["files"].values())
    if expected != manifest["content_hash"]:
        wrong.append(f"{version.name}/{MANIFEST}: the content hash does not fit its files")
    return wrong
