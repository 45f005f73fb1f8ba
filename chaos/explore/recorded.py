"""A recorded run, in the folder of an exploration: its history, its write logs, and what they lie over."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

import orjson

from chaos.agent.recording import LOG_SUFFIX, Recording
from chaos.errors import HarnessError, UsageError
from chaos.history.events import DoorRead, End, FaultEvent, Note
from chaos.history.recorder import encode
from chaos.trial import RECORDING_FOLDER

RECORDED_FILE: Final = "recording.json"
"""Written last: where it is there, the recording is whole."""
PLACES_FILE: Final = "places.json"
BASE_SUFFIX: Final = ".base"
"""Of the golden file of a LUN, beside its log: of those in the cache only the last few stacks' stay."""
_FORMAT: Final = 2
_REMEDY: Final = "begin a new exploration of the experiment"


@dataclass(frozen=True)
class Recorded:
    """What the states of an exploration are made of.

    Attributes:
        begin_ns, end_ns: When the load began and was over, of CLOCK_MONOTONIC.
        luns: By LUN the name of its log's files, without suffix.
        golden: The name of the golden LUNs that these lie over; the files themselves are kept beside the logs.
        hostnames: What services that state no host name were called when these were made.
        seed: From which subsets are drawn.
    """

    begin_ns: int
    end_ns: int
    luns: Mapping[str, str]
    golden: str
    hostnames: Mapping[str, str]
    seed: int

    def write(self, folder: Path) -> None:
        """Write it, when everything else is there."""
        (folder / RECORDED_FILE).write_text(json.dumps({"format": _FORMAT, **asdict(self)}, indent=1) + "\n")

    @classmethod
    def read(cls, folder: Path) -> Recorded:
        """Read it.

        Raises:
            UsageError: The folder holds no recording that this version reads.
        """
        file = folder / RECORDED_FILE
        try:
            kept = json.loads(file.read_text())
            if kept.pop("format") != _FORMAT:
                raise UsageError(f"{file}: of another version of Holdfast; {_REMEDY}")
            return cls(**kept)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise UsageError(f"{file}: no recording that can be read ({error}); {_REMEDY}") from None

    def recordings(self, folder: Path) -> dict[str, Recording]:
        """The write logs, by LUN.

        Raises:
            HarnessError: One cannot be read.
        """
        try:
            return {
                lun: Recording.read(folder / RECORDING_FOLDER / f"{name}{LOG_SUFFIX}")
                for lun, name in self.luns.items()
            }
        except (OSError, ValueError) as error:
            raise HarnessError(f"the write logs cannot be read: {error}; {_REMEDY}") from error

    def require_golden(self, name: str, folder: Path) -> None:
        """What is started on its disks has to be what wrote them.

        Raises:
            UsageError: The golden LUNs of the stack are others now.
        """
        if name != self.golden:
            raise UsageError(f"{folder}: the stack or its images have changed since it was recorded; {_REMEDY}")


def write_places(folder: Path, places: Mapping[str, Mapping[int, str]]) -> None:
    """Keep what the blocks of each LUN are to its file system."""
    kept: dict[str, dict[str, list[int]]] = {}
    for lun, by_block in places.items():
        of_lun = kept.setdefault(lun, {})
        for block, place in by_block.items():
            of_lun.setdefault(place, []).append(block)
    (folder / PLACES_FILE).write_text(json.dumps(kept) + "\n")


def read_places(folder: Path) -> dict[str, dict[int, str]]:
    """What `write_places` has kept.

    Raises:
        UsageError: It could not be found out when the run was recorded.
    """
    try:
        kept = json.loads((folder / PLACES_FILE).read_text())
    except OSError:
        raise UsageError(
            f"{folder} has no {PLACES_FILE}, so nobody knows which states are alike; install e2fsprogs and record "
            "anew, or explore without --representative"
        ) from None
    return {lun: {b: place for place, blocks in of_lun.items() for b in blocks} for lun, of_lun in kept.items()}


def have(path: Path, to: Path) -> None:
    """Have a file in another place too: by a link where the two are on one disk, else as a copy with its holes.

    Raises:
        HarnessError: It cannot be copied.
    """
    try:
        os.link(path, to)
    except OSError:
        done = subprocess.run(
            ["cp", "--sparse=always", str(path), str(to)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise HarnessError(f"{path} cannot be copied: {done.stderr.strip()}") from None


class CutHistory:
    """The history of the recorded run, up to any instant of it."""

    def __init__(self, file: Path) -> None:
        """Read it."""
        header, *lines = file.read_bytes().splitlines()
        self._header: dict[str, object] = orjson.loads(header)
        self._lines: list[tuple[int, bytes]] = []
        for line in lines:
            event = orjson.loads(line)
            if event["event"] != "end":
                self._lines.append((event["t"], line))

    def write(self, to: Path, cut: FaultEvent, then: Sequence[DoorRead | Note]) -> None:
        """Write what had happened before a cut, and what was found afterwards, as a history that can be judged.

        What was sent before it and answered after it stays without an answer: nobody knew of one.
        """
        healed = replace(cut, happened="healed", bit=True, struck=())
        events = [cut, healed, *then]
        lines = [line for t, line in self._lines if t < cut.t]
        with to.open("wb") as file:
            file.write(orjson.dumps(self._header | {"faults": [cut.fault]}) + b"\n")
            file.writelines(line + b"\n" for line in lines)
            file.writelines(encode(each) for each in events)
            file.write(encode(End(max(each.t for each in events), 1 + len(lines) + len(events))))
