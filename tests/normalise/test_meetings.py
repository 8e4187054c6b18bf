"""Meetings (N27-N36, N49)."""

import hashlib
from typing import Any

import pytest

from jobs.normalise.meetings import meeting_uid
from jobs.normalise.times import zone
from tests.normalise.world import World, guid, mailbox_id

CLEO, DAN = "cleo@acme.example", "dan@acme.example"
UNA, BO = "una@ours.example", "bo@ours.example"
UID = "040000008200E00074C5B7101A82E008{}80D1C0A4B2D9D901000000000000000010000000AABBCCDDEEFF00112233445566778899"


def at(row: dict[str, Any]) -> tuple[str, str]:
    return row["occurred_at"].strftime("%d %H:%M"), row["ended_at"].strftime("%d %H:%M")


def test_n27_one_meeting_over_calendars_and_dataverse() -> None:
    world = World()
    world.event("una", "e1", UNA, [CLEO], uid=UID.format("00000000"))
    world.event("bo", "e2", UNA, [CLEO], uid=UID.format("00000000").lower())
    world.appointment("app", (7, UNA), (5, CLEO), globalobjectid=UID.format("00000000").lower(), statecode=1)
    row = world.tables().one()
    key = hashlib.sha256(f"meeting:{UID.format('00000000')}".encode()).hexdigest()[:32]
    assert (row["activity_id"], row["source_systems"], row["source_state"]) == (key, ["dataverse", "graph"], "completed")


def test_n27_an_occurrence_is_its_series_and_original_start() -> None:
    world = World()
    world.event("una", "e1", UNA, [CLEO], uid=UID.format("07EA060A"), type="exception", originalStart="2026-06-10T10:00:00Z",
                start="2026-06-10T15:00:00", end="2026-06-10T15:30:00")  # fmt: skip
    world.event("bo", "e2", UNA, [CLEO], uid=UID.format("07EA060A"), type="occurrence", originalStart="2026-06-10T12:00:00+02:00")
    world.event("una", "e3", UNA, [CLEO], uid=UID.format("07EA060B"), type="occurrence", originalStart="2026-06-11T10:00:00Z",
                start="2026-06-11T10:00:00", end="2026-06-11T10:30:00")  # fmt: skip
    world.appointment("app", (7, UNA), globalobjectid=UID.format("00000000"), instancetypecode=2, scheduledstart="2026-06-11T10:00:00Z",
                      scheduledend="2026-06-11T10:30:00Z")  # fmt: skip
    assert [at(row) for row in world.tables().activities()] == [("10 15:00", "10 15:30"), ("11 10:00", "11 10:30")]


@pytest.mark.parametrize(
    ("text", "uid", "has_date"),
    [
        (UID.format("07EA060A").lower(), UID.format("00000000"), True),
        (" Uid@Other ", "Uid@Other", False),
        (
            "040000008200E00074C5B7101A82E008" + "0" * 48 + "7643616C2D55696401000000" + b"ev-1@cal.example".hex() + "00FF",
            "ev-1@cal.example",
            False,
        ),
        ("abab" * 20, "abab" * 20, False),
        ("  ", None, False),
    ],
)
def test_n28_uids(text: str, uid: str | None, has_date: bool) -> None:
    assert meeting_uid(text) == (uid, has_date)


def test_n28_meetings_without_uid_never_merge() -> None:
    world = World()
    world.event("una", "e1", UNA, [CLEO], uid=None)
    world.event("bo", "e2", UNA, [CLEO], uid=" ")
    world.appointment("app", (7, UNA), (5, CLEO))
    keys = [f"meeting:{mailbox_id('una')}/e1", f"meeting:{mailbox_id('bo')}/e2", f"meeting:{guid('app')}"]
    expected = {hashlib.sha256(key.encode()).hexdigest()[:32] for key in keys}
    assert {row["activity_id"] for row in world.tables().activities()} == expected


def test_n29_organizers_copy_then_latest_then_dataverse() -> None:
    world = World()
    world.event(
        "bo",
        "e1",
        CLEO,
        [],
        uid="u",
        start="2026-06-10T11:00:00",
        end="2026-06-10T12:00:00",
        lastModifiedDateTime="2026-05-03T00:00:00Z",
    )
    world.event("cem", "e2", CLEO, [], uid="u", lastModifiedDateTime="2026-05-02T00:00:00Z")
    world.appointment(
        "app", (7, CLEO), globalobjectid="u", scheduledstart="2026-06-10T13:00:00Z", scheduledend="2026-06-10T14:00:00Z"
    )
    assert at(world.tables().one()) == ("10 11:00", "10 12:00")
    world.event(
        "una", "e3", CLEO, [], uid="u", start="2026-06-10T09:00:00", end="2026-06-10T09:30:00", isOrganizer=True, isAllDay=True
    )
    row = world.tables().one()
    assert (at(row), row["is_all_day"], row["duration_minutes"]) == (("10 09:00", "10 09:30"), True, 30.0)
    world = World()
    world.appointment("a", (7, UNA), globalobjectid="u", modifiedon="2026-05-01T00:00:00Z")
    world.appointment("b", (7, UNA), globalobjectid="u", modifiedon="2026-05-02T00:00:00Z", scheduledend="2026-06-10T11:00:00Z")
    assert at(world.tables().one()) == ("10 10:00", "10 11:00")


def test_n30_attendees_of_the_organizers_copy_and_dataverse_parties() -> None:
    world = World()
    world.event("una", "e1", UNA, [CLEO, BO], uid="u")
    world.event("bo", "e2", UNA, [DAN, BO], uid="u")
    world.appointment("app", (7, "else@ours.example"), (6, "opt@acme.example"), (8, "no@acme.example"), globalobjectid="u")
    roles = {UNA: "organizer", CLEO: "required", BO: "required", "else@ours.example": "required", "opt@acme.example": "optional"}
    assert world.tables().roles() == roles
    world = World()
    world.event("una", "e1", CLEO, [(UNA, "optional")], uid="u", lastModifiedDateTime="2026-05-03T00:00:00Z")
    world.event("bo", "e2", DAN, [BO, UNA], uid="u")
    assert world.tables().roles() == {CLEO: "organizer", DAN: "required", BO: "required", UNA: "required"}


def test_n31_owner_of_a_calendar_who_is_not_invited_is_delivered_with_the_answer() -> None:
    world = World()
    world.event("una", "e1", CLEO, ["team@ours.example"], uid="u", response="declined")
    world.event("bo", "e2", CLEO, ["team@ours.example"], uid="u", response="accepted")
    tables = world.tables()
    assert tables.roles() == {CLEO: "organizer", "team@ours.example": "required", UNA: "delivered", BO: "delivered"}
    assert tables.responses() == {CLEO: "accepted", "team@ours.example": "none", UNA: "declined", BO: "accepted"}


def test_n31_a_resource_address_that_a_party_names_leaves_its_owner_delivered() -> None:
    world = World()
    world.graph_user("bo", proxyAddresses=["smtp:desk@ours.example"])
    world.event("bo", "e1", UNA, [("desk@ours.example", "resource")], uid="u")
    world.appointment("crm", (5, "desk@ours.example"), globalobjectid="u")
    assert world.tables().roles() == {UNA: "organizer", BO: "delivered"}


@pytest.mark.parametrize(
    ("organizers", "others", "appointment", "state"),
    [(True, [False], None, "cancelled"), (False, [True], 2, "open"), (None, [True, True], 2, "cancelled"), (None, [True, True], 3, "open"),
     (None, [True, False], None, "open"), (None, [], 2, "cancelled")],
)  # fmt: skip
def test_n32_who_cancels(organizers: bool | None, others: list[bool], appointment: int | None, state: str) -> None:
    world = World()
    if organizers is not None:
        world.event("una", "e1", UNA, [CLEO], uid="u", isCancelled=organizers)
    for user, cancelled in zip(("bo", "cem"), others, strict=False):
        world.event(user, user, UNA, [CLEO], uid="u", isCancelled=cancelled)
    if appointment is not None:
        world.appointment("app", (7, UNA), globalobjectid="u", statecode=appointment)
    assert world.tables().one()["source_state"] == state


def test_n33_an_occurrence_takes_missing_keys_from_its_master_and_null_stays_null() -> None:
    world = World()
    world.event("una", "m", UNA, [CLEO], uid=UID.format("00000000"), type="seriesMaster", isCancelled=True)
    thin = {"isOrganizer": ..., "isCancelled": ..., "seriesMasterId": "m", "type": "occurrence"}
    world.event("una", "o1", ..., ..., uid=UID.format("07EA060B"), start="2026-06-11T10:00:00", end="2026-06-11T10:45:00", **thin)
    world.event("una", "o2", ..., None, uid=UID.format("07EA060C"), start="2026-06-12T10:00:00", end="2026-06-12T10:45:00",
                **{**thin, "isCancelled": False})  # fmt: skip
    tables = world.tables()
    first, second = tables.activities()
    assert (at(first), first["source_state"]) == (("11 10:00", "11 10:45"), "cancelled")
    assert tables.roles(first["activity_id"]) == {UNA: "organizer", CLEO: "required"}
    assert (second["source_state"], tables.roles(second["activity_id"])) == ("open", {UNA: "organizer"})


def test_n33_dataverse_masters_and_drafts_are_no_meetings() -> None:
    world = World()
    world.appointment("master", (7, UNA), instancetypecode=1)
    world.appointment("draft", (7, UNA), isdraft=True)
    assert world.tables().activities() == []


def test_n34_own_copy_then_organizers_then_the_latest_answer() -> None:
    early, late = "2026-05-01T00:00:00Z", "2026-05-02T00:00:00Z"
    world = World()
    world.event(
        "una",
        "e1",
        UNA,
        [(BO, "required", "accepted", early), (CLEO, "required", "none", None), (DAN, "required", "declined", early)],
        uid="u",
    )
    world.event("bo", "e2", UNA, [(CLEO, "required", "declined", late)], uid="u", response="tentativelyAccepted")
    world.appointment("app", (5, "crm@acme.example"), globalobjectid="u")
    answers = world.tables().responses()
    assert answers == {UNA: "accepted", BO: "tentative", CLEO: "none", DAN: "declined", "crm@acme.example": "none"}
    world = World()
    world.event("una", "e1", CLEO, [(DAN, "required", "accepted", early), UNA, BO], uid="u", response="notResponded")
    world.event(
        "bo",
        "e2",
        CLEO,
        [(DAN, "required", "declined", late), (UNA, "required", "accepted", early)],
        uid="u",
        response="organizer",
    )
    answers = world.tables().responses()
    assert (answers[DAN], answers[UNA], answers[BO]) == ("declined", "accepted", "none")


@pytest.mark.parametrize(
    ("text", "name", "utc"),
    [
        ("2026-06-10T12:00:00.0000000", "W. Europe Standard Time", "2026-06-10 10:00"),
        ("2026-01-14T12:00:00", "Europe/Berlin", "2026-01-14 11:00"),
        ("2025-10-26T02:30:00", "Europe/Berlin", "2025-10-26 00:30"),
        ("2026-03-29T02:30:00", "Europe/Berlin", "2026-03-29 01:30"),
        ("2026-06-10T12:00:00", "", "2026-06-10 12:00"),
        ("2026-06-10T12:00:00", "tzone://Microsoft/Utc", "2026-06-10 12:00"),
        ("2026-06-10T12:00:00+05:00", "Mars Standard Time", "2026-06-10 07:00"),
        ("2026-06-10T00:00:00", "Tokyo Standard Time", "2026-06-09 15:00"),
        ("2026-06-10T12:00:00", "Mars Standard Time", None),
    ],
)
def test_n35_zones(text: str, name: str, utc: str | None) -> None:
    world = World()
    world.event("una", "e1", UNA, [CLEO], start=text, end=None, zone=name)
    tables = world.tables()
    assert [row["occurred_at"].strftime("%Y-%m-%d %H:%M") for row in tables.activities()] == ([utc] if utc else [])
    assert tables.reasons() == ([] if utc else ["unknown_zone"])


def test_n35_every_windows_zone_is_an_iana_zone() -> None:
    assert zone("Romance Standard Time").key == "Europe/Paris"
    assert zone("Samoa Standard Time").key == "Pacific/Apia"
    assert zone("nowhere") is None


def window(day: int) -> dict[str, Any]:
    from datetime import UTC, datetime

    return {"window_start": datetime(2026, 6, day, tzinfo=UTC), "window_end": datetime(2026, 6, 30, tzinfo=UTC)}


def test_n36_a_meeting_stays_when_the_window_slides_and_goes_when_removed_inside_it() -> None:
    world = World()
    stream = f"calendarView/{mailbox_id('una')}"
    world.event("una", "old", UNA, [CLEO], start="2026-06-01T10:00:00", end="2026-06-01T11:00:00")
    world.event("una", "seen", UNA, [CLEO], start="2026-06-20T10:00:00", end="2026-06-20T11:00:00")
    world.event("una", "gone", UNA, [CLEO], start="2026-06-21T10:00:00", end="2026-06-21T11:00:00")
    world.end_round(stream, **window(1))
    world.later("full")
    world.event("una", "seen", UNA, [CLEO], start="2026-06-20T10:00:00", end="2026-06-20T11:00:00")
    assert [row["occurred_at"].day for row in world.tables().activities()] == [1, 20, 21]
    world.end_round(stream, **window(10))
    assert [row["occurred_at"].day for row in world.tables().activities()] == [1, 20]
    world.later()
    world.remove(stream, "old", **window(10))
    world.remove(stream, "seen", **window(10))
    assert [row["occurred_at"].day for row in world.tables().activities()] == [1]


def test_n49_private_in_one_copy_is_private_and_hides_names() -> None:
    world = World()
    world.event("una", "e1", UNA, [CLEO], uid="u")
    world.event("bo", "e2", UNA, [CLEO], uid="u", sensitivity="Private")
    world.event(
        "una", "e3", UNA, [CLEO], uid="v", sensitivity="confidential", start="2026-06-11T10:00:00", end="2026-06-11T10:30:00"
    )
    world.appointment(
        "app", (7, UNA), ismapiprivate=True, scheduledstart="2026-06-12T10:00:00Z", scheduledend="2026-06-12T10:30:00Z"
    )
    tables = world.tables()
    assert [row["is_private"] for row in tables.activities()] == [True, False, True]
    hidden = tables["activity_participant"].filter(activity_id=tables.activities()[0]["activity_id"])
    assert hidden.get_column("display_name").to_list() == [None] * 3
    assert CLEO in hidden.get_column("address").to_list()


def test_r7_a_draft_counts_and_an_event_without_end_ends_at_its_start() -> None:
    world = World()
    world.event("una", "e1", UNA, [CLEO], end=None, isDraft=True)
    row = world.tables().one()
    assert (at(row), row["duration_minutes"]) == (("10 10:00", "10 10:00"), 0.0)


def test_r8_a_deciding_copy_without_organizer_has_none() -> None:
    world = World()
    world.event("una", "e1", None, [UNA], uid="u")
    world.appointment("app", (7, CLEO), (5, UNA), globalobjectid="u")
    assert world.tables().roles() == {UNA: "required", CLEO: "required"}
