"""An emulated terminal: what a person sees on it and above it, and every write that made it so."""

from __future__ import annotations

import codecs
import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import threading

import pyte
from waiting import comes_true

COLOURS = re.compile(r"\x1b\[[\d;]*m")
BACK = re.compile(r"\A\r(?:\x1b\[\d+A)?\x1b\[J")  # to where the draft begins, and away with it
ACTING = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")

# so that Ctrl-C interrupts
_ON_ITS_TERMINAL = "import fcntl, termios, IPython; fcntl.ioctl(0, termios.TIOCSCTTY, 0); IPython.start_ipython()"


class Emulator:
    """A screen with its scrollback; text goes in by `feed`, and is drawn when somebody looks."""

    def __init__(self, columns: int, rows: int) -> None:
        self._screen = pyte.HistoryScreen(columns, rows, history=100_000, ratio=0.1)
        self._stream = pyte.Stream(self._screen)
        self._fed: list[str] = []

    def feed(self, text: str) -> None:
        self._fed.append(text)

    def _draw(self) -> None:
        fed, self._fed = self._fed, []
        for text in fed:
            self._stream.feed(text)

    @property
    def lines(self) -> list[str]:
        """The scrollback and the screen."""
        self._draw()
        columns = self._screen.columns
        above = ["".join(line[at].data for at in range(columns)) for line in self._screen.history.top]
        lines = [line.rstrip() for line in (*above, *self._screen.display)]
        while lines and not lines[-1]:
            lines.pop()
        return lines

    @property
    def screen(self) -> list[str]:
        self._draw()
        return [line.rstrip() for line in self._screen.display]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    def resize(self, columns: int, rows: int) -> None:
        self._draw()
        self._screen.resize(rows, columns)


class Terminal(io.TextIOBase):
    """A terminal as a stream: it has a size, and feeds an emulator."""

    encoding = "utf-8"  # type: ignore[assignment]

    def __init__(self, columns: int = 60, rows: int = 12) -> None:
        self._controller, self._fd = pty.openpty()
        self._emulator = Emulator(columns, rows)
        self.writes: list[str] = []
        self.resize(columns, rows)

    def resize(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self._emulator.resize(columns, rows)

    def isatty(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._fd

    def write(self, text: str) -> int:
        if text:
            self.writes.append(text)
            self._emulator.feed(text.replace("\n", "\r\n"))  # as a terminal's line discipline does
        return len(text)

    @property
    def lines(self) -> list[str]:
        return self._emulator.lines

    @property
    def screen(self) -> list[str]:
        return self._emulator.screen

    @property
    def text(self) -> str:
        return self._emulator.text

    def acting(self) -> list[str]:
        """What reached the terminal that acts on it, beside the view's own way back and its colours."""
        rests = (COLOURS.sub("", BACK.sub("", write)) for write in self.writes)
        return [sign for rest in rests for sign in ACTING.findall(rest)]

    def close(self) -> None:
        if not self.closed:
            os.close(self._controller)
            os.close(self._fd)
        super().close()


class Shell:
    """IPython on a terminal of its own, typed into as a person does."""

    def __init__(self, *, columns: int = 70, rows: int = 20, **environment: str) -> None:
        self._controller, fd = pty.openpty()
        fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self._emulator = Emulator(columns, rows)
        self._lock = threading.Lock()
        self.raw = ""
        names = ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE")
        kept = {name: value for name, value in os.environ.items() if name not in names}
        words = ("--simple-prompt", "--no-banner", "--no-confirm-exit", "--HistoryManager.enabled=False")
        self._process = subprocess.Popen(
            [sys.executable, "-c", _ON_ITS_TERMINAL, *words],
            stdin=fd,
            stdout=fd,
            stderr=fd,
            env={**kept, "TERM": "xterm-256color", "PYTHONIOENCODING": "utf-8", **environment},
            start_new_session=True,
        )
        os.close(fd)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._prompts = 0
        self.wait_for_prompt()

    def _read(self) -> None:
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        while True:
            try:
                data = os.read(self._controller, 65536)
            except OSError:  # it has ended
                return
            text = decoder.decode(data)
            with self._lock:
                self._emulator.feed(text)
                self.raw += text

    @property
    def lines(self) -> list[str]:
        with self._lock:
            return self._emulator.lines

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    def type(self, text: str) -> None:
        """Press keys."""
        os.write(self._controller, text.encode())

    def shows(self, text: str) -> bool:
        """Whether the text comes up in time."""
        return comes_true(lambda: text in self.text)

    def run(self, line: str) -> None:
        """Type a line, and wait for the next prompt."""
        self.type(line + "\n")
        self.wait_for_prompt()

    def wait_for_prompt(self) -> None:
        self._prompts += 1
        wanted = f"In [{self._prompts}]:"
        assert comes_true(lambda: any(line.startswith(wanted) for line in self.lines[-1:])), self.text

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join(10)
        os.close(self._controller)
