"""The store in JupyterLab: whatever happens in the middle of Run All, no answer is lost and none is paid twice."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from glm_server import GlmServer, stream
from playwright.sync_api import expect

if TYPE_CHECKING:
    from lab import Lab

pytestmark = pytest.mark.browser

PROMPTS = ("one", "two", "three", "four")
FIRST = 1  # the cell of the first prompt


def restart_and_run_all(lab: Lab) -> None:
    lab.restart()
    lab.start_all()
    lab.wait_all()


def test_a_run_all_that_was_interrupted_and_saved_costs_nothing_when_it_runs_again(
    lab: Lab, lab_server: tuple[str, Path], server: GlmServer
) -> None:
    def asked() -> list[str]:
        return [request.messages[-1][1] for request in server.requests]

    def shows(*answers: str) -> None:
        for index, text in enumerate(answers, start=FIRST):
            expect(lab.answer(index)).to_have_text(text)

    def are_replayed(*indexes: int) -> None:
        for index in range(FIRST, FIRST + len(PROMPTS)):
            bar = expect(lab.outputs(index))
            (bar.to_contain_text if index in indexes else bar.not_to_contain_text)("replayed")

    setup = f"%load_ext glm_magic\n%glm_config base_url={server.url} model=GLM-4-Air replay=notebook"
    lab.open_new("journal", setup, *(f"%%glm\n{prompt}" for prompt in PROMPTS))

    # the second answer is interrupted, and what is on the page then is saved
    server.answer(stream("The first."), stream("Half of the", threading.Event(), " second."))
    lab.start_all()
    expect(lab.answer(2)).to_have_text("Half of the")
    lab.interrupt()
    lab.wait_all()
    lab.wait_for_text(2, "Interrupted")
    assert asked() == ["one", "two"]
    assert [bool(cell.outputs) for cell in lab.save().cells[FIRST:]] == [True, True, False, False]

    # again: the first is given, the second asked to its end, and the others after it
    server.answer(stream("The second."))
    restart_and_run_all(lab)
    shows("The first.", "The second.", "You said: three", "You said: four")
    are_replayed(1)
    assert asked() == ["one", "two", "two", "three", "four"]
    assert server.last.messages[3] == ("assistant", "The second.")

    # once more, without saving: the answers of the run before are in the journal alone
    restart_and_run_all(lab)
    shows("The first.", "The second.", "You said: three", "You said: four")
    are_replayed(1, 2, 3, 4)
    assert len(asked()) == 5
    lab.save()

    # another prompt is held before its first word; the file is saved with nothing below the cells that wait
    server.answer(stream(threading.Event(), "Never."))
    lab.rewrite(2, "%%glm\nanother")
    lab.restart()
    lab.start_all()
    lab.wait_for(lambda: len(asked()) == 6, "the changed prompt to be asked")
    assert [bool(cell.outputs) for cell in lab.save().cells[FIRST + 2 :]] == [False, False]
    lab.interrupt()
    lab.wait_all()
    lab.rewrite(2, "%%glm\ntwo")
    lab.save()
    restart_and_run_all(lab)
    shows("The first.", "The second.", "You said: three", "You said: four")
    are_replayed(1, 2, 3, 4)
    assert asked()[5:] == ["another"]

    _, notebooks = lab_server
    store = notebooks.parent / "share" / "glm_magic" / "answers.db"
    assert store.stat().st_mode & 0o777 == 0o600
