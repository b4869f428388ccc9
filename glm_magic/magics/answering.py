"""Answers a question, in the cell that asks it or in the background while other cells run."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any, TypeAlias

from glm_magic.asking.ask import Asking, Circumstances
from glm_magic.asking.question import Question
from glm_magic.chat.reply import Reply
from glm_magic.display.view import View
from glm_magic.errors import AnswerError, GlmError, Interrupted, OptionError
from glm_magic.magics import approving, facts
from glm_magic.magics.background import Pending
from glm_magic.magics.interrupts import Interrupts
from glm_magic.magics.parsing import AskLine
from glm_magic.magics.shared import Shared

# Called once an answer has been shown, with the error if it failed.
Ended: TypeAlias = "Callable[[BaseException | None], None]"

_A_TOOL_RUNS: ContextVar[bool] = ContextVar("a tool runs", default=False)


def check_no_tool_asks() -> None:
    """Raise `OptionError` if a tool asks with the magics: the turn that called it has not ended yet."""
    if _A_TOOL_RUNS.get():
        raise OptionError(
            "A tool cannot ask with %glm: the answer that called it is still in progress.",
            "Ask with glm_magic.Chat, which has a conversation of its own.",
        )


@contextlib.contextmanager
def acting(interrupts: Interrupts | None = None) -> Iterator[None]:
    """Mark that code of the notebook runs: a tool, or a question to the person.

    In the cell's own thread, `interrupts` act at once meanwhile.
    """
    token = _A_TOOL_RUNS.set(True)
    try:
        with interrupts.acting_at_once() if interrupts is not None else contextlib.nullcontext():
            yield
    finally:
        _A_TOOL_RUNS.reset(token)


def ask(shared: Shared, question: Question) -> Asking:
    """Return the question under way in the cell's own thread, where the person may be asked about its tools."""
    approve = approving.approve if question.settings["approve"] else None
    return shared.session.ask(question, Circumstances(approve, lambda: acting(shared.interrupts)))


def answer(shared: Shared, question: Question, line: AskLine) -> Reply | Pending:
    """Ask, show what comes, and bind the reply. Raises `GlmError`, or `Interrupted` if the person stops it."""
    if line.background:
        return _in_background(shared, question, line)
    asking = ask(shared, question)
    view = _view(shared, question, line)
    try:
        reply, is_whole = _followed(asking, view, shared.interrupts.check)
    except GlmError as error:
        _settle(shared, view, asking, line, None, error=error)
        raise
    if reply is not None:
        shared.bind(reply, line.out)
    _settle(shared, view, asking, line, reply)
    if not is_whole:
        raise Interrupted(f"Stopped. {_what_is_kept(reply)}")
    assert reply is not None, "it has ended well"
    if shared.interrupts.has_come:  # too late for this answer, but not for the cells after it
        raise Interrupted("Stopped. The answer had already finished; it is kept.")
    return reply


def _in_background(shared: Shared, question: Question, line: AskLine) -> Pending:
    here = shared.outputs.here()

    def ended(error: BaseException | None) -> None:
        if error is not None:
            here.fail(error)

    pending = begin(shared, question, line, ended, show=here.show)
    if not (shared.outputs.is_a_page or pending.done):
        shared.outputs.show_text(f"[{question.model} answers in the background: _glm.wait()]")
    return pending


def begin(shared: Shared, question: Question, line: AskLine, ended: Ended, **options: Any) -> Pending:
    """Ask in the background, show what comes, and bind the reply; call `ended` once it has been shown.

    `options` are those of the view.
    """
    pending = Pending(question.model)
    circumstances = Circumstances(acting=acting, stopped=pending.stopping.is_set)
    asking = shared.session.ask(question, circumstances)
    asking.take_place()
    view = _view(shared, question, line, on_stop=pending.stop, **options)

    def work() -> None:
        reply: Reply | None = None
        error: BaseException | None = None
        try:
            reply, _ = _followed(asking, view, pending.check)
        except BaseException as failure:  # SystemExit, say: no caller is there to take it
            error = failure
        try:
            _settle(shared, view, asking, line, reply, error=error)
            ended(error)
        finally:
            pending.end(reply, error)

    if question.recorded is not None:  # it is there at once
        work()
    else:
        shared.background.start(question.chat, question.place, pending, work)
    shared.bind(pending, line.out)
    return pending


def _followed(asking: Asking, view: View, check: Callable[[], None]) -> tuple[Reply | None, bool]:
    """Paint the events; return the reply, and whether they came to their end.

    `check` raises `KeyboardInterrupt` where a person wants it to stop. The reply is then what is kept of it, if any.
    """
    try:
        with contextlib.closing(iter(asking)) as events:
            for event in events:
                view.paint(event)
                check()
    except KeyboardInterrupt:
        for event in asking.rest():
            view.paint(event)
        return asking.interrupt(), False
    return asking.reply, True


def _settle(
    shared: Shared,
    view: View,
    asking: Asking,
    line: AskLine,
    reply: Reply | None,
    *,
    error: BaseException | None = None,
) -> None:
    """Show how the answer ended: with the reply, or with the error and what had arrived."""
    partial = error.partial if isinstance(error, AnswerError) else reply
    known = error if isinstance(error, GlmError) else None
    problems = () if line.quiet else shared.session.recordings.problems()
    page = shared.page.cells() if asking.question.sent_after else ()
    view.settle(facts.ending_of(asking, partial, known, page=page, problems=problems))


def _what_is_kept(reply: Reply | None) -> str:
    if reply is None:
        return "Nothing had arrived, so nothing is kept."
    if reply.text:
        return "What had arrived is kept."
    did = "called tools" if reply.tool_calls else "thought" if reply.reasoning else "given what does not fit"
    return f"It had only {did}; nothing is kept in the conversation."


def _view(shared: Shared, question: Question, line: AskLine, **options: Any) -> View:
    conversation = shared.session.chats.conversation(question.chat)
    turn = conversation.find(question.place)
    stale = len(conversation.stale() & {attempt.id for attempt in question.sent_after})
    return shared.outputs.view(
        question.place,
        f"{question.model} (embedded model)" if question.is_embedded else question.model,
        quiet=line.quiet,
        form="json" if question.wishes.schema else question.settings["format"],
        with_calls=bool(question.wishes.tools),
        at_once=question.recorded is not None,
        live=shared.cells.have_ids,  # who sends none has nobody before the page
        marks=(
            *((f"attempt {len(turn.attempts) + 1}",) if turn and turn.attempts else ()),
            *((f"{stale} of the turns sent {'is' if stale == 1 else 'are'} stale",) if stale else ()),
        ),
        **options,
    )
