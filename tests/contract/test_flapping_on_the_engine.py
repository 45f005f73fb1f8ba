"""Arrays whose paths flap, and arrays whose controller fails over, on the real engine; and scripts of several steps."""

from __future__ import annotations

import asyncio
import time

import pytest

from chaos.agent.wire_states import CountIos
from chaos.experiment.plan import Parameter, ScheduledFault, Target, Trigger
from chaos.faults.injector import Injector
from chaos.stack.spec import Stack
from tests.contract.stage import DATA, KEEP, READ, WRITE, Play, Scene, service, stack_of, until

pytestmark = [pytest.mark.engine, pytest.mark.usefixtures("own_cache")]
CORE = Target("array", "core")
TIMED = f"begun=$(date +%s%N) && {WRITE} && echo $((($(date +%s%N) - begun) / 1000000))"
TRY = f"for n in $(seq %d); do {READ} 2> /dev/null && echo + || echo -; sleep 0.05; done"


def pair() -> Stack:
    """Two services, each on a LUN of its own, both of the array "core"."""
    return stack_of(service(), service("other", "second"))


def begun(scene: Scene, *schedule: ScheduledFault) -> Injector:
    """An injector whose load has begun."""
    injector = Injector(schedule, scene.surroundings, scene.recorder, scene.faults.append, scene.mended)
    injector.begin_load()
    return injector


def at_once(fault: str, for_seconds: float | None = None, **parameters: Parameter) -> ScheduledFault:
    return ScheduledFault(fault, CORE, Trigger(seconds=0.0), for_seconds, parameters)


def then(fault: str, wait: float = 0.0, for_seconds: float | None = None, **parameters: Parameter) -> ScheduledFault:
    return ScheduledFault(fault, CORE, Trigger(seconds_after_previous=wait), for_seconds, parameters)


async def told(scene: Scene, *happened: str) -> None:
    """Wait until just this has happened to the faults, in this order."""

    async def has_happened() -> bool:
        return [event.happened for event in scene.faults] == [*happened]

    await until(has_happened, f"the faults are not {', '.join(happened)}", 30)


async def untouched(scene: Scene) -> None:
    """Nothing waits or fails, and no effect has counted anything: the disarmed twin of each fault."""
    before = await scene.running.agent.call(CountIos(("disk", "second"), cause=0))
    assert int(await scene.does(TIMED)) < 500
    assert "-" not in await scene.does(TRY % 5)
    after = await scene.running.agent.call(CountIos(("disk", "second"), cause=0))
    assert {name: each.ios for name, each in after.luns.items()} == {
        name: each.ios for name, each in before.luns.items()
    }


def test_san_controller_failover_stalls_every_lun_and_all_go_on_by_themselves(play: Play) -> None:
    async def act(scene: Scene) -> None:
        await asyncio.gather(*(scene.does(KEEP, name) for name in ("box", "other")))
        await untouched(scene)
        injector = begun(scene, at_once("san.controller_failover", stall_seconds=2.5))
        await told(scene, "injected")
        assert injector.damage.held == {"box", "other"}, "who mounts one of its LUNs now would hang"
        began = time.monotonic()
        waited = await asyncio.gather(scene.does(TIMED), scene.does(TIMED, "other"))
        assert time.monotonic() - began < 6
        assert all(1000 < int(each) < 3500 for each in waited), waited
        await told(scene, "injected", "healed")
        await injector.end_load()
        event = scene.faults[-1]
        assert (event.bit, event.why) == (True, "")
        assert int(event.evidence["held_ios"]) >= 2
        assert 1000 < int(event.evidence["longest_wait_ms"]) < 3500
        assert not any(name.startswith("failed_") for name in event.evidence)
        assert injector.damage.held == set()
        assert await scene.mend() == [], "nobody saw an error"
        await untouched(scene)

    play(act, pair())


def test_san_controller_failover_ends_in_the_agent_though_nobody_heals_it(play: Play) -> None:
    async def act(scene: Scene) -> None:
        await scene.does(KEEP)
        injector = scene.injector("san.controller_failover", stall_seconds=1.5)
        await injector.enter_phase("now")
        assert int(await scene.does(TIMED)) < 2500
        assert int(await scene.does(TIMED)) < 500, "it is over"
        assert [event.happened for event in scene.faults] == ["injected"]
        await injector.heal_all()
        assert scene.faults[-1].bit

    play(act)


def test_san_path_flapping_holds_the_ios_of_each_gap_until_its_end(play: Play) -> None:
    async def act(scene: Scene) -> None:
        await asyncio.gather(*(scene.does(KEEP, name) for name in ("box", "other")))
        await untouched(scene)
        flapping = at_once("san.path_flapping", times=3, away_seconds=1.2, back_seconds=0.6)
        injector = begun(scene, flapping)
        await told(scene, "injected")
        script = f"for n in $(seq 60); do {TIMED}; sleep 0.05; done"
        took = [int(each) for each in (await scene.does(script)).split()]
        assert len([each for each in took if each > 500]) in (2, 3), "the first gap may be over when it begins"
        assert max(took) < 2000
        assert took[-1] < 500
        await told(scene, "injected", "healed")
        await injector.end_load()
        event = scene.faults[-1]
        assert (event.bit, event.why) == (True, "")
        assert int(event.evidence["gaps"]) in (2, 3)
        assert 500 < int(event.evidence["longest_wait_ms"]) < 2000
        assert await scene.mend() == []
        await untouched(scene)

    play(act, pair())


def test_san_path_flapping_that_fails_gives_errors_in_each_gap_until_it_is_healed(play: Play) -> None:
    async def act(scene: Scene) -> None:
        await scene.does(KEEP)
        injector = scene.injector("san.path_flapping", mode="fail", away_seconds=0.5, back_seconds=0.5)
        await injector.enter_phase("now")
        assert injector.damage.held == set(), "who starts now gets its answers"
        seen = "".join((await scene.does(TRY % 50)).split())
        assert "-" in seen
        assert seen.count("-+") >= 2, f"the paths came back several times: {seen}"
        await injector.heal_all()
        await scene.mend()
        assert "-" not in await scene.does(TRY % 20)
        event = scene.faults[-1]
        assert (event.happened, event.bit) == ("healed", True)
        assert int(event.evidence["gaps"]) >= 2
        assert int(event.evidence["failed_reads"]) == seen.count("-")
        assert "held_ios" not in event.evidence

    play(act)


def test_a_script_of_several_steps_takes_one_after_the_other(play: Play) -> None:
    """A firmware update: the controllers change over, the write cache is lost, old data is served for a while."""

    async def act(scene: Scene) -> None:
        await scene.does(f"{KEEP} && sleep 3")
        injector = begun(
            scene,
            at_once("san.controller_failover", stall_seconds=1),
            then("san.cache_loss", wait=1.5, for_seconds=0.5, seconds=3),
            then("disk.stale_read", for_seconds=4),
        )
        await told(scene, "injected")
        assert int(await scene.does(TIMED)) > 200
        await scene.does(f"echo cached > {DATA}/cached && sync {DATA}/cached {DATA}")
        await told(scene, *["injected", "healed"] * 2, "injected")
        assert await scene.does(f"ls {DATA} && cat {DATA}/kept") == "kept\nkept", "the cache is gone, the disk mended"
        is_there = f"dd if={DATA}/kept iflag=direct bs=4096 status=none | tr -d '\\0'"
        assert await scene.does(f"{WRITE} && {is_there}") == "kept", "zeros were written over it"
        await told(scene, *["injected", "healed"] * 3)
        assert await scene.does(is_there) == ""
        await injector.end_load()
        assert [(event.fault, event.bit) for event in scene.faults if event.happened == "healed"] == [
            ("san.controller_failover", True),
            ("san.cache_loss", True),
            ("disk.stale_read", True),
        ]
        assert scene.faults[2].t - scene.faults[1].t >= 1.5e9, "the wait"

    play(act)
