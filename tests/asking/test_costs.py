import pytest
from glm_server import GlmServer

from glm_magic.asking.costs import PriceLists
from glm_magic.asking.session import Session
from glm_magic.chat.messages import Message
from glm_magic.chat.place import Place
from glm_magic.errors import SettingError
from glm_magic.settings.layers import Layers

HEAD = "model,input,output,cached,currency\n"


def asked(session: Session):
    asking = session.ask(session.plan(Message("user", "hi"), Place("a")))
    assert list(asking)
    return asking.reply


def test_a_price_list_of_ones_own_holds_at_any_endpoint(server: GlmServer, tmp_path):
    file = tmp_path / "prices.csv"
    file.write_text(f"{HEAD}glm-4-air,1000,2000,,EUR\n")
    session = Session(Layers({"GLM_BASE_URL": server.url}))
    assert asked(session).cost is None, "a proxy sets its own prices"
    session.layers.assigned["prices"] = str(file)
    reply = asked(session)
    assert (reply.cost, reply.currency) == (pytest.approx(0.007 + 0.010), "EUR")
    session.close()


def test_a_list_is_read_again_when_it_has_changed(tmp_path):
    file, lists = tmp_path / "prices.csv", PriceLists()
    file.write_text(f"{HEAD}m,1,1,,CNY\n")
    assert lists.read(str(file))["m"].input == 1
    file.write_text(f"{HEAD}m,22,1,,CNY\n")
    assert lists.read(str(file))["m"].input == 22


def test_what_is_no_list_is_refused_before_anything_is_sent(server: GlmServer, tmp_path):
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    session = Session(Layers({"GLM_BASE_URL": server.url}))
    for name in ("missing.csv", "binary", "."):
        session.layers.assigned["prices"] = str(tmp_path / name)
        with pytest.raises(SettingError, match="prices: "):
            asked(session)
    assert not server.requests
    session.close()
