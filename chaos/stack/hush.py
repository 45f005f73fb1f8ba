"""Blanks out secrets wherever logs and messages of services are shown or stored."""

from __future__ import annotations

from chaos.stack.spec import Stack

_SECRET_BYTES_MIN = 6
"""Shorter values ("on", "5432") are no secrets, and without them nobody could read a log any more."""
_BLANK = b"***"


class Hush:
    """Knows every value of a stack's environments and secrets, and blanks it out of texts."""

    def __init__(self, stack: Stack) -> None:
        """Read the secrets' files; one that cannot be read has no value that a service could tell."""
        values: set[bytes] = set()
        for service in stack.services.values():
            values.update(value.encode() for value in service.environment.values())
            values.update(text.strip() for text in service.texts.values())
            values.update(path.read_bytes().strip() for path in service.secrets.values() if path.is_file())
        # the longest first: one may be part of another
        self._values = sorted((v for v in values if len(v) >= _SECRET_BYTES_MIN), key=len, reverse=True)

    def __call__(self, words: bytes) -> bytes:
        """The text without the values."""
        for value in self._values:
            words = words.replace(value, _BLANK)
        return words
