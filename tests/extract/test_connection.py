"""Connections from Airflow's JSON and URI, and what is refused."""

import json

import pytest

from jobs.extract.connection import AzureTokens, Connection
from jobs.extract.errors import SourceError


def test_json_with_everything_in_its_place():
    found = Connection.from_airflow_json(
        json.dumps(
            {"conn_type": "http", "host": "org.crm4.dynamics.com", "login": "id", "password": "s", "extra": '{"tenant_id": "t"}'}
        )
    )
    assert found.base_url == found.origin == "https://org.crm4.dynamics.com" and isinstance(found.token_source, AzureTokens)


@pytest.mark.parametrize(
    ("given", "base"),
    [
        ({"host": "http://127.0.0.1:8123/graph"}, "http://127.0.0.1:8123/graph"),
        ({"host": "127.0.0.1", "port": 8123, "schema": "graph"}, "http://127.0.0.1:8123/graph"),
        ({"host": "localhost", "port": 80}, "http://localhost:80"),
        ("http://127.0.0.1:8123/graph", "http://127.0.0.1:8123/graph"),
        ("http://http%3A%2F%2F127.0.0.1%3A8123%2Fgraph", "http://127.0.0.1:8123/graph"),
        ("dataverse://[::1]:99/x", "http://[::1]:99/x"),
    ],
)
def test_loopback_needs_no_token(given, base):
    found = Connection.from_airflow_json(given)
    assert (found.base_url, found.token_source, found.is_loopback) == (base, None, True)


def test_uri_with_credentials():
    found = Connection.from_airflow_json("graph://client:p%40ss@graph.microsoft.com/?tenant_id=t")
    assert found.base_url == "https://graph.microsoft.com" and isinstance(found.token_source, AzureTokens)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "no host"),
        ({"host": "graph.microsoft.com"}, r"graph\.microsoft\.com lacks login \(client id\) and extra\.tenant_id"),
        ({"host": "graph.microsoft.com", "login": "id", "extra": {"tenant_id": "t"}}, "no credential"),
        ({"host": "http://graph.microsoft.com", "login": "id", "password": "s", "extra": {"tenant_id": "t"}}, "https"),
        ({"host": "x", "extra": "no json"}, "extra"),
        ("{broken", "neither JSON nor a URI"),
        ("just words", "neither JSON nor a URI"),
        ({"host": "ftp://127.0.0.1"}, "no address of a source"),
    ],
)
def test_what_is_missing_is_named(given, message):
    with pytest.raises(SourceError, match=message):
        Connection.from_airflow_json(given)


def test_error_texts_hold_no_secret():
    for given in (
        '{"host": "graph.microsoft.com", "password": "hush"',
        {"host": "graph.microsoft.com", "password": "hush"},
        "http://a:hush@h:bad/",
    ):
        with pytest.raises(SourceError) as failed:
            Connection.from_airflow_json(given)
        assert "hush" not in str(failed.value)


def test_connection_of_the_environment(monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_GRAPH_DEFAULT", '{"host": "http://127.0.0.1:1/graph"}')
    assert Connection.from_environment("graph_default").base_url == "http://127.0.0.1:1/graph"
    monkeypatch.delenv("AIRFLOW_CONN_GRAPH_DEFAULT")
    assert Connection.from_environment("graph_default") is None


@pytest.mark.parametrize("extra", [{}, {"certificate_path": "cert.pem"}, {"workload_identity": True}])
def test_refused_sign_in_is_one_line_without_secrets(monkeypatch, extra):
    import azure.identity
    from azure.core.exceptions import ClientAuthenticationError

    class Refusing:
        def __init__(self, *args, **kwargs):
            pass

        def get_token(self, scope):
            assert scope == "https://graph.microsoft.com/.default"
            raise ClientAuthenticationError("AADSTS7000215: Invalid client secret hush.\nTrace ID: 1")

    for name in ("ClientSecretCredential", "CertificateCredential", "WorkloadIdentityCredential"):
        monkeypatch.setattr(azure.identity, name, Refusing)
    password = None if extra else "hush"
    found = Connection.from_airflow_json(
        {"host": "graph.microsoft.com", "login": "id", "password": password, "extra": {"tenant_id": "t", **extra}}
    )
    with pytest.raises(SourceError, match="AADSTS7000215") as failed:
        found.token_source(False)
    assert "hush" not in str(failed.value) and "\n" not in str(failed.value)


def test_a_real_connection_needs_the_hash_key(tmp_path):
    import httpx

    from jobs.extract.crm import extract_crm
    from tests.extract.world import settings

    real = Connection(
        "https://org.crm4.dynamics.com",
        token_source=lambda fresh: "t",
        transport=httpx.MockTransport(lambda request: httpx.Response(500)),
    )
    with pytest.raises(SourceError, match="RAPPORT_HASH_KEY"):
        extract_crm(real, tmp_path, settings(tmp_path), "run")


def test_a_proxy_of_the_environment_is_used_but_for_this_machine(monkeypatch):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    far, near = Connection("https://graph.microsoft.com"), Connection("http://127.0.0.1:8000/graph")
    assert far.proxy is None
    monkeypatch.setenv("ALL_PROXY", "proxy.example:3128")
    assert (far.proxy, near.proxy) == ("http://proxy.example:3128", None)
    monkeypatch.setenv("HTTPS_PROXY", "http://other.example:8080")
    assert far.proxy == "http://other.example:8080"
    monkeypatch.setenv("NO_PROXY", ".microsoft.com")
    assert far.proxy is None
