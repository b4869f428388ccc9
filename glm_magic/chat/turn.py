"""One turn: ask, stream, and end with the whole reply or with an error that carries its part.

It takes the `Stream` that asks and the clock that measures; it knows no network and keeps nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

from glm_magic.chat.events import PART_OF_AN_ANSWER, Event, Finished
from glm_magic.chat.reply import Reply, ReplyBuilder
from glm_magic.errors import AnswerError, BrokenStream, ContentFiltered, PromptTooLong, ServiceDown, Withdrawn

Stream: TypeAlias = Callable[[Mapping[str, Any]], Iterator[Event]]

_KEPT = "What had arrived is on the page; it is not in the conversation. Run the cell again."


class TurnUnderWay:
    """A turn from the question to its answer: iterate over it for its events; the last is `Finished`.

    Whatever ends the iteration, `partial` says what had arrived.
    """

    def __init__(
        self, request: Mapping[str, Any], stream: Stream, clock: Callable[[], float], **circumstances: Any
    ) -> None:
        """`clock` counts seconds; `circumstances` are fields of the `Reply` that the service does not say."""
        self._request = request
        self._stream = stream
        self._clock = clock
        self._circumstances = circumstances
        self._builder = ReplyBuilder()
        self._started = 0.0
        self._first_token: float | None = None

    def __iter__(self) -> Iterator[Event]:
        """Ask, and yield what happens. Raises `AnswerError`, with `partial` set, if it ends unwell."""
        self._started = self._clock()
        try:
            for event in self._stream(self._request):
                if self._first_token is None and isinstance(event, PART_OF_AN_ANSWER):
                    self._first_token = self._clock() - self._started
                self._builder.add(event)
                if self._builder.finish_reason == "sensitive":
                    self._withdraw()
                yield event
            self._check_ending()
        except ContentFiltered as error:  # also where an error in the stream says it (1301), and not its finish reason
            if self.has_begun:
                self._withdraw(error)
            raise
        except AnswerError as error:
            if not self._builder.is_empty:
                error.partial = self.partial()
            raise
        yield Finished(self.partial())

    @property
    def has_begun(self) -> bool:
        """Whether anything of an answer has come."""
        return not self._builder.is_empty

    def partial(self, **circumstances: Any) -> Reply:
        """Return the reply as it stands now."""
        return self._builder.reply(
            request=self._request,
            seconds=self._clock() - self._started,
            first_token_seconds=self._first_token,
            **{**self._circumstances, **circumstances},
        )

    def _check_ending(self) -> None:
        match self._builder.finish_reason:
            case "":
                raise BrokenStream("The stream ended before the answer did.", _KEPT)
            case "network_error":  # confirmed: inference failed; it comes with HTTP 200, sometimes after text
                raise ServiceDown("The service broke off the answer (network_error).", _KEPT)
            case "model_context_window_exceeded":
                raise PromptTooLong(
                    "Prompt and answer ran out of the model's context window.",
                    _KEPT.replace(
                        "Run the cell again.",
                        "Send less of the\nconversation: %glm_history --skip TURN, --new or --no-history.",
                    ),
                )
            case _:
                pass

    def _withdraw(self, error: ContentFiltered | None = None) -> None:
        """Confirmed: text already shown must be withdrawn and kept out of the history, however the stream ends."""
        self._builder = ReplyBuilder()
        if error is None:
            raise Withdrawn(
                "The service's content filter withdrew the answer.", "Reword the prompt or what it inserts."
            )
        raise Withdrawn(
            error.what, error.remedy, status=error.status, code=error.code, request_id=error.request_id
        ) from None
