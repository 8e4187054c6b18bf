"""Phone calls, tasks and what all activities share (N37-N50)."""

import hashlib

import pytest

from tests.normalise.world import World, guid, mailbox_id, person

CLEO, DAN = "cleo@acme.example", "dan@acme.example"
UNA, BO = "una@ours.example", "bo@ours.example"


@pytest.mark.parametrize(("code", "state"), [(1, "completed"), (2, "cancelled"), (0, "open"), (None, "open"), (7, "open")])
def test_n37_states_of_calls_and_tasks(code: int | None, state: str) -> None:
    world = World()
    world.call("call", (1, UNA), statecode=code, statuscode=99)
    world.add("tasks", guid("task"), statecode=code, scheduledend="2026-06-10T10:00:00Z", ownerid=("systemuser", guid("una")))
    assert [row["source_state"] for row in world.tables().activities()] == [state, state]


@pytest.mark.parametrize(
    ("values", "at"),
    [
        ({"actualend": "2026-06-09", "scheduledend": "2026-06-10T10:00:00Z"}, "2026-06-09T00:00:00"),
        (
            {"actualend": None, "scheduledend": "2026-06-10T10:00:00Z", "scheduledstart": "2026-06-01T00:00:00Z"},
            "2026-06-10T10:00:00",
        ),
        ({"actualend": "soon", "scheduledstart": "2026-06-01T08:00:00Z"}, "2026-06-01T08:00:00"),
        ({"actualend": None}, None),
        ({"statecode": 0, "actualend": "2026-06-09T00:00:00Z", "scheduledend": "2026-07-10T10:00:00Z"}, "2026-07-10T10:00:00"),
    ],
)
def test_n38_times_of_calls(values: dict, at: str | None) -> None:
    world = World()
    world.call("call", (1, UNA), **values)
    row = world.tables().one()
    assert (row["occurred_at"] and row["occurred_at"].isoformat()[:19]) == at
    assert row["ended_at"] == row["occurred_at"]


def test_n39_call_parties_keep_their_masks_and_the_owner_has_a_row() -> None:
    world = World()
    world.call("call", (1, CLEO), (2, BO), (2, DAN), directioncode=True, ownerid=("systemuser", guid("una")))
    assert world.tables().roles() == {CLEO: "from", BO: "callee", DAN: "callee", UNA: "owner"}


def test_n40_one_row_an_address_with_the_strongest_role_and_smallest_name() -> None:
    world = World()
    world.mail("una", "sentitems", "m1", UNA, [], message_id="<x@y>", toRecipients=[person("Cleo@acme.example", "Zed")],
               ccRecipients=[person(CLEO, " Abe "), person(DAN, " ")], bccRecipients=[person(DAN, "Dan"), person("b@y.example")])  # fmt: skip
    world.crm_mail("crm", (1, UNA), (2, DAN), messageid="<x@y>")
    tables = world.tables()
    assert tables.roles() == {UNA: "sender", CLEO: "to", DAN: "to", "b@y.example": "bcc"}
    names = dict(tables["activity_participant"].select("address", "display_name").iter_rows())
    assert (names[CLEO], names[DAN]) == ("Abe", "Dan")


def test_n40_a_sender_bears_the_smallest_name_of_the_copies_that_say_the_same_sender() -> None:
    world = World()
    said = {"una": person(CLEO, "Zed"), "bo": person("Cleo@acme.example", " Abe "), "cem": person(DAN, "Aaron")}
    for second, (user, author) in enumerate(said.items()):
        world.mail(user, "inbox", "m1", to=[UNA], message_id="<x@y>", at=f"2026-06-10T10:00:0{second}Z", **{"from": author})
    tables = world.tables()
    assert tables.sender() == CLEO
    names = dict(tables["activity_participant"].select("address", "display_name").iter_rows())
    assert names[CLEO] == "Abe"


def test_n42_activity_ids() -> None:
    world = World()
    world.call("call", (1, UNA))
    world.mail("una", "inbox", "m1", CLEO, [UNA], at="2026-06-11T10:00:00Z")
    keys = [f"phone_call:{guid('call')}", "email:m1@mid.example"]
    assert [row["activity_id"] for row in world.tables().activities()] == [
        hashlib.sha256(k.encode()).hexdigest()[:32] for k in keys
    ]


def test_n43_source_state_is_what_the_source_says() -> None:
    world = World()
    world.mail("una", "inbox", "m1", CLEO, [UNA], at="2090-06-10T10:00:00Z")
    world.event("una", "e1", UNA, [CLEO], start="2026-06-10T10:00:00")
    assert [row["source_state"] for row in world.tables().activities()] == ["open", "completed"]


@pytest.mark.parametrize(
    ("values", "minutes"),
    [
        ({"actualdurationminutes": 17}, 17.0),
        ({"actualstart": "2026-06-10T09:58:30Z"}, 1.5),
        ({"scheduleddurationminutes": 45}, 0.0),
        ({"actualdurationminutes": -5}, 0.0),
        ({"actualstart": "2026-06-10T11:00:00Z"}, 0.0),
        ({"actualdurationminutes": 0, "actualstart": "2026-06-10T09:00:00Z"}, 0.0),
    ],
)
def test_n44_duration_of_calls(values: dict, minutes: float) -> None:
    world = World()
    world.call("call", (1, UNA), **values)
    assert world.tables().one()["duration_minutes"] == minutes


def test_n44_duration_of_meetings() -> None:
    world = World()
    world.event("una", "e1", UNA, [CLEO], end="2026-06-10T10:00:30")
    world.appointment("a", (7, UNA), scheduledend=None, scheduleddurationminutes=25, scheduledstart="2026-06-11T10:00:00Z")
    world.appointment("b", (7, UNA), scheduledend=None, scheduledstart="2026-06-12T10:00:00Z")
    assert [row["duration_minutes"] for row in world.tables().activities()] == [0.5, 25.0, 0.0]


@pytest.mark.parametrize(
    ("code", "status", "direction"),
    [(True, 4, "outgoing"), (False, 2, "incoming"), (None, 4, "incoming"), (None, 2, "outgoing"), (None, None, "outgoing")],
)
def test_n45_direction_of_calls(code: bool | None, status: int | None, direction: str) -> None:
    world = World()
    world.call("call", (1, UNA), directioncode=code, statuscode=status)
    assert world.tables().one()["direction"] == direction


def test_n46_an_internal_email_has_only_team_participants() -> None:
    world = World()
    world.mail("una", "sentitems", "m1", UNA, [BO])
    tables = world.tables()
    assert {tables.address(address)["side"] for address in tables.roles()} == {"us"}


def test_n47_nulls_by_type() -> None:
    world = World()
    world.mail("una", "inbox", "m1", CLEO, [UNA])
    world.call("call", (1, UNA), actualend="2026-06-11T10:00:00Z")
    mail, call = world.tables().activities()
    assert (mail["duration_minutes"], mail["ended_at"], mail["open_count"], mail["is_followed"]) == (
        None,
        mail["occurred_at"],
        0,
        False,
    )
    assert (call["duration_minutes"], call["open_count"], call["is_followed"], call["is_all_day"]) == (0.0, None, False, False)
    assert set(world.tables()["activity_participant"].get_column("response")) == {None}


def test_n48_one_regarding_of_the_latest_copy_then_the_smallest_id() -> None:
    world = World()
    for name, day in (("a", 1), ("c", 3), ("b", 3)):
        world.crm_mail(name, (1, UNA), (2, CLEO), messageid="<x@y>", regardingobjectid=("opportunity", guid(f"deal-{name}")),
                       modifiedon=f"2026-05-0{day}T00:00:00Z")  # fmt: skip
    world.crm_mail("d", (1, UNA), (2, CLEO), messageid="<x@y>", modifiedon="2026-05-09T00:00:00Z")
    world.crm_mail("e", (1, UNA), (2, CLEO), messageid="<x@y>", regardingobjectid=("lead", guid("lead")), statecode=0,
                   modifiedon="2026-05-09T00:00:00Z")  # fmt: skip
    row = world.tables().one()
    assert (row["regarding_type"], row["regarding_id"]) == ("opportunity", guid("deal-b"))


def test_n50_where_an_activity_comes_from() -> None:
    world = World()
    world.mail("una", "sentitems", "M1", UNA, [CLEO], message_id="<x@y>")
    record = world.crm_mail("crm", (1, UNA), messageid="<x@y>")
    world.crm_mail("draft", (1, UNA), messageid="<x@y>", statecode=0)
    row = world.tables().one()
    assert row["source_systems"] == ["dataverse", "graph"]
    assert row["source_ids"] == [f"dataverse:{record}", f"graph:{mailbox_id('una')}:M1"]
    emails = [r for r in world.rows if r["stream"] == "emails" and r["record_id"] == record]
    assert row["ingested_at"] == emails[0]["received_at"]
