"""Env files: `NAME=value` lines, as under `env_file:` and in a `.env` beside the Compose file.

Errors name the line and never show it.
"""

from __future__ import annotations

import re
from pathlib import Path

from chaos.errors import Problem, SourceError

_LINE = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_.-]*)\s*(?:=(.*))?")
SIZE_BYTES_MAX = 256 * 1024


def read_env_file(path: Path) -> dict[str, str | None]:
    """Variables by name; None for a name without `=`, which takes its value from outside.

    Raises:
        SourceError: The file cannot be read, or has a line that is not of this form.
    """
    try:
        with path.open("rb") as file:
            text = file.read(SIZE_BYTES_MAX + 1).decode("utf-8-sig")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        problem = Problem(str(path), 0, 0, f"the env file cannot be read: {reason}", "check env_file")
        raise SourceError([problem]) from None
    if len(text) > SIZE_BYTES_MAX:
        raise SourceError([Problem(str(path), 0, 0, "the env file is too large", "is this the right file?")])
    found: dict[str, str | None] = {}
    problems = []
    for number, line in enumerate(text.splitlines(), start=1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        match = _LINE.fullmatch(stripped)
        if match is None:
            problems.append(Problem(str(path), number, 1, "not of the form NAME=value", "see docs/compose.md"))
        else:
            found[match[1]] = None if match[2] is None else _value(match[2].strip())
    if problems:
        raise SourceError(problems)
    return found


def _value(text: str) -> str:
    quote = text[:1]
    if quote in ("'", '"') and (end := text.find(quote, 1)) > 0:
        inside = text[1:end]
        return inside.replace("\\n", "\n") if quote == '"' else inside
    return re.split(r"\s+#", text, maxsplit=1)[0]
