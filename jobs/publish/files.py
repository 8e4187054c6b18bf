"""Durable file operations: a file or a folder is there whole, also after a power cut, or not at all."""

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any


def sha256(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync(path: Path) -> None:
    """Wait until a file, or a folder's list of names, is on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """`sync` for everything below `folder`, then for itself."""
    for path in sorted(folder.rglob("*"), reverse=True):
        if not path.is_symlink():
            sync(path)
    sync(folder)


def seal_tree(folder: Path) -> None:
    """Take the right to write from every file below `folder`: whoever opens a version for writing by mistake is refused."""
    for path in folder.rglob("*"):
        if path.is_file():
            path.chmod(path.stat().st_mode & ~0o222)


def move(source: Path, target: Path) -> None:
    """Rename within one file system, replacing a file; durable when it returns."""
    os.replace(source, target)
    sync(target.parent)


def write_bytes(path: Path, content: bytes) -> None:
    """Replace a file as a whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    move(partial, path)


def write_json(path: Path, value: Any) -> None:
    """Replace a JSON file as a whole; keys keep their order."""
    write_bytes(path, json.dumps(value, indent=1, ensure_ascii=False).encode() + b"\n")


def append_line(path: Path, value: Any) -> None:
    """Add one JSON object as a line; a torn last line of an interrupted writer is cut off first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab+") as file:
        file.seek(0)
        content = file.read()
        whole = content.rfind(b"\n") + 1
        if whole != len(content):
            file.truncate(whole)
        file.write(json.dumps(value, ensure_ascii=False).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a file of JSON objects; empty when there is none."""
    if not path.exists():
        return []
    content = path.read_bytes()
    return [json.loads(line) for line in content[: content.rfind(b"\n") + 1].splitlines()]


def point(link: Path, target: str) -> None:
    """Replace a symbolic link atomically; readers see the old target or the new one."""
    fresh = link.with_name(f".{link.name}.next")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(target)
    move(fresh, link)


def link_or_copy(source: Path, target: Path) -> None:
    """Hard-link a file that never changes; a copy where the file system has no hard links."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def remove_tree(folder: Path) -> None:
    """Remove a folder so that its name never stands for a part of it."""
    if folder.exists():
        doomed = folder.with_name(f".doomed-{folder.name.lstrip('.')}")
        shutil.rmtree(doomed, ignore_errors=True)
        os.replace(folder, doomed)
        shutil.rmtree(doomed)
