"""Who answers: the connections, their limits, the key and the embedded model of this process.

Every session of a process shares one set of them (`shared`), so that two `Chat`s, or a `Chat` beside the magics,
neither open connections twice nor start the embedded model twice.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
import traceback
import weakref
from collections.abc import Callable, Generator, Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast

from glm_magic.chat.events import Event
from glm_magic.errors import GlmError, SettingError, SetupError
from glm_magic.protocol import models
from glm_magic.service import endpoint as endpoints
from glm_magic.service.embedded import HOW_TO_INSTALL, EmbeddedModel, is_installed
from glm_magic.service.endpoint import Endpoint
from glm_magic.service.keys import Key, KeyCabinet
from glm_magic.service.ledger import Ledger
from glm_magic.service.limits import Limits, limits_file
from glm_magic.settings.declared import number
from glm_magic.settings.setting import Value

if TYPE_CHECKING:
    from glm_magic.service.batch import Batches
    from glm_magic.service.calls import Calls
    from glm_magic.service.client import Client, Patience
    from glm_magic.service.masking import Masking


class Services:
    """Chooses an endpoint and asks it. `clock` counts seconds; a `client` is made with the first question."""

    def __init__(
        self, environ: Mapping[str, str], *, clock: Callable[[], float] = time.monotonic, client: Client | None = None
    ) -> None:
        self.keys = KeyCabinet(environ)
        self.embedded = EmbeddedModel(environ)
        self.limits = Limits(limits_file, clock=clock) if client is None else client.limits
        self.ledger = Ledger()
        self.listed: tuple[str, ...] = ()  # the models that an endpoint has, once it was asked for them
        self._clock = clock
        self._client = client
        self._lock = threading.Lock()
        self._holders: weakref.WeakSet[object] = weakref.WeakSet()
        self.process = os.getpid()

    def endpoint(self, settings: Mapping[str, Value], *, dry_run: bool = False) -> Endpoint | None:
        """Return the endpoint that the settings ask for; None is the embedded model.

        Raises `SetupError` if there is none to ask. A `dry_run` then shows a request to GLM without a key.
        """
        if settings["model"] == models.EMBEDDED:
            return None
        key = self.keys.find(_text(settings["api_key_env"]))
        if settings["base_url"]:
            return endpoints.endpoint(str(settings["base_url"]), key)
        if key is not None:
            return endpoints.endpoint(endpoints.GLM_CHINA, key)
        if settings["model"] is None and is_installed():
            return None
        if dry_run:
            return endpoints.endpoint(endpoints.GLM_CHINA, None)
        raise SetupError(
            "There is no key, no base_url" + (" and no embedded model." if settings["model"] is None else "."),
            "Give a key:         %glm_config --login   (or set GLM_API_KEY before Jupyter starts)\n"
            "or an endpoint:     %glm_config base_url=http://127.0.0.1:8000/v1\n"
            "or ask a model that runs here:  -m embedded" + ("" if is_installed() else f"   ({HOW_TO_INSTALL})"),
        )

    def check_address(self, settings: Mapping[str, Value]) -> None:
        """Raise `SetupError` if `base_url` is set to what cannot be asked; a key that is missing may yet come."""
        key = None
        with contextlib.suppress(SetupError):
            key = self.keys.find(_text(settings["api_key_env"]))
        if settings["base_url"]:
            endpoints.endpoint(str(settings["base_url"]), key)

    def model(self, settings: Mapping[str, Value], endpoint: Endpoint | None) -> str:
        """Return the name of the model that `endpoint` is asked for."""
        return self.embedded.name if endpoint is None else str(settings["model"] or models.DEFAULT_MODEL)

    def recorded_models(self, settings: Mapping[str, Value]) -> tuple[str, ...]:
        """Return the models that a recorded answer may have come from.

        Where no model is set, it depends on the machine who answers, and the recording may be from another one.
        """
        if settings["model"] == models.EMBEDDED:
            return (self.embedded.name,)
        if settings["model"] is not None:
            return (str(settings["model"]),)
        with contextlib.suppress(SetupError):
            if self.endpoint(settings) is None:
                return self.embedded.name, models.DEFAULT_MODEL
        return models.DEFAULT_MODEL, self.embedded.name

    def status(self, settings: Mapping[str, Value]) -> str:
        """Say whether there is a key, without showing it, and who would answer."""
        try:
            key = self.keys.find(_text(settings["api_key_env"]))
            endpoint = self.endpoint(settings)
        except (SetupError, SettingError) as error:
            return error.what
        found = f"{key.masked} from {key.source}" if key else "none"
        where = endpoint.base_url if endpoint else f"the embedded model {self.embedded.name}"
        return f"{found}; asks {where}"

    def base_url(self, settings: Mapping[str, Value]) -> str:
        """Return the address that is asked; ``""`` where that is the embedded model, or nobody."""
        with contextlib.suppress(SetupError):
            if (endpoint := self.endpoint(settings)) is not None:
                return endpoint.base_url
        return ""

    def stream(self, endpoint: Endpoint | None, body: Mapping[str, Any], settings: Mapping[str, Value]) -> EventStream:
        """Send a request body, to the embedded model if `endpoint` is None, and return what happens.

        The key is masked wherever the service repeats it, in errors and in answers. The stream raises `AnswerError`
        or `SetupError`.
        """
        self._asking(settings)  # loads httpx
        return EventStream(lambda stream: self._events(stream, endpoint, body, settings))

    def _events(
        self, stream: EventStream, endpoint: Endpoint | None, body: Mapping[str, Any], settings: Mapping[str, Value]
    ) -> Generator[Event, None, None]:
        client, patience = self._asking(settings)
        if endpoint is None:
            endpoint = yield from self.embedded.ready(_text(settings["api_key_env"]))
        asking = cast("Generator[Event, None, None]", client.stream(endpoint, body, patience))
        masking = stream.masking = endpoint.key.masking() if endpoint.key is not None else None
        with _WithoutKey(endpoint.key), contextlib.closing(asking):
            yield from asking if masking is None else masking.masked(asking)

    def list_models(self, settings: Mapping[str, Value]) -> tuple[str, ...]:
        """Ask the endpoint that the settings ask for which models it has; `listed` keeps the latest list.

        Raises `SetupError` if there is none to ask, `AnswerError` if it does not tell.
        """
        endpoint = self.endpoint(settings)
        if endpoint is None:
            return (models.EMBEDDED,)
        from glm_magic.service import listing  # noqa: PLC0415 - as in `_asking`

        with self._calls(endpoint, settings) as calls:
            self.listed = tuple(map(calls.hidden, listing.models(calls)))
        return self.listed

    @contextlib.contextmanager
    def batches(self, endpoint: Endpoint, settings: Mapping[str, Value]) -> Iterator[Batches]:
        """Give the batches of an endpoint; errors within the block are shown without the key."""
        from glm_magic.service.batch import Batches  # noqa: PLC0415 - as in `_asking`

        with self._calls(endpoint, settings) as calls:
            yield Batches(calls)

    @contextlib.contextmanager
    def _calls(self, endpoint: Endpoint, settings: Mapping[str, Value]) -> Iterator[Calls]:
        client, patience = self._asking(settings)
        with _WithoutKey(endpoint.key), client.calls(endpoint, patience) as calls:
            yield calls

    def _asking(self, settings: Mapping[str, Value]) -> tuple[Client, Patience]:
        from glm_magic.service.client import Client, Patience  # noqa: PLC0415 - it loads httpx

        with self._lock:
            if self._client is None:
                self._client = Client(limits=self.limits, clock=self._clock)
        return self._client, Patience(
            number(settings, "timeout"),
            number(settings, "connect_timeout"),
            int(number(settings, "retries")),
            int(number(settings, "concurrency")),
        )

    def held_by(self, holder: object) -> Services:
        """Stay open until `holder` releases the services, or is gone."""
        self._holders.add(holder)
        return self

    def release(self, holder: object) -> None:
        """Close, if nobody else holds the services."""
        self._holders.discard(holder)
        if not self._holders:
            self.close()

    def close(self) -> None:
        """Close the connections and end the embedded model. A later question opens them again."""
        if self.process != os.getpid():  # a fork has a copy; what it names is the parent's
            return
        if self._client is not None:
            self._client.close()
        self.embedded.close()


class EventStream(Iterator[Event]):
    """The events of one request."""

    def __init__(self, events: Callable[[EventStream], Generator[Event, None, None]]) -> None:
        self._events = events(self)
        self.masking: Masking | None = None

    def __next__(self) -> Event:
        return next(self._events)

    def through(self, change: Callable[[Iterator[Event]], Generator[Event, None, None]]) -> EventStream:
        """Let the events pass through a generator."""
        self._events = change(self._events)
        return self

    def close(self) -> None:
        """End the request."""
        self._events.close()

    def rest(self) -> list[Event]:
        """End the request, and return what was held back because the key may begin with it."""
        self.close()
        return self.masking.rest(is_cut=True) if self.masking is not None else []


_lock = threading.Lock()
_shared: Services | None = None


def shared() -> Services:
    """Return the services of this process. A fork begins its own."""
    global _shared  # noqa: PLW0603 - the one module global: connections belong to the process
    with _lock:
        if _shared is None or _shared.process != os.getpid():
            _shared = Services(os.environ)
        return _shared


class _WithoutKey:
    """Keeps the key out of what is raised within: out of its text, and out of the local variables of its frames."""

    def __init__(self, key: Key | None) -> None:
        self._key = key

    def __enter__(self) -> None:
        self._handled = sys.exc_info()[1]

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        if isinstance(error, GlmError):  # it is shown without frames
            if self._key is not None:
                error.rewrite(self._key.hidden_in)
            error.__context__ = None
            raise error.with_traceback(None) from None
        if error is not None:  # a bug: its frames are needed, and not their locals
            _clear_frames(error, self._handled)


def _clear_frames(error: BaseException, handled: BaseException | None) -> None:
    """Take the locals from the frames of an error and of what led to it, up to the error that its caller handles."""
    seen = {id(handled)}
    found: list[BaseException | None] = [error]
    while found:
        each = found.pop()
        if each is not None and id(each) not in seen:
            seen.add(id(each))
            traceback.clear_frames(each.__traceback__)  # except those that are running: our own and our callers'
            found += [each.__cause__, each.__context__]


def _text(value: Value) -> str | None:
    return value if isinstance(value, str) and value else None
