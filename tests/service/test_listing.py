"""Which models an endpoint has, as it tells."""

from __future__ import annotations

import json
from typing import Any

import pytest
from glm_server import Answer, GlmServer, error

from glm_magic.errors import AuthenticationError, ConnectionFailed, ServiceError, SetupError
from glm_magic.service.client import Client, Patience
from glm_magic.service.endpoint import Endpoint, endpoint
from glm_magic.service.keys import Key
from glm_magic.service.listing import models
from glm_magic.service.services import Services
from glm_magic.settings.layers import Layers


def told(body: Any) -> Answer:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Answer([content], headers={"Content-Type": "application/json"})


def listed(server: GlmServer, key: str | None = None) -> tuple[str, ...]:
    with Client().calls(endpoint(server.url, Key(key, "a test") if key else None), Patience()) as calls:
        return models(calls)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({"object": "list", "data": [{"id": "a"}, {"id": "org/b"}, {"id": "a"}]}, id="OpenAI's"),
        pytest.param([{"id": "a"}, {"id": "org/b"}], id="a bare list"),
        pytest.param({"models": [{"name": "a"}, "org/b"]}, id="models"),
        pytest.param({"data": [{"id": "a"}, {}, {"id": 7}, {"id": "\x1b[2J"}, {"id": "x" * 999}, "org/b"]}, id="odd"),
    ],
)
def test_the_names_are_read_in_their_order(server: GlmServer, body: Any) -> None:
    server.models = told(body)
    assert listed(server) == ("a", "org/b")
    assert (server.last.method, server.last.path) == ("GET", "/v1/models")


def test_the_key_goes_as_for_a_question_and_not_to_where_the_server_redirects(server: GlmServer) -> None:
    server.models = told([])
    assert listed(server, "id.canary-canary") == ()
    assert server.last.headers["authorization"] == "Bearer id.canary-canary"
    listed(server)
    assert "authorization" not in server.last.headers
    with GlmServer() as elsewhere:
        server.models = error(307, {}, Location=elsewhere.url + "/models")
        with pytest.raises(SetupError, match="key is not sent there"):
            listed(server, "id.canary-canary")
        assert elsewhere.requests == []


def test_a_query_of_the_address_stays_at_its_end(server: GlmServer) -> None:
    server.models = told([])
    with (
        Client().calls(Endpoint(f"{server.url}?api-version=1"), Patience()) as calls,
        pytest.raises(ServiceError),  # the scripted server takes paths as they are
    ):
        models(calls)
    assert server.last.path == "/v1/models?api-version=1"


@pytest.mark.parametrize("status", [404, 405, 501])
def test_an_endpoint_without_the_route_says_so_shortly(server: GlmServer, status: int) -> None:
    server.models = error(status, {"error": "Not Found"})
    with pytest.raises(ServiceError) as caught:
        listed(server)
    assert caught.value.what == f"{server.url} does not tell which models it has (HTTP {status})."
    assert "-m NAME" in caught.value.remedy


@pytest.mark.parametrize("body", [{"error": "no"}, "text", 7, None, b"<html>", b"[" * 50_000, b""])
def test_what_is_no_list_is_said(server: GlmServer, body: Any) -> None:
    server.models = told(body)
    with pytest.raises(ServiceError, match="not a list of models"):
        listed(server)


def test_a_refusal_is_that_of_a_question(server: GlmServer) -> None:
    server.models = error(401, {"error": {"code": "1000", "message": "no"}})
    with pytest.raises(AuthenticationError):
        listed(server, "id.secret-secret")


def test_a_server_that_is_not_there_is_said() -> None:
    with GlmServer() as gone:
        pass
    with pytest.raises(ConnectionFailed, match="Nothing answers"):
        listed(gone)


def test_a_key_that_is_said_back_is_masked(server: GlmServer) -> None:
    environ = {"GLM_BASE_URL": server.url, "GLM_API_KEY": "0123456789abcdef.canary-canary"}
    services, settings = Services(environ), Layers(environ).values({})
    server.models = told([{"id": "model-of-0123456789abcdef.canary-canary"}, {"id": "b"}])
    assert "canary-canary" not in repr(services.list_models(settings))
    assert services.listed == services.list_models(settings)
    server.models = error(400, {"error": {"message": "who is 0123456789abcdef.canary-canary?"}})
    with pytest.raises(ServiceError, match="who is") as caught:
        services.list_models(settings)
    assert "canary-canary" not in str(caught.value)
    services.close()


def test_the_embedded_model_is_known_without_asking() -> None:
    settings = Layers({}).values({"model": "embedded"})
    assert Services({}).list_models(settings) == ("embedded",)
