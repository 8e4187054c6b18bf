"""Where a source is and how to get in: built from an Airflow connection, tokens by azure-identity."""

import asyncio
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx

from jobs.extract.errors import SourceError

TokenSource = Callable[[bool], str]
"""Gives a bearer token; the argument asks for a fresh one instead of a cached one."""


def is_loopback(host: str) -> bool:
    """Whether `host` names this machine."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


@dataclass
class Connection:
    """A source: `base_url` without a trailing slash, and where its tokens come from (None on loopback: no token).

    `transport` replaces the network in tests.
    """

    base_url: str
    token_source: TokenSource | None = None
    transport: httpx.AsyncBaseTransport | None = None
    origin: str = field(init=False)
    is_loopback: bool = field(init=False)

    def __post_init__(self) -> None:
        parts = urlsplit(self.base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise SourceError(f"{self.base_url!r} is no address of a source: give the host as https://name")
        self.is_loopback = is_loopback(parts.hostname)
        if parts.scheme == "http" and not self.is_loopback:
            raise SourceError(f"host {parts.hostname} must be reached by https")
        self.base_url = self.base_url.rstrip("/")
        self.origin = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"

    @classmethod
    def from_airflow_json(
        cls, connection: str | dict[str, Any], transport: httpx.AsyncBaseTransport | None = None
    ) -> "Connection":
        """A connection from Airflow's JSON: host (and port, schema as path), login = client id, password = secret.

        `extra` holds `tenant_id` and instead of a secret `certificate_path` (with `certificate_password`) or
        `workload_identity: true`. A text that is no JSON is read as Airflow's URI. Raises SourceError that names what is missing.
        """
        if isinstance(connection, str):
            text = connection.strip()
            try:
                given = json.loads(text) if text.startswith("{") else _from_uri(text)
            except ValueError as error:
                raise SourceError(f"the connection is neither JSON nor a URI ({type(error).__name__})") from None
        else:
            given = connection
        extra = given.get("extra") or {}
        if isinstance(extra, str):
            try:
                extra = json.loads(extra)
            except ValueError:
                raise SourceError("the connection's extra is no JSON object") from None
        base_url = _base_url(given)
        host = urlsplit(base_url).hostname or ""
        client_id, secret = given.get("login") or extra.get("client_id"), given.get("password") or extra.get("client_secret")
        if not client_id and is_loopback(host):
            return cls(base_url, transport=transport)
        tenant = extra.get("tenant_id") or extra.get("tenantId")
        missing = [name for name, value in (("login (client id)", client_id), ("extra.tenant_id", tenant)) if not value]
        if missing:
            raise SourceError(f"the connection to {host} lacks {' and '.join(missing)}")
        if not (secret or extra.get("certificate_path") or extra.get("workload_identity")):
            raise SourceError(
                f"the connection to {host} has no credential: give password, extra.certificate_path or extra.workload_identity"
            )
        found = cls(base_url, transport=transport)
        found.token_source = AzureTokens(found.origin, tenant, client_id, secret, extra)
        return found

    @classmethod
    def from_environment(cls, name: str) -> "Connection | None":
        """The Airflow connection `name`: `AIRFLOW_CONN_<NAME>`, else Airflow's secrets backends; None when there is none."""
        if text := os.environ.get(f"AIRFLOW_CONN_{name.upper()}"):
            return cls.from_airflow_json(text)
        if not os.environ.get("AIRFLOW__SECRETS__BACKEND"):
            return None
        from airflow.sdk import BaseHook
        from airflow.sdk.exceptions import AirflowNotFoundException

        try:
            return cls.from_airflow_json(BaseHook.get_connection(name).as_json())
        except AirflowNotFoundException:
            return None

    @property
    def proxy(self) -> str | None:
        """The proxy that the environment names for this host (HTTPS_PROXY, ALL_PROXY, NO_PROXY); none on loopback."""
        parts = urlsplit(self.origin)
        if self.is_loopback or proxy_bypass(parts.netloc):
            return None
        named = getproxies()
        found = named.get(parts.scheme) or named.get("all")
        return found if not found or "://" in found else f"http://{found}"

    async def token(self, *, fresh: bool = False) -> str | None:
        """The bearer token, None where none is needed. Raises SourceError when the credentials are refused."""
        if self.token_source is None:
            return None
        return await asyncio.to_thread(self.token_source, fresh)


def _base_url(given: dict[str, Any]) -> str:
    host = (given.get("host") or "").strip()
    if not host:
        raise SourceError("the connection has no host")
    if "://" not in host:
        host = f"[{host}]" if host.count(":") > 1 and host[0] != "[" else host
        name = urlsplit(f"//{host}").hostname or ""
        host = f"{'http' if is_loopback(name) else 'https'}://{host}"
    parts = urlsplit(host)
    try:
        port = parts.port or given.get("port")
    except ValueError:
        raise SourceError(f"the port of host {parts.hostname} is no number") from None
    name = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    schema = (given.get("schema") or "").strip("/")
    schema = "" if schema in ("http", "https") else schema
    path = parts.path.rstrip("/") + (f"/{schema}" if schema else "")
    return f"{parts.scheme}://{name}{f':{port}' if port else ''}{path}"


def _from_uri(text: str) -> dict[str, Any]:
    parts = urlsplit(text)
    if not parts.scheme or not parts.netloc:
        raise ValueError("no URI")
    extra: dict[str, Any] = dict(parse_qsl(parts.query))
    if "__extra__" in extra:
        extra = json.loads(extra["__extra__"])
    return {
        "host": unquote(parts.hostname or ""),
        "port": parts.port,
        "login": unquote(parts.username or "") or None,
        "password": unquote(parts.password or "") or None,
        "schema": unquote(parts.path).strip("/"),
        "extra": extra,
    }


class AzureTokens:
    """Tokens for one origin by azure-identity: client secret, certificate or workload identity."""

    def __init__(self, origin: str, tenant: str, client_id: str, secret: str | None, extra: dict[str, Any]) -> None:
        self._scope = f"{origin}/.default"
        self._tenant, self._client_id, self._secret, self._extra = tenant, client_id, secret, extra
        self._credential: Any = None

    def __call__(self, fresh: bool) -> str:
        """A token; `fresh` forgets the cached one first."""
        from azure.core.exceptions import AzureError, ClientAuthenticationError

        try:
            if fresh or self._credential is None:
                self._credential = self._new_credential()
            return self._credential.get_token(self._scope).token
        except ClientAuthenticationError as error:
            code = next((word.rstrip(":") for word in str(error).split() if word.startswith("AADSTS")), "no code")
            raise SourceError(f"sign-in for {self._scope} was refused ({code}): check tenant, client id and credential") from None
        except (AzureError, ValueError, OSError) as error:
            raise SourceError(
                f"sign-in for {self._scope} failed ({type(error).__name__}): check the connection and the network"
            ) from None

    def _new_credential(self) -> Any:
        from azure.identity import CertificateCredential, ClientSecretCredential, WorkloadIdentityCredential

        options = {"authority": self._extra["authority"]} if self._extra.get("authority") else {}
        if self._extra.get("certificate_path"):
            return CertificateCredential(
                self._tenant,
                self._client_id,
                self._extra["certificate_path"],
                password=self._extra.get("certificate_password"),
                **options,
            )
        if self._secret:
            return ClientSecretCredential(self._tenant, self._client_id, self._secret, **options)
        return WorkloadIdentityCredential(
            tenant_id=self._tenant, client_id=self._client_id, token_file_path=self._extra.get("token_file"), **options
        )
