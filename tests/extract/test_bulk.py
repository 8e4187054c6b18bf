"""The bulk path: Data Connect and Synapse Link files land as the APIs' rows do."""

import json

import polars as pl
import pytest
from click.testing import CliRunner

from jobs.extract.bulk import import_folder
from jobs.extract.commands import import_
from jobs.extract.errors import SourceError
from tests.extract.world import UNA, World, account, guid, held, mailbox, message, settings

MARK = "MARKER7731"
SYSTEM = ["Id", "SinkCreatedOn", "SinkModifiedOn"]
ACCOUNT = [
    *SYSTEM,
    "accountid",
    "name",
    "ownerid",
    "ownerid_entitytype",
    "createdon",
    "merged",
    "description",
    "IsDelete",
    "versionnumber",
]
SUNK = "6/1/2026 9:05:00 AM"


def row(number, name, version, *, deleted="", sunk=SUNK):
    created = "2026-01-02T03:04:05.0000000+02:00"
    return [
        guid(number).upper(),
        SUNK,
        sunk,
        guid(number),
        name,
        guid(77),
        "systemuser",
        created,
        "False",
        MARK,
        deleted,
        str(version),
    ]


def cdm(folder, files, columns=None):
    """A CDM folder: `files` holds rows by path, each file quoted and without a header."""
    entities = [
        {"$type": "LocalEntity", "name": name, "attributes": [{"name": c, "dataType": "string"} for c in cols]}
        for name, cols in (columns or {"account": ACCOUNT}).items()
    ]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.json").write_text(json.dumps({"name": "cdm", "entities": entities}))
    for name, rows in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        lines = [",".join('"' + value.replace('"', '""') + '"' if value else "" for value in values) for values in rows]
        (folder / name).write_text("\r\n".join(lines) + "\r\n")
    return folder


def test_append_only_export_lands_the_latest_version_and_deletions(tmp_path):
    world = World(tmp_path, {"dataverse/accounts.jsonl": []})
    rows = {
        "account/2026-01.csv": [row(1, "old", 10), row(2, "gone soon", 11), row(3, 'Comma, "quote"\nand line', 12)],
        "account/2026-02.csv": [row(1, "new", 20), row(2, "gone soon", 21, deleted="True"), row(1, "older again", 15)],
        "account/Snapshot/2026-01_1.csv": [row(9, "read-only copy", 99)],
    }
    done = import_folder(cdm(tmp_path / "cdm", rows), world.home, world.settings, "import", world.clock.timing)
    assert (done.rows, done.removes) == (2, 1)
    found = held(world.rows())["accounts"]
    assert found == {
        guid(1): {"accountid": guid(1).upper(), "name": "new", "createdon": "2026-01-02T01:04:05Z", "_ownerid_value": guid(77), "_ownerid_value@Microsoft.Dynamics.CRM.lookuplogicalname": "systemuser", "merged": False},
        guid(3): {**found[guid(1)], "accountid": guid(3).upper(), "name": 'Comma, "quote"\nand line'},
    }  # fmt: skip
    assert world.rows("accounts")["round_kind"].unique().to_list() == ["import"]
    assert not any(MARK in str(value) for value in world.rows().rows())


def test_equal_versions_are_told_apart_by_sink_time(tmp_path):
    world = World(tmp_path, {"dataverse/accounts.jsonl": []})
    rows = {
        "account/1.csv": [row(1, "later", 5, sunk="12/31/2026 1:00:00 PM"), row(1, "sooner", 5, sunk="12/31/2026 11:00:00 AM")]
    }
    import_folder(cdm(tmp_path / "cdm", rows), world.home, world.settings, "import", world.clock.timing)
    assert held(world.rows())["accounts"][guid(1)]["name"] == "later"


def test_columns_appended_later_are_missing_in_older_files(tmp_path):
    world = World(tmp_path, {"dataverse/accounts.jsonl": []})
    columns = {"opportunity": [*SYSTEM, "name", "estimatedclosedate", "estimatedvalue"]}
    rows = {
        "opportunity/1.csv": [
            [guid(1), SUNK, SUNK, "deal", "2026-08-01T00:00:00.0000000Z"],
            [guid(2), SUNK, SUNK, "new deal", "", "12.5000000000"],
        ]
    }
    import_folder(cdm(tmp_path / "cdm", rows, columns), world.home, world.settings, "import", world.clock.timing)
    found = held(world.rows())["opportunities"]
    assert (found[guid(1)]["estimatedclosedate"], found[guid(1)]["estimatedvalue"]) == ("2026-08-01", None)
    assert found[guid(2)]["estimatedvalue"] == "12.5000000000"


def test_parquet_and_delta_tables(tmp_path):
    world = World(tmp_path, {"dataverse/accounts.jsonl": []})
    lake = tmp_path / "lake" / "deltalake"
    plain, delta = lake / "contact", lake / "account_partitioned"
    (delta / "_delta_log").mkdir(parents=True)
    plain.mkdir()
    pl.DataFrame({"Id": [guid(5)], "fullname": ["Cleo"], "createdon": [world.clock.at], "versionnumber": [1]}).write_parquet(
        plain / "a.parquet"
    )
    for name, value in (("old", "old"), ("new", "new")):
        pl.DataFrame({"Id": [guid(1)], "name": [value], "IsDelete": [False]}).write_parquet(delta / f"{name}.parquet")
    (delta / "_delta_log" / f"{0:020d}.json").write_text(json.dumps({"add": {"path": "old.parquet"}}) + "\n")
    (delta / "_delta_log" / f"{1:020d}.json").write_text(
        '{"remove": {"path": "old.parquet"}}\n{"add": {"path": "new.parquet"}}\n'
    )
    import_folder(tmp_path / "lake", world.home, world.settings, "import", world.clock.timing)
    found = held(world.rows())
    assert found["accounts"] == {guid(1): {"accountid": guid(1), "name": "new"}}
    assert found["contacts"][guid(5)] == {"contactid": guid(5), "fullname": "Cleo", "createdon": "2026-06-01T08:00:00Z"}


def connect(folder):
    def write(name, records):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in records))

    extra = {
        "puser": UNA.upper(),
        "ptenant": "t",
        "datarow": 1,
        "pAdditionalInfo": None,
        "rowinformation": {"userReturnedNoData": False},
    }
    mail = {**message("m1"), "body": {"content": MARK}, "bodyPreview": MARK, "ODataType": "#microsoft.graph.eventMessageRequest"}
    answer = "microsoft.graph.responseType'accepted'"
    meeting = {
        "id": "e1", "ICalUId": "uid", "type": "microsoft.graph.eventType'singleInstance'", "location": {"displayName": MARK},
        "attendees": [{"type": "microsoft.graph.attendeeType'required'", "status": {"response": answer}, "emailAddress": {"address": "bo@ours.example"}}],
    }  # fmt: skip
    write("User_v1/part-0.json", [{"id": UNA, "mail": "una@ours.example", "displayName": MARK, **extra}])
    write(
        "Message_v1/part-0.json",
        [
            {**mail, **extra},
            '{"cut',
            {"rowinformation": {"userReturnedNoData": True}, "puser": UNA},
            {"body": MARK, "puser": UNA},
        ],
    )
    write("Event_v1/part-0.json", [{**meeting, **extra}])
    return folder


def test_data_connect_rows_land_as_graph_rows(tmp_path):
    world = World(tmp_path, {"dataverse/accounts.jsonl": []})
    done = import_folder(connect(tmp_path / "mgdc"), world.home, world.settings, "import", world.clock.timing)
    assert (done.rows, done.rejects) == (3, 2)
    found = held(world.rows())
    mail = found[f"messages/{UNA}/Inbox"]["m1"]
    assert (
        mail["@odata.type"] == "#microsoft.graph.eventMessageRequest"
        and mail["from"]["emailAddress"]["address"] == "una@ours.example"
    )
    meeting = found[f"calendarView/{UNA}"]["e1"]
    assert (meeting["iCalUId"], meeting["type"], meeting["attendees"][0]["type"], meeting["attendees"][0]["status"]) == (
        "uid",
        "singleInstance",
        "required",
        {"response": "accepted"},
    )
    assert found["users"][UNA] == {"id": UNA, "mail": "una@ours.example"}
    assert not any(MARK in str(value) for value in world.rows().rows())


def test_n55_rows_of_an_opted_out_mailbox_are_not_imported(tmp_path):
    world = World(tmp_path, {"dataverse/accounts.jsonl": []})
    (tmp_path / "opt_out.csv").write_text("kind,value\naddress,una@ours.example\n")
    world.given = {"privacy_opt_out_file": tmp_path / "opt_out.csv"}
    import_folder(connect(tmp_path / "mgdc"), world.home, world.settings, "import", world.clock.timing)
    assert not [stream for stream in world.rows()["stream"].unique() if UNA in stream]


def test_exchange_rows_need_consent(tmp_path):
    with pytest.raises(SourceError, match="RAPPORT_EXCHANGE_CONSENT"):
        import_folder(
            connect(tmp_path / "mgdc"),
            tmp_path,
            settings(tmp_path, exchange_consent=None),
            "import",
            World(tmp_path, {"dataverse/accounts.jsonl": []}).clock.timing,
        )


def test_the_apis_go_on_from_an_import_with_a_full_round(tmp_path):
    world = World(
        tmp_path,
        {
            "dataverse/accounts.jsonl": [account(1, name="from the API"), account(4)],
            **mailbox([message("m1"), message("old", at="2020-01-01T00:00:00Z")]),
        },
    )
    world.given = {"first_load_days": 365}
    import_folder(
        cdm(tmp_path / "cdm", {"account/1.csv": [row(1, "exported", 1), row(2, "deleted since", 1)]}),
        world.home,
        world.settings,
        "import",
        world.clock.timing,
    )
    import_folder(connect(tmp_path / "mgdc"), world.home, world.settings, "import", world.clock.timing)
    world.clock.pass_by(hours=1)
    assert not world.crm("accounts").partial and not world.exchange().partial
    assert held(world.rows())["accounts"].keys() == {guid(1), guid(4)}
    assert held(world.rows())["accounts"][guid(1)]["name"] == "from the API"
    assert "old" not in held(world.rows())[f"messages/{UNA}/Inbox"]
    done = import_folder(
        cdm(tmp_path / "cdm", {"account/1.csv": [row(1, "exported", 1)]}),
        world.home,
        world.settings,
        "import",
        world.clock.timing,
    )
    assert (done.rows, done.skipped) == (0, {"accounts"})
    world.clock.pass_by(days=1)
    world.crm("accounts")
    assert_holds_the_tenant_table(world)


def assert_holds_the_tenant_table(world):
    found = held(world.rows("accounts"))["accounts"]
    assert {name: record["name"] for name, record in found.items()} == {guid(1): "from the API", guid(4): "Account 4"}


def test_import_command(tmp_path, monkeypatch):
    monkeypatch.setenv("RAPPORT_HOME", str(tmp_path / "home"))
    done = CliRunner().invoke(import_, [str(cdm(tmp_path / "cdm", {"account/1.csv": [row(1, "a", 1)]}))])
    assert done.output == "1 rows and 0 removals into 1 streams\n"
    own = CliRunner().invoke(import_, [str(tmp_path / "home")])
    assert "has neither Id nor accountid" in str(own.exception)
    (tmp_path / "empty").mkdir()
    empty = CliRunner().invoke(import_, [str(tmp_path / "empty")])
    assert isinstance(empty.exception, SourceError) and "holds nothing to import" in str(empty.exception)


def test_a_file_that_does_not_fit_its_model_is_named(tmp_path):
    folder = cdm(tmp_path / "cdm", {"account/1.csv": [row(1, "a", 1)]})
    (folder / "model.json").write_text("{}")
    with pytest.raises(SourceError, match=r"model\.json cannot be read"):
        import_folder(
            folder, tmp_path, settings(tmp_path), "import", World(tmp_path, {"dataverse/accounts.jsonl": []}).clock.timing
        )
