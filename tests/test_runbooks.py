"""What the pages tell people to type exists: commands with these options, DAGs, settings, checks, files."""

import re
from pathlib import Path

import click
import pytest

from jobs.cli import rapport
from jobs.quality.gate import EXPECTATIONS
from jobs.quality.suites import read_suites
from jobs.settings import PROJECT_ROOT, Settings

PAGES = sorted([*(PROJECT_ROOT / "docs").rglob("*.md"), PROJECT_ROOT / "README.md"])
DAGS = {file.stem for file in (PROJECT_ROOT / "dags").glob("*.py")}
OF_THE_OS = {"RAPPORT_CANDIDATE"}


def commands(page: Path) -> list[list[str]]:
    """The words of every `rapport ...` in code of a page."""
    text = page.read_text()
    blocks = re.findall(r"^ *```[a-z]*\n(.*?)^ *```", text, re.S | re.M)
    inline = re.findall(r"`([^`]+)`", re.sub(r"^ *```.*?^ *```", "", text, flags=re.S | re.M))
    lines = [*inline, *(line for block in blocks for line in block.splitlines())]
    found = (re.match(r"\s*(?:\.venv/bin/)?rapport ([a-z].*)", line) for line in lines)
    return [" ".join(match[1].split()).split() for match in found if match]


def trouble(words: list[str]) -> str | None:
    """What of a command does not exist."""
    name, *rest = words
    command = rapport.get_command(click.Context(rapport), name)
    if command is None:
        return f"there is no command {name}"
    if name == "airflow":
        return None
    known = {option for parameter in command.params for option in parameter.opts} | {"-h", "--help"}
    unknown = [word for word in rest if word.startswith("-") and word.split("=")[0] not in known]
    if name == "run" and (dags := {word for word in rest if re.fullmatch(r"[a-z]+_[a-z_]+", word)} - DAGS):
        return f"there is no DAG {', '.join(sorted(dags))}"
    return f"{name} has no option {', '.join(unknown)}" if unknown else None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT_ROOT)))
def test_commands_and_settings_of_a_page_exist(page):
    assert [found for words in commands(page) if (found := trouble(words))] == []
    named = set(re.findall(r"RAPPORT_[A-Z_]+[A-Z]", page.read_text())) - OF_THE_OS
    known = {f"RAPPORT_{name.upper()}" for name in Settings.model_fields}
    assert named - known == set()


def test_the_runbooks_name_commands():
    assert {words[0] for page in (PROJECT_ROOT / "docs" / "runbooks").glob("*.md") for words in commands(page)} >= {
        "airflow", "diff", "doctor", "export", "forget", "release", "resync", "rollback", "run", "status", "verify", "versions",
    }  # fmt: skip


def test_a_command_that_does_not_exist_is_found():
    assert "no command" in trouble(["publishnow"]) and "no option" in trouble(["release", "--because", "x"])
    assert "no DAG" in trouble(["run", "relationship_kpi"])


def test_the_checks_of_the_runbook_exist():
    page = (PROJECT_ROOT / "docs" / "runbooks" / "gate-failed.md").read_text()
    known = {f"{suite.name}.{e.name}" for suite in read_suites(EXPECTATIONS) for e in suite.expectations}
    named = re.findall(r"`((?:sources|cross_version|cross_table)\.[a-z_]+)`", page)
    assert len(named) > 4 and set(named) <= known


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT_ROOT)))
def test_links_and_paths_of_a_page_exist(page):
    text = page.read_text()
    linked = [link for link in re.findall(r"\]\(([^)#]+)", text) if "://" not in link]
    assert [link for link in linked if not (page.parent / link).exists()] == []
    paths = re.findall(r"`((?:jobs|dags|docs|expectations|dbt_project|tests|sandbox)/[\w./]+\.(?:py|md|yml|sql))`", text)
    assert [path for path in paths if not (PROJECT_ROOT / path).exists()] == []
