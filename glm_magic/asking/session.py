"""Puts the rooms together, without IPython: what is set, what was said, who answers.

One session per kernel. Magics, and whatever else asks, ask through it.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from glm_magic.asking.ask import Asking, new_id, toolbox
from glm_magic.asking.chats import DEFAULT_CHAT, Chats
from glm_magic.asking.question import Question, check_encodes, offered, system_message
from glm_magic.asking.recordings import OFF, THIS_NOTEBOOK, Recordings
from glm_magic.asking.turn import Approve
from glm_magic.chat.conversation import Attempt, Conversation, context_digest, is_whole
from glm_magic.chat.events import Event, Notice
from glm_magic.chat.fingerprint import fingerprint
from glm_magic.chat.messages import Message, Role
from glm_magic.chat.place import Place
from glm_magic.errors import GlmError, NotRecorded, PromptError, SettingError, SetupError
from glm_magic.notebook import bundle
from glm_magic.protocol import models, request
from glm_magic.settings.declared import SETTINGS, Value
from glm_magic.settings.layers import Sources

if TYPE_CHECKING:
    from pathlib import Path

    from glm_magic.notebook.document import SavedTurn
    from glm_magic.service.client import Client
    from glm_magic.service.embedded import EmbeddedModel
    from glm_magic.service.endpoint import Endpoint
    from glm_magic.service.keys import Key, KeyCabinet
    from glm_magic.tools.schemas import Schema
    from glm_magic.tools.tool import Tool


class Session:
    """Settings, conversations and services of one kernel.

    `notebook` tells the path of the kernel's notebook, None if it is not known, and `put_in_cell` puts code into a
    new cell of it. `wall` tells the time of day
    in seconds since the epoch, `clock` counts seconds.
    """

    def __init__(
        self,
        sources: Sources,
        *,
        notebook: Callable[[], Path | None] = lambda: None,
        put_in_cell: Callable[[str], object] | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.sources = sources
        self.clock = clock
        self._put_in_cell = put_in_cell
        self._wall = wall
        self.chats = Chats()
        self.recordings = Recordings(notebook)
        self._client: Client | None = None
        self._embedded: EmbeddedModel | None = None
        self._keys: KeyCabinet | None = None
        self._starting = threading.Lock()  # answers in the background may begin at once

    # --- what is set -------------------------------------------------------------------------

    @property
    def keys(self) -> KeyCabinet:
        """Where the key is found."""
        if self._keys is None:
            from glm_magic.service.keys import KeyCabinet  # noqa: PLC0415 - loaded when it is needed

            self._keys = KeyCabinet(self.sources.environ)
        return self._keys

    @property
    def embedded(self) -> EmbeddedModel:
        """The embedded model, up or not."""
        if self._embedded is None:
            from glm_magic.service.embedded import EmbeddedModel  # noqa: PLC0415

            self._embedded = EmbeddedModel(self.sources.environ)
        return self._embedded

    def key_status(self) -> str:
        """Say, without showing it, whether there is a key, and who would answer."""
        try:
            key = self.keys.find(_text(self.sources.find(SETTINGS["api_key_env"])[0]))
            endpoint = self._endpoint(self.sources.values({}))
        except (SetupError, SettingError) as error:
            return error.what
        found = f"{key.masked} from {key.source}" if key else "none"
        where = endpoint.base_url if endpoint else f"the embedded model {self.embedded.name}"
        return f"{found}; asks {where}"

    def base_url(self) -> str:
        """Return the address that is asked now; ``""`` where that is the embedded model, or nobody."""
        try:
            endpoint = self._endpoint(self.sources.values({}))
        except SetupError:
            return ""
        return endpoint.base_url if endpoint else ""

    def _endpoint(self, settings: Mapping[str, Value], *, dry_run: bool = False) -> Endpoint | None:
        """Return whom to ask; None means the embedded model.

        Raises `SetupError` if nobody can be asked; in a `dry_run` that is GLM, which would want a key.
        """
        if settings["model"] == models.EMBEDDED:
            return None
        from glm_magic.service import endpoint  # noqa: PLC0415
        from glm_magic.service.embedded import is_installed  # noqa: PLC0415

        key = self.keys.find(_text(settings["api_key_env"]))
        if settings["base_url"]:
            return endpoint.endpoint(str(settings["base_url"]), key)
        if key is not None:
            return endpoint.endpoint(endpoint.GLM_CHINA, key)
        if settings["model"] is None and is_installed():
            return None
        if dry_run:
            return endpoint.endpoint(endpoint.GLM_CHINA, None)
        raise SetupError(
            "There is no key, no base_url" + (" and no embedded model." if settings["model"] is None else "."),
            "Set a key:          %env GLM_API_KEY=…   (or %glm_config --login)\n"
            "or an endpoint:     %glm_config base_url=http://127.0.0.1:8000/v1\n"
            "or ask a model that runs here:  -m embedded   (after %pip install 'glm_magic[local]')",
        )

    # --- asking ------------------------------------------------------------------------------

    def prepare(
        self,
        prompt: str | Message,
        place: Place,
        *,
        chat: str = DEFAULT_CHAT,
        options: Mapping[str, Value] | None = None,
        extra: Mapping[str, Any] | None = None,
        tools: tuple[Tool, ...] = (),
        schema: Schema | None = None,
        new: bool = False,
        keep: bool = True,
        stream: bool = True,
        replay: bool | None = None,
        dry_run: bool = False,
    ) -> Question:
        """Return what asking `prompt`, a text or a user message, at `place` would send, or the recorded answer to it.

        Nothing is sent, nothing changes. Raises `CellError` if the prompt or a setting is wrong, or an answer
        must be recorded and is not; `SetupError` if nobody can be asked, but for a `dry_run`.
        """
        message = Message("user", prompt) if isinstance(prompt, str) else prompt
        if not message.content.strip():
            raise PromptError("The prompt is empty; nothing was sent.", "Write it below the %%glm line, or after %glm.")
        settings = self.sources.values(options or {})
        system = system_message(settings, schema)
        fields = {**offered(settings, tools, schema), **(extra or {})}
        before: tuple[Attempt, ...] = ()
        if keep:
            before = self.chats.conversation(chat).reserve(place, message).sent(place, new=new)
        messages = [message for attempt in before for message in attempt.messages]
        if system:
            messages.insert(0, Message("system", system))
        messages.append(message)
        check_encodes(*messages[:1], message, *fields.values())  # what was said before has been checked

        def question(endpoint: Endpoint | None, model: str, recorded: SavedTurn | None = None) -> Question:
            is_embedded = endpoint is None and model == self.embedded.name
            body = request.body(
                {**settings, "model": model},
                messages,
                stream=stream,
                stream_usage=is_embedded or (endpoint is not None and not endpoint.is_glm),
                extra=fields,
            )
            return Question(
                chat,
                place,
                message,
                body,
                endpoint,
                before,
                new,
                keep,
                settings,
                system=system,
                tools=tools,
                schema=schema,
                is_embedded=is_embedded,
                recorded=recorded,
            )

        if record := _text(settings["record"]):
            self.recordings.file(record)
        source = _source(settings["replay"], replay=replay)
        if source != OFF:
            for model in self._names(settings):
                asked = question(None, model)
                if found := self.recordings.find(source, fingerprint(asked.body), place):
                    return replace(asked, recorded=found)
            if settings["replay_missing"] == "error":
                raise NotRecorded(
                    f"No answer to this request is recorded in {source}; nothing was sent.",
                    self.recordings.nearest(message),
                )
        endpoint = self._endpoint(settings, dry_run=dry_run)
        if endpoint is None and not dry_run:
            self.embedded.check()
        asked = question(endpoint, self._model(settings, endpoint))
        request.refuse_images(asked.body, embedded=asked.is_embedded)
        return asked

    def _model(self, settings: Mapping[str, Value], endpoint: Endpoint | None) -> str:
        return self.embedded.name if endpoint is None else str(settings["model"] or models.DEFAULT_MODEL)

    def _names(self, settings: Mapping[str, Value]) -> tuple[str, ...]:
        """Return the models that a recorded answer may have come from.

        Where none was set, who answers depends on the machine, and the record may be of another one.
        """
        if settings["model"] == models.EMBEDDED:
            return (self.embedded.name,)
        if settings["model"] is not None:
            return (str(settings["model"]),)
        with contextlib.suppress(SetupError):
            if self._endpoint(settings) is None:
                return self.embedded.name, models.DEFAULT_MODEL
        return models.DEFAULT_MODEL, self.embedded.name

    def ask(
        self,
        question: Question,
        *,
        approve: Approve | None = None,
        acting: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext,
        stopped: Callable[[], bool] | None = None,
    ) -> Asking:
        """Return the question under way; iterate over it for its events.

        `approve` says whether a tool that the model calls may run, and with what arguments; it and the tools act
        within `acting`. In the background, `stopped` tells whether the person has stopped it.
        """
        return Asking(
            question,
            self.chats,
            lambda body: self.events(question, body),
            created=self._wall(),
            clock=self.clock,
            toolbox=toolbox(question, approve, acting, stopped) if question.tools else None,
            put_in_cell=self._put_in_cell,
            answered=self._keep,
        )

    def _keep(self, question: Question, attempt: Attempt) -> None:
        kept = self.bundle(question, attempt)
        if kept is not None:
            settings = question.settings
            source, record = _source(settings["replay"]), _text(settings["record"]) or ""
            self.recordings.keep(question.place, kept, source=source, record=record)

    def put_in(
        self,
        text: str,
        role: Role,
        place: Place,
        *,
        chat: str = DEFAULT_CHAT,
        new: bool = False,
        replay: bool | None = None,
    ) -> Attempt:
        """Put a message into a conversation at `place`, and ask nothing."""
        if not text.strip():
            raise PromptError("The message is empty; nothing has changed.", "Write it below the %%glm line.")
        message = Message(role, text)
        check_encodes(message)
        before = self.chats.conversation(chat).reserve(place, message).sent(place, new=new)
        attempt = self._noted(
            Attempt(
                id=new_id(),
                messages=(message,),
                after=tuple(other.id for other in before),
                context=context_digest(before),
                new=new,
                role=role,
                fingerprint=fingerprint({"messages": [message.to_api()]}),
            ),
            place,
            replay=replay,
        )
        self.chats.take(chat, place, message)
        self.chats.swap(chat, lambda conversation: conversation.commit(place, attempt))
        self._keep_edit(place, self.bundle_at(chat, place))
        return attempt

    def _noted(self, edit: Attempt, place: Place | None, *, replay: bool | None = None) -> Attempt:
        """Return a change of the history with the id and the time that it was recorded with, else with those of now."""
        source = _source(self.sources.find(SETTINGS["replay"])[0], replay=replay)
        found = self.recordings.find(source, edit.fingerprint, place) if source != OFF else None
        if found is None:
            return replace(edit, created=round(self._wall(), 3))
        self.recordings.give(found, place)
        return replace(edit, id=found.attempt.id, created=found.attempt.created)

    def _keep_edit(self, place: Place, kept: dict[str, Any]) -> None:
        source = _source(self.sources.find(SETTINGS["replay"])[0])
        record = _text(self.sources.find(SETTINGS["record"])[0]) or ""
        self.recordings.keep(place, kept, source=source, record=record)

    def events(self, question: Question, body: Mapping[str, Any]) -> Iterator[Event]:
        """Send one request body of `question`, and yield what happens.

        Where the service says the key back, in an error or in what is said while waiting, it is masked.
        """
        with self._starting:
            if self._client is None:
                from glm_magic.service.client import Client  # noqa: PLC0415

                self._client = Client(clock=self.clock)
        from glm_magic.service.client import Patience  # noqa: PLC0415

        patience = Patience(
            float(question.settings["timeout"] or SETTINGS["timeout"].default or 0),
            float(question.settings["connect_timeout"] or SETTINGS["connect_timeout"].default or 0),
            int(question.settings["retries"] or 0),
        )
        endpoint = question.endpoint
        if endpoint is None:
            with self._starting:
                yield from self.embedded.ready()
            endpoint = self.embedded.endpoint
        asking = cast("Generator[Event, None, None]", self._client.stream(endpoint, body, patience))
        try:
            with contextlib.closing(asking):
                for event in asking:
                    yield _without_key(event, endpoint.key) if isinstance(event, Notice) else event
        except GlmError as error:
            if endpoint.key is not None:
                error.rewrite(endpoint.key.hidden_in)
            # the frames below have the key among their locals, and what is raised there is shown without them
            error.__context__ = None
            raise error.with_traceback(None) from None

    def close(self) -> None:
        """Free the connections, and end the embedded model."""
        if self._client is not None:
            self._client.close()
        if self._embedded is not None:
            self._embedded.close()

    # --- what was said -----------------------------------------------------------------------

    def edit(self, chat: str, change: Callable[[Conversation], Conversation]) -> dict[str, Any]:
        """Change a conversation; return the bundle by which the notebook remembers it."""
        after = tuple(attempt.id for attempt in change(self.chats.conversation(chat)).sent())
        said = fingerprint({"chat": chat, "after": after})
        edit = self._noted(Attempt(new_id(), (), after=after, role="", fingerprint=said), None)
        self.chats.swap(chat, change)
        kept = bundle.encode(chat, edit)
        self._keep_edit(Place(""), kept)
        return kept

    def restore(self, path: Path, *, force: bool = False) -> tuple[dict[str, Conversation], tuple[str, ...]]:
        """Take over the conversations in a saved notebook; return them, and what could not be read.

        Raises `SettingError` if a chat has been used in this kernel, unless `force`.
        """
        from glm_magic.notebook import document  # noqa: PLC0415

        restored = document.restore(path)
        self.chats.take_over(restored.conversations, force=force)
        return restored.conversations, restored.warnings

    def bundle(self, question: Question, attempt: Attempt | None) -> dict[str, Any] | None:
        """Return what the notebook keeps of a question whose `attempt` is its answer; None if there is nothing."""
        call = question.place.call
        if not question.keep:  # it belongs to no conversation
            is_kept = attempt is not None and is_whole(attempt.role, attempt.messages)
            return bundle.encode("", attempt, call=call) if attempt is not None and is_kept else None
        turn = self.chats.turn(question.chat, question.place)
        if turn.counting is not None:
            return self.bundle_at(question.chat, question.place)
        if not turn.attempts:
            return None
        edit = self.edit(question.chat, lambda conversation: conversation)
        kept = bundle.encode(question.chat, turn.attempts[-1], turn.attempts)
        return {**edit, "call": call, "attempts": kept["attempts"]}

    def bundle_at(self, chat: str, place: Place) -> dict[str, Any]:
        """Return what the notebook keeps of the turn at `place`, in which something counts."""
        turn = self.chats.turn(chat, place)
        assert turn.counting is not None, "it has been answered"
        return bundle.encode(chat, turn.counting, turn.earlier, place.call)


def _source(setting: Value, *, replay: bool | None = None) -> str:
    """Return the record that may answer; `replay` is what the cell says of it, None if nothing."""
    source = str(setting or OFF)
    return OFF if replay is False else THIS_NOTEBOOK if replay and source == OFF else source


def _without_key(notice: Notice, key: Key | None) -> Notice:
    return notice if key is None else replace(notice, text=key.hidden_in(notice.text))


def _text(value: Value) -> str | None:
    return value if isinstance(value, str) and value else None
