"""The rules are pure functions of lazy frames, which another engine can run as the stage does; few functions beside them collect."""

import inspect
import sys
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from jobs.normalise import activities, calendars, crm, emails, folders, gone, mail, meetings, people, quarantine, replay
from jobs.privacy import opt_out
from tests.normalise.arrivals import CLEO, Chance, Cleaning, batches, random_world
from tests.normalise.home import land, stage
from tests.normalise.world import guid, person

MODULES = [activities, calendars, crm, emails, folders, gone, mail, meetings, people, quarantine, replay, opt_out]
EAGER = {
    "activities.calls_and_tasks": "runs the rules for calls and tasks",
    "calendars._older": "reads older rows of the raw log",
    "calendars.update": "runs the rules for events",
    "crm._none": "makes an empty table",
    "crm._untyped": "asks whether there is anything to look for",
    "crm.read_tables": "runs the rules for Dataverse records",
    "crm.updated": "gives a table back itself when nothing changed",
    "emails.email_of": "numbers rows at hand",
    "emails.emails": "runs the rules for emails",
    "mail.graph_copies": "runs the rules for copies in mailboxes",
    "meetings.meetings": "runs the rules for meetings",
    "opt_out.with_people": "gives sets, which are compared with those of the run before",
    "quarantine.summed": "adds counts up",
}
"""Functions of these modules that take, make or give frames at hand, and why."""


def functions() -> dict[str, Callable[..., Any]]:
    """The functions of the modules, by module and name."""
    return {
        f"{module.__name__.rpartition('.')[2]}.{name}": function
        for module in MODULES
        for name, function in vars(module).items()
        if inspect.isfunction(function) and function.__module__ == module.__name__
    }


def is_eager(function: Callable[..., Any]) -> bool:
    told = " ".join(map(str, function.__annotations__.values()))
    return "DataFrame" in told or any(word in inspect.getsource(function) for word in ("collect(", "collect_all(", "collected("))


def rules() -> dict[str, Callable[..., Any]]:
    """Functions that give lazy frames, or frames of the kind they are given."""
    return {
        name: function
        for name, function in functions().items()
        if "Frame" in str(function.__annotations__.get("return")) and not is_eager(function)
    }


def test_only_what_runs_the_rules_collects() -> None:
    assert {name for name, function in functions().items() if is_eager(function)} == set(EAGER)


class Wordy(Chance):
    """Draws mail with signs of machines and lists, emails and events with subjects, and appointments about somebody, too."""

    SIGNS = (
        ("Auto-Submitted", "auto-replied"),
        ("List-Post", f"<mailto:{CLEO}>"),
        ("References", "<1@mid.example> <2@mid.example>"),
    )

    def mail(self) -> None:
        user, number = self.pick("una", "bo"), self.number()
        self.world.mail(user, self.pick("inbox", "sentitems"), f"{user}-{number}", self.pick(CLEO, "x@y.example"), ["una@ours.example"],
                        at=self.at(), message_id=self.pick(f"<{number}@mid.example>", None), headers=self.random.sample(self.SIGNS, 2),
                        replyTo=[person("dan@acme.example", "Dan")])  # fmt: skip

    def event(self) -> None:
        answer, subject = self.pick("accepted", "none"), self.pick("Hello", None)
        self.world.event("una", f"una-e{self.number()}", CLEO, ["una@ours.example"], response=answer, subject=subject)

    def crm_mail(self) -> None:
        number, message_id = self.number(), self.pick(None, f"<{self.number()}@mid.example>")
        self.world.crm_mail(f"crm{number}", (1, self.someone()), (2, self.someone()), subject="Hello", messageid=message_id)

    def appointment(self) -> None:
        self.world.appointment(f"app{self.number()}", (7, self.someone()), regardingobjectid=("contact", guid("dan")))


class BothWays:
    """Runs rules on the frames that they are given, and on files that hold the same with the streaming engine; compares the rows."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.compared: Counter[str] = Counter()
        self.files = 0
        self.here = threading.local()

    def wrapped(self, name: str, rule: Callable[..., Any]) -> Callable[..., Any]:
        def both(*given: Any, **named: Any) -> Any:
            found = rule(*given, **named)
            if not getattr(self.here, "is_busy", False) and self.compared[name] < 4:
                self.here.is_busy = True
                lazy = rule(*map(self.scanned, given), **named)
                told = rows(found, "in-memory")
                assert rows(lazy, "streaming") == told, name
                self.compared[name] += any(told)
                self.here.is_busy = False
            return found

        return both

    def scanned(self, given: Any) -> Any:
        """The same, with its frames as scans of files."""
        if isinstance(given, pl.DataFrame | pl.LazyFrame):
            self.files += 1
            file = self.folder / f"{self.files}-{threading.get_ident()}.parquet"
            given.lazy().collect().write_parquet(file)
            return pl.scan_parquet(file)
        if isinstance(given, dict):
            return {name: self.scanned(value) for name, value in given.items()}
        if is_dataclass(given):
            return type(given)(*[self.scanned(getattr(given, field.name)) for field in fields(given)])
        return given


def rows(found: Any, engine: Any) -> list[list[str]]:
    """The rows of a frame, or of each in a dataclass, in an order that depends on them alone."""
    frames = [getattr(found, field.name) for field in fields(found)] if is_dataclass(found) else [found]
    collected = [frame.lazy().collect(engine=engine) for frame in frames]
    return [sorted(map(repr, frame.select(sorted(frame.columns)).rows())) for frame in collected]


def test_every_rule_gives_the_same_rows_on_lazy_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    both = BothWays(tmp_path)
    places = [module for name, module in sys.modules.items() if name.startswith(("jobs.normalise", "jobs.privacy"))]
    every = rules()
    for name, rule in every.items():
        compared = both.wrapped(name, rule)
        for module in places:
            for word in [word for word, value in vars(module).items() if value is rule]:
                monkeypatch.setattr(module, word, compared)
    out = tmp_path / "out.csv"
    out.write_text(f"kind,value\nuser,{guid('bo')}\n")
    for drawn, settings in (
        (Wordy, {"privacy_opt_out_file": out, "collect_subjects": True}),
        (Cleaning, {"drop_deleted_mail": True}),
    ):
        world = random_world(4, drawn=drawn)
        arrived = batches(world, 4, 2)
        for days in (1, 2):
            land(world, tmp_path / drawn.__name__, arrived[:days])
            stage(tmp_path / drawn.__name__, **settings)
    assert {name for name, times in both.compared.items() if times} == set(every)
