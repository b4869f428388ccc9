"""A question is answered: in the cell that asks it, or in the background while other cells run."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from glm_magic.errors import AnswerError, GlmError, Interrupted, OptionError
from glm_magic.magics import offers
from glm_magic.magics.background import Pending
from glm_magic.magics.ending import ending_of

if TYPE_CHECKING:
    from glm_magic.asking.ask import Asking
    from glm_magic.asking.question import Question
    from glm_magic.chat.reply import Reply
    from glm_magic.display.view import View
    from glm_magic.magics.glm import GLMMagics
    from glm_magic.magics.options import Asked


_A_TOOL_RUNS: ContextVar[bool] = ContextVar("a tool runs", default=False)


def check_no_tool_asks() -> None:
    """Raise `OptionError` where a tool asks with the magics: the turn that called it is not whole yet."""
    if _A_TOOL_RUNS.get():
        raise OptionError(
            "A tool cannot ask with %glm: the answer that called it is still under way.",
            "Ask with glm_magic.Chat, which has a conversation of its own.",
        )


@contextlib.contextmanager
def _acting(guard: AbstractContextManager[None]) -> Iterator[None]:
    """Within it the notebook's own code acts: a tool that was called, or a question to the person."""
    token = _A_TOOL_RUNS.set(True)
    try:
        with guard:
            yield
    finally:
        _A_TOOL_RUNS.reset(token)


def answer(magics: GLMMagics, question: Question, asked: Asked) -> Reply | Pending:
    """Ask, show what comes, and bind the reply. Raises `GlmError`, or `Interrupted` if the person stops it."""
    if not question.keep:
        magics.session.chats.retire(question.place)
    if asked.background:
        return _in_background(magics, question, asked)
    approve = offers.approve if question.settings["approve"] else None
    asking = magics.session.ask(question, approve=approve, acting=lambda: _acting(magics.interrupts.acting_at_once()))
    view = _view(magics, question, asked)
    reply: Reply | None = None
    try:
        with contextlib.closing(iter(asking)) as events:
            for event in events:
                view.paint(event)
                magics.interrupts.check()
        reply = asking.reply
    except KeyboardInterrupt:
        reply = asking.interrupt()
        _settle(magics, view, asking, asked, reply)
        raise Interrupted(f"Stopped. {_what_is_kept(reply)}") from None
    except GlmError as error:
        _settle(magics, view, asking, asked, None, error=error)
        raise
    finally:
        if reply is not None:
            magics.bind(reply, asked.out)
    assert reply is not None
    _settle(magics, view, asking, asked, reply)
    if magics.interrupts.has_come:  # too late for this answer, and not for the cells after it
        raise Interrupted("Stopped. The answer was whole already; it is kept.")
    return reply


def _in_background(magics: GLMMagics, question: Question, asked: Asked) -> Pending:
    here, stopping = magics.outputs.here(), threading.Event()
    asking = magics.session.ask(question, acting=lambda: _acting(contextlib.nullcontext()), stopped=stopping.is_set)
    pending = Pending(asking, stopping)
    asking.take_place()
    view = _view(magics, question, asked, show=here.show, on_stop=pending.stop)

    def work() -> None:
        reply, error = pending.follow(view.paint)
        try:
            _settle(magics, view, asking, asked, reply, error=error)
            if error is not None:
                here.fail(error)
        finally:
            pending.end(reply, error)

    if question.recorded is not None:  # it is there at once
        work()
    else:
        magics.background.start(question.chat if question.keep else "", question.place, pending, work)
    magics.bind(pending, asked.out)
    if not (magics.outputs.is_a_page or pending.done):
        magics.outputs.show_text(f"[{question.model} answers in the background: _glm.wait()]")
    return pending


def _settle(
    magics: GLMMagics,
    view: View,
    asking: Asking,
    asked: Asked,
    reply: Reply | None,
    *,
    error: BaseException | None = None,
) -> None:
    """Say how it ended, with the reply, or with the error and what had arrived before it."""
    partial = error.partial if isinstance(error, AnswerError) else reply
    known = error if isinstance(error, GlmError) else None
    view.settle(ending_of(magics.session, asking, partial, known, quiet=asked.quiet))


def _what_is_kept(reply: Reply | None) -> str:
    if reply is None:
        return "Nothing had arrived; nothing is kept."
    if reply.text:
        return "What had arrived is kept."
    did = "called tools" if reply.tool_calls else "thought" if reply.reasoning else "given what does not fit"
    return f"It had only {did}; nothing is kept in the conversation."


def _view(magics: GLMMagics, question: Question, asked: Asked, **options: Any) -> View:
    conversation = magics.session.chats.conversation(question.chat)
    turn = conversation.find(question.place) if question.keep else None
    stale = len(conversation.stale() & {attempt.id for attempt in question.sent_after})
    return magics.outputs.view(
        question.place,
        f"{question.model} (embedded model)" if question.is_embedded else question.model,
        quiet=asked.quiet,
        form="json" if question.schema else question.settings["format"],
        with_calls=bool(question.tools),
        at_once=question.recorded is not None,
        live=magics.cells.have_ids,  # who sends none has nobody before the page
        marks=(
            *((f"attempt {len(turn.attempts) + 1}",) if turn and turn.attempts else ()),
            *((f"{stale} of the turns sent {'is' if stale == 1 else 'are'} stale",) if stale else ()),
        ),
        **options,
    )
