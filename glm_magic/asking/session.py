"""Plans and asks the questions of one kernel, or of one `Chat`, with the process's services."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from glm_magic.asking import forecast
from glm_magic.asking.ask import Asking, Circumstances
from glm_magic.asking.chats import Chats
from glm_magic.asking.costs import PriceLists
from glm_magic.asking.forecast import Forecast
from glm_magic.asking.history import History
from glm_magic.asking.loop import Loop
from glm_magic.asking.question import Draft, Question, Wishes
from glm_magic.asking.recordings import OFF, Recordings, source_of
from glm_magic.chat.attempt import Attempt
from glm_magic.chat.events import Event
from glm_magic.chat.messages import Message
from glm_magic.chat.place import Place
from glm_magic.errors import NotRecorded, PromptError
from glm_magic.service.services import Services, shared
from glm_magic.settings.layers import Layers
from glm_magic.settings.setting import Value

_DEFAULT_WISHES = Wishes()
_DEFAULT_CIRCUMSTANCES = Circumstances()


class Session:
    """Settings, conversations and recordings, and the services that answer.

    Those are the process's own, unless `services` are given or the layers have another environment. `notebook`
    tells the path of the kernel's notebook, None if it is not known, and `put_in_cell` puts code into a new cell of
    it. `wall` tells the seconds since the epoch, `clock` counts seconds.
    """

    def __init__(
        self,
        layers: Layers,
        *,
        services: Services | None = None,
        notebook: Callable[[], Path | None] = lambda: None,
        put_in_cell: Callable[[str], object] | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.layers = layers
        self.chats = Chats()
        self.recordings = Recordings(notebook, wall)
        self.prices = PriceLists()
        self.history = History(self.chats, self.recordings, layers, wall)
        self._services = services
        self._put_in_cell = put_in_cell
        self._clock = clock
        self._wall = wall

    @property
    def services(self) -> Services:
        """Who answers; after a fork others, since connections and locks belong to the parent."""
        if self._services is None or self._services.process != os.getpid():
            environ = self.layers.environ
            self._services = shared() if environ is os.environ else Services(environ)
        return self._services.held_by(self)

    @property
    def listed_models(self) -> tuple[str, ...]:
        """The models that an endpoint has, once it was asked for them."""
        return self._services.listed if self._services is not None else ()

    def plan(
        self,
        message: Message,
        place: Place,
        wishes: Wishes = _DEFAULT_WISHES,
        before: tuple[Attempt, ...] | None = None,
        settings: Mapping[str, Value] | None = None,
        *,
        limited: bool = True,
    ) -> Question:
        """Return the question that asking `message` at `place` would put, or the recorded answer to it.

        It is sent after the attempts in `before`, by default those of its conversation, under `settings`, by default
        those of the layers and the wishes. Nothing is sent, and nothing changes.

        Raises `CellError` if the prompt or a setting is wrong, if a limit would be passed (unless it is not `limited`,
        since it may have an answer), or if a recorded answer is required and missing; `SetupError` if nobody can be
        asked, except in a dry run.
        """
        if not message.content.strip():
            raise PromptError("The prompt is empty; nothing was sent.", "Write it below the %%glm line, or after %glm.")
        if settings is None:
            settings = self.layers.values(wishes.options)
        if before is None:
            before = self.sent_before(place, wishes, message)
        draft = Draft(place, message, wishes, settings, before)
        if settings["record"]:
            self.recordings.file(str(settings["record"]))
        recorded = self._recorded(draft)
        if recorded is not None:
            return recorded
        endpoint = self.services.endpoint(settings, dry_run=wishes.dry_run)
        if endpoint is None and not wishes.dry_run:
            self.services.embedded.check()
        question = draft.to(self.services.model(settings, endpoint), endpoint, is_embedded=endpoint is None)
        question.check()
        question = self.prices.priced(question)
        if limited and not wishes.dry_run:
            self.check_limits(question)
        return question

    def forecast(self, question: Question) -> Forecast:
        """Return what a question is expected to take: tokens, with their error, and cost."""
        return forecast.forecast(question, self.services.ledger)

    def check_limits(self, *questions: Question) -> None:
        """Raise `OverWindow` if one does not fit its model, `OverBudget` if they cost more than is left together."""
        questions = tuple(question for question in questions if question.recorded is None)
        expected = [self.forecast(question) for question in questions]
        for question, each in zip(questions, expected, strict=True):
            forecast.check_window(question, each.prompt, self.chats.conversation(question.chat))
        budgets = {question.settings["budget"] for question in questions}
        for budget in budgets:
            forecast.check_budget(expected, budget, self.services.ledger)

    def as_recorded(self, draft: Draft) -> Iterator[Question]:
        """Yield the question as it is put to each model that a recorded answer may have come from."""
        for model in self.services.recorded_models(draft.settings):
            yield draft.to(model, is_embedded=model == self.services.embedded.name)

    def sent_before(self, place: Place, wishes: Wishes, message: Message | None = None) -> tuple[Attempt, ...]:
        """Return the attempts that a question at `place` is sent after."""
        if not wishes.keep:
            return ()
        return self.chats.conversation(wishes.chat).reserve(place, message).sent(place, new=wishes.new)

    def _recorded(self, draft: Draft) -> Question | None:
        """Return the question with its recorded answer; None if it is to be asked."""
        settings = draft.settings
        source = source_of(settings["replay"], replay=draft.wishes.replay)
        if source == OFF:
            return None
        for question in self.as_recorded(draft):
            found = self.recordings.find(source, question.fingerprint, draft.place, save=bool(settings["save_turns"]))
            if found:
                return replace(question, recorded=found)
        if settings["replay_missing"] == "error":
            raise NotRecorded(
                f"No answer to this request is recorded in {source}; nothing was sent.",
                self.recordings.nearest(draft.message),
            )
        return None

    def ask(self, question: Question, circumstances: Circumstances = _DEFAULT_CIRCUMSTANCES) -> Asking:
        """Return the question under way; iterate over it for its events."""
        return Asking(question, self.history, self.loop(question, circumstances), created=self._wall())

    def loop(self, question: Question, circumstances: Circumstances = _DEFAULT_CIRCUMSTANCES) -> Loop:
        """Return what asks the question, and keeps nothing."""
        return Loop(
            question.body,
            lambda body: self._stream(question, body),
            self._clock,
            toolbox=circumstances.toolbox(question),
            schema=question.wishes.schema,
            run_code=circumstances.run_code,
            embedded=question.is_embedded,
            put_in_cell=self._put_in_cell,
        )

    def _stream(self, question: Question, body: Mapping[str, Any]) -> Iterator[Event]:
        services = self.services
        stream = services.stream(question.endpoint, body, question.settings)
        return stream.through(lambda events: forecast.metered(question, body, events, services.ledger))

    def close(self) -> None:
        """Release the services, which close if nobody else holds them. A later question opens them again."""
        self.recordings.close()
        if self._services is not None:
            self._services.release(self)
