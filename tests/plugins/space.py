"""A medium and a fault of somebody else's package: a folder in a service that another program fills up.

All that such a package needs stands here; the tests register it by the entry point `space = tests.plugins.space`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from chaos.experiment.catalogue import ParameterInfo, TargetForm
from chaos.experiment.plan import Target
from chaos.faults.base import Evidence, Fault, Medium, Missing
from chaos.faults.live import LiveMedium, Strike
from chaos.faults.registry import fault
from chaos.stack.spec import Stack

COMMAND_SECONDS_MAX = 10.0


@dataclass(frozen=True)
class SpaceEvidence(Evidence):
    """How many bytes another program was seen to have taken."""

    filled_bytes: int = 0


class Space(Medium):
    """Free space in a folder, written `target: {folder: "service:/path"}`."""

    name = "space"
    forms = (TargetForm("folder", "name", "folder", "a folder"),)
    needs = ("engine",)
    live = "tests.plugins.space:LiveSpace"

    def missing(self, fault: type[Fault[Any]], target: Target, stack: Stack) -> list[Missing]:
        """A service that there is not."""
        service, _, path = target.names[0].partition(":")
        if service in stack.services and path.startswith("/"):
            return []
        return [Missing((target.key,), f"the stack has no folder {target}", "write it as service:/path")]

    def services(self, target: Target, stack: Stack) -> tuple[str, ...]:
        """The one."""
        return (target.names[0].partition(":")[0],)


class SpaceFault(Fault[SpaceEvidence]):
    """A fault of free space."""

    medium = Space()


@fault("space.fill")
class Fill(SpaceFault):
    """Another program takes so much of the disk; healing gives it back.

    Bites when as much was seen to be taken.

    Attributes:
        mebibytes: How much.
    """

    targets = ("folder",)
    parameters = {"mebibytes": ParameterInfo("integer", minimum=1, maximum=1024, default=1)}  # noqa: RUF012

    mebibytes: int = 1

    def why_not_bitten(self, evidence: SpaceEvidence) -> str:
        """All of it."""
        wanted = self.mebibytes << 20
        return "" if evidence.filled_bytes >= wanted else f"{evidence.filled_bytes} of {wanted} bytes were taken"


class SpaceStrike(Strike):
    """One folder that is being filled. Nothing ends it but `end`, and whoever removes the stack."""

    is_leased = False

    def __init__(self, medium: LiveSpace, index: int, fault: Fill, target: Target) -> None:
        """Nothing is taken yet."""
        super().__init__(str(target), index, fault)
        self._medium = medium
        self._service, _, folder = target.names[0].partition(":")
        self._file = f"{folder}/taken-{index}"
        self._mebibytes = fault.mebibytes

    async def inject(self) -> int:
        """Write a file."""
        await self._do("dd", "if=/dev/zero", f"of={self._file}", "bs=1M", f"count={self._mebibytes}", "status=none")
        self.in_force = True
        return time.monotonic_ns()

    async def renew(self) -> None:
        """Nothing ends by itself."""

    async def end(self) -> SpaceEvidence:
        """Look how large the file is, and remove it."""
        size = await self._do("stat", "-c", "%s", self._file)
        self.in_force = False
        await self._do("rm", self._file)
        return SpaceEvidence(int(size))

    async def _do(self, *command: str) -> str:
        assert self._medium.at.execute is not None
        code, words = await self._medium.at.execute(self._service, command, COMMAND_SECONDS_MAX)
        if code:
            raise RuntimeError(f"{' '.join(command)} ended with {code}: {words}")
        return words


class LiveSpace(LiveMedium[SpaceStrike]):
    """The folders of one running stack."""

    async def _aimed(self, index: int, fault: Fault[Any], target: Target) -> SpaceStrike:
        """The folder that is named."""
        assert isinstance(fault, Fill)
        return SpaceStrike(self, index, fault, target)
