"""A progress bar: redrawn in place on a terminal, a line at every tenth elsewhere."""

from __future__ import annotations

import sys
import threading
import time


class Bar:
    """Counts `total` steps. Safe to use from several threads."""

    def __init__(self, label: str, total: int) -> None:
        self._label, self._total = label, total
        self._done, self._tenth = 0, 0
        self._start = time.monotonic()
        self._lock = threading.Lock()
        self._terminal = sys.stdout.isatty()
        self._draw()

    def step(self) -> None:
        """One more is done."""
        with self._lock:
            self._done += 1
            self._draw()

    def _draw(self) -> None:
        part = self._done / self._total
        if not self._terminal:
            if int(part * 10) == self._tenth and self._done:
                return
            self._tenth = int(part * 10)
        filled = int(part * 30)
        spent = time.monotonic() - self._start
        text = f"{self._label} [{'#' * filled}{'.' * (30 - filled)}] {self._done}/{self._total} {spent:.0f}s"
        end = "" if self._terminal and self._done < self._total else "\n"
        print(f"{chr(13) if self._terminal else ''}{text}", end=end, flush=True)
