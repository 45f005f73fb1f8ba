"""What operators do when faults are over: bring machines back, check file systems, follow the runbook.

First everything is put in place and started, file systems and blank disks before the services on them; only then does
anybody wait for a service to be healthy, for its health may need any other one.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Mapping, Set
from dataclasses import dataclass

from chaos.agent.wire import Health
from chaos.agent.wire_states import TakeApart
from chaos.stack.live.running import RunningStack
from chaos.stack.spec import Stack


@dataclass(frozen=True)
class Damage:
    """What faults have lost, and what faults in force hold down.

    Attributes:
        lost: LUNs that are gone for good and not replaced yet.
        replaceable: Those of them that blank ones may replace now.
        held: Services that a fault in force keeps from working: neither they nor what they mount is touched.
    """

    lost: Set[str] = frozenset()
    replaceable: Set[str] = frozenset()
    held: Set[str] = frozenset()

    def __or__(self, other: Damage) -> Damage:
        """Both together."""
        return Damage(self.lost | other.lost, self.replaceable | other.replaceable, self.held | other.held)


async def mend(
    running: RunningStack,
    damage: Callable[[], Damage],
    blanks: Mapping[str, str],
    seconds_max: float,
    *,
    wait: bool = True,
    replacing: Callable[[Set[str]], None] = lambda luns: None,
    hindered: Callable[[], bool] = lambda: False,
) -> AsyncIterator[tuple[str, str]]:
    """Bring back whatever is down, except what a fault in force holds down; yield (topic, what was done).

    LUNs that lost power, or whose file system gave up, get a boot-time check, those that are gone a blank one in their
    place; the containers on them are made anew. Services that merely ended are started again. Then the runbook is
    followed for every LUN that a blank one has taken the place of, now or before, until it has come to its end.

    Args:
        running: The stack.
        damage: What has to be mended, and what must be left alone; asked when no fault can strike a LUN.
        blanks: Paths of empty file systems, in the agent, by LUN; only these LUNs are replaced.
        seconds_max: For all of it.
        wait: Until what was started is healthy; else only until it is started.
        replacing: Told of the LUNs that are replaced, just before they are.
        hindered: Whether a fault is in force that will end: what fails meanwhile is tried again afterwards.

    Raises:
        Unrecoverable: Something does not come back within `seconds_max`.
    """
    stack, deadline = running.stack, time.monotonic() + seconds_max
    async with running.changing:
        hurt = damage()
        replaceable = hurt.replaceable & blanks.keys()
        missing = [name for name in stack.services if name not in running.running]
        states = {name: await running.agent.call(Health(name)) for name in stack.luns if name not in hurt.lost}
        sick = {name for name, state in states.items() if state.closed or state.gave_up} | set(stack.luns_of(missing))
        untouched = hurt.held | set(stack.services_on(tuple(hurt.lost - replaceable)))
        anew, checked, blank = set(missing) - untouched, set[str](), set[str]()
        for lun in sorted(sick | replaceable):
            services, luns = stack.joined((lun,))
            if untouched & set(services):
                untouched = untouched | set(services)
                continue
            anew |= set(services)
            blank |= replaceable & set(luns)
            checked |= set(luns) - replaceable
        anew -= untouched
        ended = [name for name in await running.not_running() if name not in untouched | anew]
        if blank | checked:  # what waits for an I/O of theirs would strike between two steps of the operators
            await running.agent.call(TakeApart((*sorted(blank | checked),)))
        if blank:
            replacing(blank)
        running.blank = running.blank - hurt.lost | blank
        checks = await running.put_in_place(
            anew=anew,
            checked=[name for name in stack.luns if name in checked],
            blanks={name: blanks[name] for name in sorted(blank)},
        )
    for said in checks:
        yield "fsck", said
    await running.start([*anew, *ended], deadline - time.monotonic(), wait=wait)
    running.behind.watch(running.blank)
    if ended:
        yield "started", ", ".join(ended)
    async for said in _follow_the_runbook(running, hurt.lost, untouched, hindered, deadline):
        yield "runbook", said


async def _follow_the_runbook(
    running: RunningStack, lost: Set[str], untouched: Set[str], hindered: Callable[[], bool], deadline: float
) -> AsyncIterator[str]:
    """What no copy is left of is restored, else stays empty; yield what was done.

    A service of a `rebuild` step bootstraps itself on its blank LUN from a copy that is left. What waits for a service
    that is untouched, and a restore that failed while a fault hindered it, is left for the next time.
    """
    stack, blank, was_hindered = running.stack, running.blank, hindered()
    copied = {volume for volumes in stack.copies.values() for volume in volumes}
    # where it is said which disks hold the data, nobody takes a backup to a local one that is not among them
    without = {lun for lun in blank if lun in copied or not copied or not stack.luns[lun].is_local}
    if blank - without:
        yield _started_on(stack, blank - without)
    incomplete = lost | blank | running.behind.luns
    for step in stack.runbook:
        for service in step.services:
            copies = {lun: stack.copies_left(lun, incomplete) for lun in stack.luns_of((service,)) if lun in blank}
            for lun, left in copies.items():
                if left:
                    without.discard(lun)
                    yield f"{step.name}: {service} on a blank {lun}, from {', '.join(left)}"
    running.blank = without
    restores = [step for step in stack.runbook if step.kind == "restore"] if without else []
    for step in restores:
        if step.service in untouched:
            return
        await running.healthy((step.service,), deadline - time.monotonic())
        code, words = await running.execute(step.service, step.run, deadline - time.monotonic())
        if code == 0:
            running.blank = set()
            yield f"{step.name}: restored"
            return
        yield f"{step.name}: failed with {code}: {words}"
    if restores and (was_hindered or hindered()):
        return
    running.blank = set()
    if without:
        yield f"no usable backup; {_started_on(stack, without)}"


def _started_on(stack: Stack, luns: Set[str]) -> str:
    """What was done with lost LUNs: whether anything comes back by itself, say the reads."""
    bound = {name for name in luns if stack.luns[name].contents}
    done = [f"{', '.join(sorted(luns - bound))} replaced by blank LUNs"] if luns - bound else []
    done += [f"{', '.join(sorted(bound))} replaced by LUNs with what the bound folders hold"] if bound else []
    return f"{', '.join(done)}, {', '.join(stack.services_on(tuple(luns)))} started on them"
