"""One set of services per process."""

from __future__ import annotations

import os

import pytest
from glm_server import GlmServer

from glm_magic import Chat
from glm_magic.asking.session import Session
from glm_magic.service.embedded import EmbeddedModel
from glm_magic.service.services import Services, shared
from glm_magic.settings.layers import Layers


def test_two_chats_share_a_connection(server: GlmServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLM_BASE_URL", server.url)
    one, other = Chat(), Chat()
    assert str(one("hi")) == str(other("hi")) == "You said: hi"
    one.close()
    other("still here")
    assert server.connections == 1
    other.close()
    one("again")
    assert server.connections == 2
    one.close()


def test_two_sessions_have_one_embedded_model() -> None:
    one, other = Session(Layers(os.environ)), Session(Layers(os.environ))
    assert one.services.embedded is other.services.embedded


def test_a_session_of_another_environment_has_services_of_its_own() -> None:
    assert Session(Layers({})).services is not shared()


def test_the_last_who_releases_the_services_closes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[str] = []
    monkeypatch.setattr(EmbeddedModel, "close", lambda _: closed.append("embedded"))
    one, other = Session(Layers(os.environ)), Session(Layers(os.environ))
    services = one.services
    assert other.services is services
    one.close()
    assert not closed
    one.close()
    assert not closed
    other.close()
    assert closed == ["embedded"]


def test_one_who_is_gone_does_not_hold_the_services(monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[str] = []
    monkeypatch.setattr(EmbeddedModel, "close", lambda _: closed.append("embedded"))
    services = Services({})
    stays = Session(Layers({}), services=services)
    gone = Session(Layers({}), services=services)
    assert stays.services is gone.services
    del gone
    stays.close()
    assert closed == ["embedded"]
