"""What a question costs: by a price list of the person's own, else by the list prices of GLM's own hosts."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

from glm_magic.asking.question import Question
from glm_magic.errors import SettingError
from glm_magic.protocol import models, prices
from glm_magic.protocol.prices import Price

_MOST_BYTES = 10_000_000  # of a price list: a file that is none may have no end


class PriceLists:
    """The price lists that were read; each is read again when its file has changed."""

    def __init__(self) -> None:
        self._read: dict[str, tuple[tuple[int, int], dict[str, Price]]] = {}
        self._lock = threading.Lock()  # answers in the background are priced in threads of their own

    def priced(self, question: Question) -> Question:
        """Return a question with the price of what its model reads and writes.

        Raises `SettingError` if the setting `prices` names a file that is no price list.
        """
        file, endpoint = question.settings["prices"], question.endpoint
        if endpoint is None:
            return question
        if file:
            price = self.read(str(file)).get(question.model.lower())
        else:
            price = models.list_price(question.model, endpoint.host)
        return replace(question, price=price.in_batch if price is not None and question.wishes.in_batch else price)

    def read(self, file: str) -> dict[str, Price]:
        """Return the prices in a file, by model in lower case. Raises `SettingError` if it is no price list."""
        path = Path(file).expanduser()
        try:
            state = path.stat()
            signature = (state.st_mtime_ns, state.st_size)
            with self._lock:
                known = self._read.get(file)
                if known is None or known[0] != signature:
                    if not path.is_file() or state.st_size > _MOST_BYTES:
                        raise SettingError(f"prices: {file} is not a file of a price list.")
                    known = self._read[file] = signature, prices.read(path.read_text(encoding="utf-8"), file)
        except (OSError, ValueError) as error:
            what = "is not text in UTF-8" if isinstance(error, UnicodeError) else f"cannot be read: {error}"
            raise SettingError(f"prices: {file} {what}.", "%glm_config --reset prices") from None
        return known[1]
