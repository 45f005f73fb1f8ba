"""Sends Python's own log, where libraries write their warnings, to a file during a run."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from logging.handlers import RotatingFileHandler

from chaos.errors import HarnessError
from chaos.stack.cache import cache_folder

LOG_FILE = "holdfast.log"
LOG_BYTES_MAX = 1_000_000


class _Silent(RotatingFileHandler):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the name is logging's
        """Say nothing: a full disk fails the run in a better place."""


@contextmanager
def logged_to_file() -> Iterator[None]:
    """Send warnings of the log to a file of the cache folder.

    Without any handler Python prints them on stderr: asyncio's traceback of every task that a Ctrl-C ended.
    """
    try:
        path = cache_folder() / LOG_FILE
    except HarnessError:  # the run itself needs the folder, and will say so
        yield
        return
    handler = _Silent(path, maxBytes=LOG_BYTES_MAX, backupCount=1, delay=True, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(process)d %(name)s %(levelname)s %(message)s"))
    handler.setLevel(logging.WARNING)
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
        handler.close()
