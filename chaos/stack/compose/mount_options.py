"""Which mount options of a LUN are refused, and why.

The rest is passed to the kernel, which says itself what it does not know. Options that make a file system faster and
less safe are what people want to try, so they pass; `chaos.stack.durability` warns of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from chaos.stack.spec import Filesystem

_REASONS: Mapping[str, Iterable[str]] = {
    "nothing could be written to it": ("ro", "abort"),
    "its journal would not be replayed after a power cut, so what was flushed would seem to be lost": (
        "norecovery",
        "noload",
    ),
    "it reaches another device of this host, which no fault of the LUN strikes": (
        "logdev",
        "rtdev",
        "journal_dev",
        "journal_path",
    ),
    "it would stop this host's kernel at an error": ("errors=panic",),
    "it says how something else is mounted: a LUN has a loop device of its own": (
        *("loop", "offset", "sizelimit", "bind", "rbind", "move", "remount"),
        *("shared", "rshared", "slave", "rslave", "private", "rprivate", "unbindable", "runbindable"),
    ),
    "it is a word of /etc/fstab, which the kernel does not know": (
        *("defaults", "auto", "noauto", "user", "nouser", "users", "owner", "group", "nofail", "_netdev"),
    ),
}
_OF_ONE: Mapping[tuple[Filesystem, str], str] = {
    ("xfs", "nobarrier"): "XFS has none since Linux 4.19: it always flushes",
    ("xfs", "barrier"): "XFS has none since Linux 4.19: it always flushes",
    ("ext4", "nouuid"): "it is an option of XFS",
}
_REFUSED = {option: reason for reason, options in _REASONS.items() for option in options}
_REMEDY = "leave it out"


def refused_option(option: str, filesystem: Filesystem) -> tuple[str, str] | None:
    """Why a LUN is not mounted with an option, and the remedy; None where it may be."""
    name = option.partition("=")[0]
    if not option or any(each.isspace() for each in option):
        return f"{option!r} is no mount option", _REMEDY
    if "," in option and not name.endswith("context"):  # labels of SELinux have commas
        return f"{option} is several mount options", f"such as [{', '.join(option.split(','))}]"
    reason = _OF_ONE.get((filesystem, name)) or _REFUSED.get(option) or _REFUSED.get(name)
    if name.startswith(("x-", "X-", "comment")):
        reason = _REFUSED["defaults"]
    return (f"mount option {option}: {reason}", _REMEDY) if reason else None
