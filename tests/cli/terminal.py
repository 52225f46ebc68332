"""A terminal for tests: a pseudo-terminal, a program in it, and an emulator that knows what is on the screen."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import threading
import time
from pathlib import Path

import pyte

ROOT = Path(__file__).parents[2]
PATIENCE = 60.0  # s; for what takes a second on an idle machine
PROMPT = re.compile(r"^>\s*$")


class _Screen(pyte.HistoryScreen):
    """An emulated screen that keeps what scrolls away, and answers where the cursor is."""

    answer = None

    def write_process_input(self, data):
        self.answer(data.encode())


class Terminal:
    """A program in a terminal of its own; at the end of the block it is killed if it has not ended."""

    def __init__(self, *arguments, columns=80, rows=24, module="tests.cli.program", stderr=None, **environment):
        self.master, slave = pty.openpty()
        self.resize(columns, rows, signal=False)
        self.raw = bytearray()
        self.screen = _Screen(columns, rows, history=5000, ratio=0.5)
        self.screen.answer = self._write
        self._stream = pyte.ByteStream(self.screen)
        self._lock = threading.Lock()
        left_out = {"NO_COLOR", "AIMU_MODEL", "AIMU_DEBUG", "COLUMNS", "LINES"}
        kept = {key: value for key, value in os.environ.items() if key not in left_out and not key.endswith("_KEY")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdin=slave,
            stdout=slave,
            stderr=slave if stderr is None else stderr,
            start_new_session=True,
            cwd=ROOT,
            env={
                **kept,
                "TERM": "xterm-256color",
                "AIMU_TEST_TERMINAL": "1",
                "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]),
                **environment,
            },
        )
        os.close(slave)
        self._left, self._leave = os.pipe()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.process.kill()
        self.process.wait()
        self.hang_up()

    def hang_up(self):
        """Close the terminal, as its window does."""
        if self.master is not None:
            os.write(self._leave, b".")
            self._reader.join(PATIENCE)
            for descriptor in (self.master, self._left, self._leave):
                os.close(descriptor)
            self.master = None

    def _read(self):
        while self._left not in select.select([self.master, self._left], [], [])[0]:
            try:
                data = os.read(self.master, 65536)
            except OSError:  # the program has ended
                return
            if not data:
                return
            with self._lock:
                self.raw += data
                self._stream.feed(data)

    def _write(self, data):
        os.write(self.master, data)

    def type(self, text):
        """Type a text; \\r is Enter, \\x03 Ctrl-C, \\x04 Ctrl-D."""
        self._write(text.encode())

    def resize(self, columns, rows, *, signal=True):
        """Change the size of the terminal."""
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        if signal:
            with self._lock:
                self.screen.resize(rows, columns)

    def lines(self):
        """Everything that was printed: what has scrolled away, then the screen."""
        with self._lock:
            columns = self.screen.columns
            gone = ["".join(row[column].data for column in range(columns)) for row in self.screen.history.top]
            return [line.rstrip() for line in [*gone, *self.screen.display]]

    @property
    def text(self):
        return "\n".join(self.lines())

    def wait(self, ready, what=None):
        """Wait until `ready`, a text that appears or a function of the terminal."""
        deadline = time.monotonic() + PATIENCE
        if isinstance(ready, str):
            wanted = ready

            def ready(terminal):
                return wanted in terminal.text

        while not ready(self):
            assert time.monotonic() < deadline, f"it never came ({what or ready!r}):\n{self.text}"
            time.sleep(0.01)

    def wait_for_prompt(self):
        """Wait until the program waits for a message."""
        self.wait(lambda terminal: PROMPT.match(terminal.lines_until_cursor()[-1]), "the prompt")

    def lines_until_cursor(self):
        with self._lock:
            return [line.rstrip() for line in self.screen.display[: self.screen.cursor.y + 1]]

    def ask(self, text):
        """Send a message and wait for the prompt after its answer."""
        self.wait_for_prompt()
        before = self.lines().count(f"> {text}")
        self.type(text + "\r")
        self.wait(lambda terminal: terminal.lines().count(f"> {text}") > before, text)
        self.wait_for_prompt()

    def end(self):
        """Wait for the end of the program and return its exit code."""
        code = self.process.wait(PATIENCE)
        if self.master is not None:
            self._reader.join(PATIENCE)
        return code
