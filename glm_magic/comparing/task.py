"""A question on its way to a worker, what the worker does with it, and what comes back.

Both ways are pickled by cloudpickle, so that functions of the notebook travel too. A key never does: a worker takes its
own from its environment.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import uuid4

from glm_magic.asking.ask import priced
from glm_magic.asking.question import Question
from glm_magic.asking.session import Session
from glm_magic.chat.events import Event
from glm_magic.chat.reply import Reply
from glm_magic.comparing.scoring import Scored, Scorer
from glm_magic.errors import AnswerError, AuthenticationError, GlmError, OptionError, SetupError, described
from glm_magic.service.endpoint import Endpoint
from glm_magic.service.services import Services
from glm_magic.settings.layers import Layers

_HERE = uuid4().hex  # together with its id, a process: a fork has a copy

_KEY_OF_ITS_OWN = (
    "Workers take the key from their own environment: GLM_API_KEY, or the variable that api_key_env names.\n"
    "A key of --login does not reach them, and no key is ever pickled."
)
_TRAVELS = (
    "What the notebook defines travels with the question; what a module defines must be installed on the workers."
)


def _process() -> str:
    return f"{_HERE} {os.getpid()}"


@dataclass(frozen=True, slots=True)
class Task:
    """A question on its way to a worker, without the key, which the worker must have if `needs_key`.

    `scoring` is a scorer and its row, pickled; it is empty where the kernel scores. `process` is where it comes from.
    """

    question: Question
    needs_key: bool
    scoring: bytes = b""
    process: str = field(default_factory=_process)
    id: str = field(default_factory=lambda: uuid4().hex)  # Dask would answer equal tasks once


@dataclass(frozen=True, slots=True)
class TaskResult:
    """What a worker brings back: the reply, when it was asked (in seconds since the epoch), and what it failed with.

    `scored` is None where the worker has not scored the reply. `process` is where it was asked.
    """

    created: float
    reply: Reply | None
    failure: GlmError | None
    scored: Scored | None = None
    process: str = field(default_factory=_process)

    @property
    def is_of_this_process(self) -> bool:
        """Whether it was asked here, as by a thread pool."""
        return self.process == _process()


def packed(question: Question, scorer: Scorer | None = None, row: Mapping[str, Any] | None = None) -> bytes:
    """Return what a worker unpickles to ask a question, and to score the answer if the `scorer` can travel.

    Raises `OptionError` for a tool or schema that cannot travel.
    """
    needs_key = question.endpoint is not None and question.endpoint.key is not None
    cloudpickle = _cloudpickle()
    scoring = b""  # the kernel scores
    if scorer is not None:
        with contextlib.suppress(Exception):  # one of them cannot travel
            scoring = bytes(cloudpickle.dumps((scorer, row)))
    task = Task(replace(question, endpoint=None, recorded=None, sent_after=()), needs_key, scoring)
    try:
        return pickle.dumps(_Call(bytes(cloudpickle.dumps(task))))
    except Exception as error:
        raise OptionError(
            f"A tool or schema cannot be sent to workers: {described(error)}", "Define it in a module, or leave it out."
        ) from None


@dataclass(frozen=True, slots=True)
class _Call:
    """Asks when it is unpickled.

    So a worker without this package fails in its task, and the executor reports that. Dask would lose the connection
    to a worker that cannot read which function to run, and try again without end.
    """

    task: bytes

    def __reduce__(self) -> tuple[Callable[[bytes], bytes], tuple[bytes]]:
        return ask_here, (self.task,)


def result_of(result: bytes) -> TaskResult:
    """Return what a worker has brought back."""
    found: TaskResult = _cloudpickle().loads(result)
    return found


# --- in the worker --------------------------------------------------------------------------------


def ask_here(task: bytes) -> bytes:
    """Ask the question of a pickled `Task` in this worker, and return the pickled `TaskResult`."""
    cloudpickle = _cloudpickle()
    created = time.time()
    reply: Reply | None = None
    failure: GlmError | None = None
    scored: Scored | None = None
    try:
        found = _unpacked(task)
        for event in _events_of(found):
            reply = getattr(event, "reply", reply)
        scored = _scored(found, reply)
    except SetupError as error:
        failure = SetupError(f"In a worker: {error.what}", error.remedy)
    except AuthenticationError as error:
        failure = SetupError(f"In a worker: {error.what}", _KEY_OF_ITS_OWN)
    except GlmError as error:
        failure = error
        if isinstance(error, AnswerError):
            reply, error.partial = error.partial, None
    except Exception as error:  # of a tool, say: the others go on
        failure = GlmError(described(error))
    if reply is not None:
        reply = replace(reply, request={}, put_in_cell=None)
    return bytes(cloudpickle.dumps(TaskResult(created, reply, failure, scored)))


def _unpacked(pickled: bytes) -> Task:
    try:
        task: Task = _cloudpickle().loads(pickled)
    except Exception as error:
        raise GlmError(f"A worker cannot load the question: {described(error)}", _TRAVELS) from None
    return task


def _events_of(task: Task) -> Iterator[Event]:
    """Ask in this process, with the key of its own environment."""
    session = Session(Layers(os.environ))
    question = task.question
    try:
        endpoint = None if question.is_embedded else _endpoint(session.services, task)
        yield from session.loop(replace(question, endpoint=endpoint))
    finally:
        if task.process == _process():  # any other keeps its connections for the questions to come
            session.close()


def _scored(task: Task, reply: Reply | None) -> Scored | None:
    """Score a reply; None where the kernel does it: functions of its own process are called one after the other."""
    if not task.scoring or reply is None or not reply.text.strip() or task.process == _process():
        return None
    try:
        scorer, row = _cloudpickle().loads(task.scoring)
    except Exception:  # a module of the notebook's folder, say
        return None
    scored: Scored = scorer.score(priced(task.question, reply), row=row)
    return scored


def _endpoint(services: Services, task: Task) -> Endpoint:
    """Return the endpoint that this worker asks. Raises `SetupError` if there is none, or the key for it is missing."""
    settings = task.question.settings
    variable = str(settings["api_key_env"] or "")
    has_key = bool(os.environ.get(variable, "").strip()) if variable else services.keys.find() is not None
    endpoint = services.endpoint(settings) if has_key or not task.needs_key else None
    if endpoint is None:
        raise SetupError("There is no key.", _KEY_OF_ITS_OWN)
    return endpoint


def _cloudpickle() -> Any:
    try:
        import cloudpickle  # noqa: PLC0415 - of an extra
    except ImportError:
        raise SetupError("An executor needs cloudpickle.", '%pip install "glm_magic[executor]"') from None
    return cloudpickle
