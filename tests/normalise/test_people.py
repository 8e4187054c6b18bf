"""Addresses, sides and people (N1-N13)."""

import pytest

from jobs.normalise.addresses import canonical_address, website_domain
from tests.normalise.world import World, guid, mailbox_id

CLEO = "cleo@acme.example"
UNA = "una@ours.example"


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("  SMTP:Ann@Acme.EXAMPLE. ", "ann@acme.example"),
        ("Ann <x@y.example> <ann@acme.example>", "ann@acme.example"),
        ("'ann@acme.example'", "ann@acme.example"),
        ('MAILTO:"ann@acme.example"', "ann@acme.example"),
        ("'smtp:ann@acme.example'", "smtp:ann@acme.example"),
        ("ann@BÜCHER.example", "ann@xn--bcher-kva.example"),
        ("ann@faß.example", "ann@xn--fa-hia.example"),
        ("ann+tag@googlemail.com", "ann+tag@googlemail.com"),
        ("rene\u0301@acme.example", "rené@acme.example"),
        ("X@bad_host.Acme.example", "x@bad_host.acme.example"),
        ("no address", None),
        ("", None),
    ],
)
def test_n1_canonical_address(written: str, canonical: str | None) -> None:
    assert canonical_address(written) == canonical


def test_n2_dn_is_resolved_by_x500_proxies_without_case() -> None:
    world = World()
    world.graph_user("una", proxyAddresses=["SMTP:una@ours.example", "X500:/o=Ours/cn=Una"])
    world.mail("bo", "inbox", "m1", "/O=OURS/CN=UNA", [CLEO, "/o=gone/cn=nobody"])
    tables = world.tables()
    assert tables.sender() == "/o=ours/cn=una"
    assert tables.address("/o=ours/cn=una")["user_id"] == guid("una")
    unresolved = tables.address("/o=gone/cn=nobody")
    assert (unresolved["side"], unresolved["user_id"], unresolved["domain"]) == ("us", None, None)


def test_n2_an_x500_proxy_that_is_no_dn_is_no_address() -> None:
    world = World()
    world.graph_user("una", proxyAddresses=["X500:cleo@acme.example"])
    world.contact("cleo", CLEO)
    assert world.tables().address(CLEO)["side"] == "them"


def test_n3_party_without_address_takes_the_first_of_its_record() -> None:
    world = World()
    cleo = world.contact("cleo", emailaddress2="Second@acme.example", emailaddress3="third@acme.example")
    mute = world.contact("mute")
    call = world.call(
        "call", (1, ("systemuser", guid("una"))), (2, ("contact", cleo)), (2, ("contact", mute)), (2, "no address"), (2,)
    )
    tables = world.tables()
    assert tables.roles() == {UNA: "from", "second@acme.example": "callee", mute: "callee"}
    assert {row["party_id"] for row in tables["activity_party"].to_dicts()} == {guid("una"), cleo, mute}
    assert tables.one()["source_ids"] == [f"dataverse:{call}"]


def test_n4_addresses_of_users_and_contacts() -> None:
    world = World(users=("una",))
    world.graph_user(
        "una", proxyAddresses=["SMTP:una@ours.example", "smtp:u.alias@ours.example"], otherMails=["una@alumni.example"]
    )
    world.add("systemusers", guid("una"), fullname="Una", internalemailaddress=UNA, personalemailaddress="una@home.example",
              domainname="una@logon.example", azureactivedirectoryobjectid=guid("nobody"), accessmode=0)  # fmt: skip
    world.contact("cleo", CLEO, emailaddress3="cleo3@acme.example")
    tables = world.tables()
    records = tables["record_address"].filter(record_type="systemuser").get_column("address").to_list()
    assert records == [UNA, "una@home.example", "una@logon.example", "u.alias@ours.example", "una@alumni.example"]
    assert all(tables.address(address)["user_id"] == guid("una") for address in records)
    assert tables.address("cleo3@acme.example")["contact_id"] == guid("cleo")


def test_n5_graph_user_without_systemuser_is_team_side_and_a_guest_is_not() -> None:
    world = World(users=())
    world.graph_user("lena", otherMails=["lena@else.example"])
    world.graph_user(
        "guest", mail="g@partner.example", proxyAddresses=[], userPrincipalName="g#EXT#@ours.example", userType="Guest"
    )
    world.mail("lena", "inbox", "m1", "g@partner.example", ["lena@ours.example"])
    tables = world.tables()
    assert tables.address("lena@else.example") | {"domain": None} == {
        "address": "lena@else.example", "domain": None, "side": "us", "user_id": None, "contact_id": None, "lead_id": None,
        "account_id": None, "rule": "graph_user"}  # fmt: skip
    assert tables.address("g@partner.example")["side"] == "them"
    assert tables["internal_domain"].get_column("domain").to_list() == ["ours.example"]


def test_n6_default_internal_domains_and_a_given_list() -> None:
    world = World(users=("una",))
    world.add("systemusers", guid("robot"), internalemailaddress="r@service.example", accessmode=4)
    world.add("systemusers", guid("old"), internalemailaddress="o@old.example", isdisabled=True)
    world.add(
        "systemusers", guid("free"), internalemailaddress="f@gmail.com", personalemailaddress="f@home.example", accessmode=0
    )
    world.mail("una", "inbox", "m1", "x@sub.ours.example", [UNA])
    assert world.tables()["internal_domain"].get_column("domain").to_list() == ["old.example", "ours.example"]
    assert world.tables().address("x@sub.ours.example")["side"] == "them"
    assert world.tables().address("r@service.example")["side"] == "us"
    assert world.tables(internal_domains=["SUB.ours.example"]).address("x@sub.ours.example")["side"] == "us"
    assert world.tables(internal_domains=[])["internal_domain"].is_empty()


def test_n7_free_mail_and_shared_hosts_stand_for_no_account() -> None:
    world = World()
    acme = world.add(
        "accounts", guid("acme"), websiteurl="https://u@www.Acme.example:8080/x?y", emailaddress1="x@gmail.com", statecode=0
    )
    page = world.add("accounts", guid("page"), websiteurl="http://facebook.com/page", emailaddress1="x@facebook.com", statecode=0)
    team = world.add("accounts", guid("team"), websiteurl="team.gmail.com", emailaddress1="x@ours.example", statecode=0)
    domains = world.tables()["account_domain"].rows()
    assert sorted(domains) == sorted([(acme, "acme.example"), (page, "facebook.com"), (team, "team.gmail.com")])
    assert website_domain("www.www.acme.example") == "www.acme.example"
    assert website_domain("acme.example/go?to=https://other.example") == "acme.example"


def test_n8_side_us_wins_over_a_contact_with_the_address() -> None:
    world = World()
    world.contact("una-too", "UNA@ours.example")
    row = world.tables().address(UNA)
    assert (row["side"], row["user_id"], row["contact_id"]) == ("us", guid("una"), None)


def test_n9_ties_active_then_latest_then_smallest_id_and_a_finding() -> None:
    world = World()
    shared = "shared@acme.example"
    world.contact("a", shared, statecode=1, modifiedon="2026-05-09T00:00:00Z")
    world.contact("b", shared, modifiedon="2026-05-01T00:00:00Z")
    world.contact("c", shared, modifiedon="2026-05-02T00:00:00Z")
    world.contact("d", shared, modifiedon="2026-05-02T00:00:00Z")
    world.add("leads", guid("lead"), emailaddress1=shared, statecode=0)
    tables = world.tables()
    row = tables.address(shared)
    assert (row["contact_id"], row["lead_id"], row["rule"]) == (guid("c"), None, "contact_address")
    assert tables["finding"].rows() == [("address_of_several_contacts", shared, guid("c"), 4)]


def test_n10_a_group_is_one_participant_and_the_owner_is_delivered() -> None:
    world = World()
    world.mail("una", "inbox", "m1", CLEO, ["sales@ours.example"])
    tables = world.tables()
    assert tables.roles() == {CLEO: "sender", "sales@ours.example": "to", UNA: "delivered"}
    assert tables.address("sales@ours.example")["side"] == "us"


def test_n11_other_masks_and_resources_are_dropped() -> None:
    world = World()
    world.crm_mail(
        "mail", (1, UNA), (2, CLEO), (8, "regarding@acme.example"), (9, "bo@ours.example"), (11, "customer@acme.example")
    )
    assert set(world.tables().roles()) == {UNA, CLEO}
    world = World()
    world.event("una", "e1", UNA, [CLEO, ("room@ours.example", "resource")], uid="u")
    world.event("bo", "e2", UNA, ["room@ours.example", "bo@ours.example"], uid="u")
    world.appointment("app", (7, UNA), (5, "room@ours.example"), globalobjectid="u")
    assert world.tables().roles() == {UNA: "organizer", CLEO: "required", "bo@ours.example": "delivered"}


def test_n11_a_team_as_party_has_its_own_row_and_a_call_its_owner() -> None:
    world = World()
    team = world.add("teams", guid("team"), name="North")
    world.call("call", (2, CLEO), (1, ("team", team)), ownerid=("systemuser", guid("bo")))
    assert world.tables().roles() == {CLEO: "callee", team: "from", "bo@ours.example": "owner"}


def test_n12_merged_records_are_their_masters() -> None:
    world = World()
    world.contact("master", "master@acme.example")
    world.contact("middle", "middle@acme.example", merged=True, masterid=("contact", guid("master")))
    world.contact("first", "first@acme.example", merged=True, masterid=("contact", guid("middle")))
    world.contact("loop-a", "a@loop.example", merged=True, masterid=("contact", guid("loop-b")))
    world.contact("loop-b", "b@loop.example", merged=True, masterid=("contact", guid("loop-a")))
    tables = world.tables()
    assert tables.address("first@acme.example")["contact_id"] == guid("master")
    addresses = (
        tables["record_address"].filter(record_type="contact", record_id=guid("master")).sort("position").get_column("address")
    )
    assert addresses.to_list()[0] == "master@acme.example"
    assert set(addresses) == {"master@acme.example", "middle@acme.example", "first@acme.example"}
    ends = dict(tables["crm_contact"].select("contactid", "master_id").iter_rows())
    assert ends[guid("first")] == guid("master")
    assert ends[guid("loop-a")] == ends[guid("loop-b")]


def test_n13_guids_in_upper_case_and_braces_join() -> None:
    world = World()
    cleo = world.contact("cleo", CLEO)
    world.call("call", (1, UNA), (2, ("contact", "{" + cleo.upper() + "}")), regardingobjectid=("contact", cleo.upper()))
    tables = world.tables()
    assert tables.roles() == {UNA: "from", CLEO: "callee"}
    assert tables.one()["regarding_id"] == cleo
    assert mailbox_id("una") == mailbox_id("una").lower()


def test_l16_lookups_without_annotation_are_looked_for() -> None:
    world = World()
    cleo = world.contact("cleo", CLEO)
    world.call("call", (1, UNA), regardingobjectid=cleo)
    world.call("other", (1, UNA), regardingobjectid=guid("nowhere"), actualend="2026-06-11T10:00:00Z")
    found, lost = world.tables().activities()
    assert (found["regarding_type"], found["regarding_id"]) == ("contact", cleo)
    assert (lost["regarding_type"], lost["regarding_id"]) == (None, guid("nowhere"))


def test_r7_missing_states_are_open_or_active() -> None:
    world = World()
    world.contact("cleo", CLEO, statecode=None)
    world.add("opportunities", guid("deal"), name="Deal", estimatedvalue=4990.1234567)
    tables = world.tables()
    assert tables["crm_contact"].get_column("statecode").to_list() == [0]
    deal = tables["crm_opportunity"].to_dicts()[0]
    assert (deal["statecode"], str(deal["estimatedvalue"])) == (0, "4990.1234567000")
