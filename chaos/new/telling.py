"""What `holdfast new` prints: what it wrote, what it guessed and why, and the command that comes next."""

from __future__ import annotations

from chaos.new import own_driver
from chaos.new.writing import Written


def told(written: Written, hindrance: str) -> list[str]:
    """All of it, line by line; `hindrance` is why what was written cannot be run yet."""
    width = max(len(str(path)) for path in written.files)
    lines = [f"wrote {path!s:<{width}}  {what}" for path, what in written.files.items()]
    lines += ["guessed:", *(f"  {each}" for each in written.guess.reasons)]
    if written.guess.doubts:
        lines += ["look at:", *(f"  {each}" for each in written.guess.doubts)]
    lines += [f"warning: {each}" for each in written.unsafe]
    if hindrance:
        lines += ["before it runs:", *(f"  {each}" for each in hindrance.splitlines())]
    return [*lines, f"next: {next_command(written)}"]


def next_command(written: Written) -> str:
    """What to type next."""
    first, folder = written.experiments[0], written.experiments[0].parent
    if written.guess.has_own_driver:
        driver = folder.parent / own_driver.NAME
        return f"fill in {driver}, then: holdfast driver-test {first}"
    return f"holdfast run {folder}"
