"""The scores of a comparison's runs: functions are called one after the other, judges are asked many at once."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace

from glm_magic.asking.ask import attempt_of, priced
from glm_magic.asking.question import Draft, Question, Wishes
from glm_magic.asking.session import Session
from glm_magic.chat.messages import Message
from glm_magic.chat.place import Place
from glm_magic.chat.reply import Reply
from glm_magic.comparing.kept import Keeping, KeptRuns, Known
from glm_magic.comparing.plan import service_of
from glm_magic.comparing.running import PULL_SECONDS
from glm_magic.comparing.runs import Run
from glm_magic.comparing.scoring import Scored, Scorer
from glm_magic.errors import NotRecorded, StillPending
from glm_magic.notebook.runs import RunKey, SavedRun
from glm_magic.settings.setting import Value

# The settings that are the prompt's own, and not a judge's.
_NOT_A_JUDGES: Mapping[str, Value] = {"system": "", "stop": None, "max_tokens": None}


@dataclass(slots=True)
class Judges:
    """Asks judges outside of every conversation, and keeps their answers by the fingerprint of the request."""

    session: Session
    keeper: KeptRuns
    keeping: Keeping
    known: Known  # from before
    may_ask: bool = True
    saved: dict[str, SavedRun] = field(default_factory=dict)  # that this comparison has, by fingerprint
    _stopping: threading.Event = field(default_factory=threading.Event)

    def ask(self, prompt: str, options: Mapping[str, Value]) -> Reply:
        """Return a judge's answer to `prompt`: the one that is kept, or a new one. Raises `GlmError`."""
        question = self._question(prompt, options)
        found = self._kept(question)
        if found is not None:
            self.saved[question.fingerprint] = found
            return found.attempt.reply(request=question.body, embedded=question.is_embedded, replayed=True)
        if not self.may_ask:
            raise NotRecorded("The judge's answer is not recorded; nothing was sent.")
        created = self.keeper.wall()
        with contextlib.closing(iter(self.session.loop(question))) as events:  # type: ignore[type-var]
            reply = Reply("")
            for event in events:
                reply = getattr(event, "reply", reply)
                if self._stopping.is_set():
                    raise StillPending("The judge was stopped.")
        reply = priced(question, reply)
        saved = SavedRun(RunKey(service_of(question), question.fingerprint), attempt_of(question, reply, created))
        self.saved[question.fingerprint] = saved
        self.keeper.add(self.keeping, saved)
        return reply

    def is_known(self, prompt: str, options: Mapping[str, Value]) -> bool:
        """Whether a judge's answer to `prompt` is kept."""
        return self._kept(self._question(prompt, options)) is not None

    def stop(self) -> None:
        """Stop the judges that are being asked."""
        self._stopping.set()

    def _question(self, prompt: str, options: Mapping[str, Value]) -> Question:
        wishes = Wishes(options={**_NOT_A_JUDGES, **options}, keep=False, replay=False)
        message = Message("user", prompt)
        if self.may_ask:
            return self.session.plan(message, Place(""), wishes)
        settings = self.session.layers.values(wishes.options)
        put = list(self.session.as_recorded(Draft(Place(""), message, wishes, settings, ())))
        return next((question for question in put if self._kept(question) is not None), put[0])

    def _kept(self, question: Question) -> SavedRun | None:
        if question.fingerprint in self.saved:
            return self.saved[question.fingerprint]
        return self.known.of(RunKey(service_of(question), question.fingerprint))


def with_scores(run: Run, found: Scored) -> Run:
    """Return a run with the scores that were found for it."""
    return replace(
        run,
        scores={**run.scores, **found.values},
        score_errors={**run.score_errors, **found.errors},
    )


@dataclass(frozen=True, slots=True)
class Appraiser:
    """Scores runs by a `scorer`. Functions of the notebook are called within `acting`."""

    scorer: Scorer
    judges: Judges
    has_rows: bool = False
    acting: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext

    @property
    def is_simple(self) -> bool:
        """Whether a run can be scored by itself, as soon as it ends."""
        return not (self.scorer.judges or self.scorer.is_pairwise)

    def scored(self, run: Run, baseline: Run | None = None) -> Run:
        """Return a run with its scores; one without an answer has none."""
        if run.reply is None or not run.is_done or not self.scorer.names:
            return run
        found = self.scorer.score(
            run.reply,
            row=run.row if self.has_rows else None,
            baseline=baseline.reply if baseline is not None and baseline.is_done else None,
            ask=self.judges.ask,
        )
        return with_scores(run, found)

    def each(self, runs: Iterable[tuple[Run, Run | None]], at_once: int) -> Iterator[Run | None]:
        """Yield runs with their scores, in any order; None where a tenth of a second has passed without one.

        Judges are asked `at_once`; functions are called one after the other, in the caller's thread.
        """
        if not self.scorer.judges:
            for run, baseline in runs:
                with self.acting():
                    scored = self.scored(run, baseline)
                yield scored
            return
        pool = ThreadPoolExecutor(at_once, thread_name_prefix="glm_magic judge")
        try:
            waiting = [pool.submit(self.scored, run, baseline) for run, baseline in runs]
            for future in waiting:
                while not wait([future], PULL_SECONDS).done:
                    yield None
                yield future.result()
        except BaseException:
            self.judges.stop()
            raise
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def unknown(self, runs: Iterable[tuple[Run, Run | None]]) -> int:
        """Return how many requests to judges scoring these runs would take."""
        prompts: set[str] = set()
        for judge in self.scorer.judges:
            for run, baseline in runs:
                if run.reply is None or (judge.is_pairwise and baseline is None):
                    continue
                against = baseline.reply if baseline is not None else None
                for prompt in judge.prompts(run.reply, against, run.row if self.has_rows else None):
                    if not self.judges.is_known(prompt, judge.settings):
                        prompts.add(prompt)
        return len(prompts)
