"""The Dataverse Web API over a tenant folder: tables with change tracking, WhoAmI, EntityDefinitions."""

import re
from collections.abc import Callable
from dataclasses import replace
from fnmatch import fnmatchcase
from urllib.parse import quote, unquote

import orjson

from sandbox.odata import JSON, Listings, Page, Reply, Request, Token, cut, entity, first_place, names, options_of, project
from sandbox.route import Route
from sandbox.tenant import ENTITY_SETS, EntitySet, Record, Tenant

ROOT = "/dataverse/api/data/v9.2"
PAGE = 5000
HELP_LINK = "https://go.microsoft.com/fwlink/?linkid=2147203"
USER_ID = "5a4b2d6e-0000-4000-8000-000000000001"
NOT_TRACKED = ("filter", "orderby", "expand", "top")
EXPIRED = ("0x80044352", "Version stamp associated with the client has expired. Please perform a full sync.")


def error(status: int, code: str, message: str, headers: dict[str, str] | None = None) -> Reply:
    """An error in the shape of Dataverse."""
    body = {"error": {"code": code, "message": message, "@Microsoft.PowerApps.CDS.HelpLink": HELP_LINK}}
    return Reply(status, orjson.dumps(body), {"content-type": JSON, "odata-version": "4.0", **(headers or {})})


class Dataverse:
    """Answers requests below `ROOT`; `untracked` tells for an entity set whether its change tracking is off."""

    def __init__(self, tenant: Tenant, untracked: Callable[[str], bool]) -> None:
        self.tenant = tenant
        self.untracked = untracked
        self._listings = Listings()

    def route(self, request: Request) -> Route:
        """What a path means; the stream is the entity set."""
        path = unquote(request.path)[len(ROOT) :].strip("/")
        if path == "WhoAmI":
            return Route("WhoAmI", lambda: self._who_am_i(request))
        if found := re.fullmatch(r"EntityDefinitions(?:\(LogicalName='(\w+)'\))?", path):
            return Route("EntityDefinitions", lambda: self._definitions(request, found[1]))
        if path in ENTITY_SETS:
            return Route(path, lambda: self._rows(request, ENTITY_SETS[path]))
        message = f"Resource not found for the segment '{path.partition('/')[0]}'."
        return Route(path, lambda: error(404, "0x80060888", message))

    def _who_am_i(self, request: Request) -> Reply:
        ids = {"BusinessUnitId": USER_ID[:-1] + "2", "UserId": USER_ID, "OrganizationId": USER_ID[:-1] + "3"}
        return entity(f"{request.origin}{ROOT}/$metadata#Microsoft.Dynamics.CRM.WhoAmIResponse", orjson.dumps(ids))

    def _definitions(self, request: Request, logical_name: str | None) -> Reply:
        wanted = {logical_name} if logical_name else set(re.findall(r"LogicalName eq '(\w+)'", request.query.get("$filter", "")))
        rows = [
            {
                "MetadataId": f"00000000-0000-4000-8000-{position:012d}",
                "LogicalName": table.logical_name,
                "EntitySetName": table.name,
                "PrimaryIdAttribute": table.key,
                "ChangeTrackingEnabled": not self.untracked(table.name),
                "CanChangeTrackingBeEnabled": {"Value": True, "CanBeChanged": True},
            }
            for position, table in enumerate(ENTITY_SETS.values())
            if not wanted or table.logical_name in wanted
        ]
        context = f"{request.origin}{ROOT}/$metadata#EntityDefinitions"
        if logical_name is None:
            return Reply(200, orjson.dumps({"@odata.context": context, "value": rows}), {"content-type": JSON})
        if not rows:
            return error(404, "0x80060888", f"Could not find an entity with name {logical_name}.")
        return entity(f"{context}/$entity", orjson.dumps(rows[0]))

    def _rows(self, request: Request, table: EntitySet) -> Page | Reply:
        now = self.tenant.step
        tracked = "odata.track-changes" in request.prefer
        asked = None
        if "$deltatoken" in request.query or "$skiptoken" in request.query:
            asked = token_of(request.query)
            if asked is None or asked.stream != table.name or asked.until > self.tenant.steps:
                return error(400, *EXPIRED)
            tracked = asked.option("tracked") is not None
        for option in NOT_TRACKED:
            if tracked and f"${option}" in request.query:
                text = f'The "${{{option}}}" query parameter isn\'t supported when Change Tracking is enabled.'
                return error(400, "0x80060888", text)
        for option in ("$filter", "$orderby", "$expand", "$apply"):
            if option in request.query:
                return error(501, "0x80060888", f"The sandbox lists tables whole: it does not evaluate {option}.")
        if asked is None:
            options = options_of(request.query, ["$select", "$top"]) + ((("tracked", ""),) if tracked else ())
            here = first_place(table.name, now, options)
        elif asked.kind == "delta":
            here = replace(asked, until=max(asked.until, now))
        else:
            here = asked
        top = here.option("$top") or ""
        rows, following, delta = cut(
            self._listings.of(here, lambda: self._listing(table, here)),
            here,
            request.page_size(PAGE, PAGE),
            tracked=tracked,
            limit=int(top) if top.isdigit() else None,
        )
        select = here.option("$select")
        context = f"{request.origin}{ROOT}/$metadata#{table.name}"
        page = Page(
            here,
            context + (f"({select})" if select else "") + ("/$delta" if here.after >= 0 else ""),
            self._written(table, rows, select, request, context),
            link=lambda token: _link(request, table, token),
            next=following,
            delta=delta,
            asked=asked,
            headers={"odata-version": "4.0"},
        )
        if tracked:
            page.headers["preference-applied"] = "odata.track-changes"
        return page

    def _listing(self, table: EntitySet, here: Token) -> list[bytes | Record | str]:
        """Broken lines as bytes, records, and ids of removed ones: first all that is there, then what is gone."""
        held = self.tenant.table(table.name)
        lines: list[bytes | Record | str] = list(held.broken_between(here.after, here.until))
        if here.after < 0:
            return list(held.at(here.until).values()) + lines
        touched = [(name, held.get(name, here.until)) for name in held.touched_between(here.after, here.until)]
        there = [record for _, record in touched if record is not None]
        return there + lines + [name for name, record in touched if record is None]

    def _written(
        self, table: EntitySet, rows: list[bytes | Record | str], select: str | None, request: Request, context: str
    ) -> list[bytes]:
        selected = names(select)
        patterns = [p.strip() for p in request.prefer.get("odata.include-annotations", "").split(",") if p.strip()]
        wanted: dict[str, bool] = {}

        def keep(name: str) -> bool:
            if name not in wanted:
                column, _, term = name.partition("@")
                chosen = selected is None or not column or column == table.key or column in selected
                wanted[name] = chosen and (not column or not term or any(fnmatchcase(term, p) for p in patterns))
            return wanted[name]

        written = []
        for row in rows:
            if isinstance(row, Record):
                written.append(project(row, keep))
            elif isinstance(row, str):
                gone = {"@odata.context": f"{context}/$deletedEntity", "id": row, "reason": "deleted"}
                written.append(orjson.dumps(gone))
            else:
                written.append(row)
        return written


def _link(request: Request, table: EntitySet, token: Token) -> str:
    select = token.option("$select")
    start = f"{request.origin}{ROOT}/{table.name}?" + (f"$select={quote(select, safe=',')}&" if select else "")
    if token.kind == "delta":
        return f"{start}$deltatoken={quote(f'{token.after}!{token.encode()}', safe='')}"
    tracking = token.option("tracked") is not None
    cookie = f'<cookie pagenumber="2" pagingcookie="{quote(token.encode())}" istracking="{tracking}" />'
    return f"{start}$skiptoken={quote(cookie, safe='=/')}"


def token_of(query: dict[str, str]) -> Token | None:
    """The token of a link's query, or None."""
    if "$deltatoken" in query:
        return Token.decode(query["$deltatoken"].partition("!")[2])
    found = re.search(r'pagingcookie="([^"]*)"', query["$skiptoken"])
    return Token.decode(unquote(found[1])) if found else None
