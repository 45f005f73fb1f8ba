"""Pulling an image: by the user's own login, bounded in time and in silence, and told while it goes on."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator

from chaos.errors import EngineError
from chaos.stack.engine import images
from chaos.stack.engine.client import Engine
from chaos.stack.engine.images import Login, Said
from chaos.stack.images.logins import login_for
from chaos.stack.pulse import Say, quiet

_SECONDS_MAX = 3600.0
_FIRST_SECONDS_MAX = 20.0
"""A registry that cannot be reached answers nothing at all."""
_QUIET_SECONDS_MAX = 120.0
"""While large layers are unpacked some engines say nothing."""
_MB = 1_000_000


def pull(client: Engine, name: str, platform: str = "", say: Say = quiet) -> str:
    """Pull an image, of a platform such as linux/arm64 if one is given.

    Returns:
        "" when it is there now, else why not.
    """
    troubles: list[str] = []
    trouble = _pulled(client, name, platform, login_for(name, troubles), say)
    return "; ".join([trouble, *troubles]) if trouble else ""


def _pulled(client: Engine, name: str, platform: str, login: Login | None, say: Say) -> str:
    heard: queue.SimpleQueue[Said | None] = queue.SimpleQueue()

    def follow() -> None:
        try:
            for said in images.pull(client, name, platform, login, _SECONDS_MAX):
                heard.put(said)
        except EngineError as error:
            heard.put(Said(error=str(error)))
        heard.put(None)

    # the engine may answer nothing at all, so a thread waits for it, and this one for the thread
    threading.Thread(target=follow, name="holdfast-pull", daemon=True).start()
    progress = _Progress()
    try:
        for said in _bounded(heard):
            if said.error:
                return said.error
            say(f"pulling {name}: {progress.with_(said)}")
    except queue.Empty:
        return "the registry gave no answer in time"
    return ""


def _bounded(heard: queue.SimpleQueue[Said | None]) -> Iterator[Said]:
    until, quiet_seconds = time.monotonic() + _SECONDS_MAX, _FIRST_SECONDS_MAX
    while True:
        said = heard.get(timeout=max(0.0, min(quiet_seconds, until - time.monotonic())))
        if said is None:
            return
        quiet_seconds = _QUIET_SECONDS_MAX
        yield said


class _Progress:
    """Adds up the layers."""

    def __init__(self) -> None:
        self._layers: dict[tuple[str, str], tuple[int, int]] = {}

    def with_(self, said: Said) -> str:
        if said.total_bytes and said.part:
            self._layers[said.text, said.part] = said.done_bytes, said.total_bytes
            sizes = [size for (doing, _), size in self._layers.items() if doing == said.text]
            done, total = (sum(each) / _MB for each in zip(*sizes, strict=True))
            return f"{said.text.lower()} {done:.0f} of {total:.0f} MB"
        return f"{said.part} {said.text.lower()}" if said.part else said.text
