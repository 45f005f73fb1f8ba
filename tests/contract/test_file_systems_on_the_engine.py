"""XFS on LUNs, and mount options: what a cut takes, what heals, and what nobody repairs in the night."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from chaos.agent.wire import Create, Drop, Health, Save
from chaos.errors import AgentError, HarnessError
from chaos.stack.cache import CACHE_IN_AGENT, cache_folder
from chaos.stack.live.disks import Unrecoverable
from chaos.stack.spec import Mount, Stack
from tests.contract.stage import DATA, KEEP, LISTENER, WRITE, Play, Scene, greets, scene, service, stack_of

pytestmark = [pytest.mark.engine, pytest.mark.usefixtures("own_cache")]

MIB = 1 << 20
XFS_BYTES = 300 * MIB
REPLAYED = [("fsck", "disk: mount: its log was replayed")]
SHUT_DOWN = f"""
my $flags = pack("L", 2);
open my $folder, "<", "{DATA}" or die $!; ioctl($folder, 0x8004587d, $flags) or die "not shut down: $!";
"""
"""XFS_IOC_GOINGDOWN without a flush of the log: no I/O fails."""


def mounted_with(*options: str, stack: Stack | None = None, xfs: bool = False) -> Stack:
    """A stack whose LUNs are mounted with these options."""
    made = stack or stack_of()
    luns = {name: dataclasses.replace(lun, mount_options=options) for name, lun in made.luns.items()}
    if xfs:
        luns = {
            name: dataclasses.replace(lun, filesystem="xfs", size_bytes=XFS_BYTES, mount_options=options)
            for name, lun in made.luns.items()
        }
    return dataclasses.replace(made, luns=luns)


def on_xfs(stack: Stack | None = None) -> Stack:
    """A stack whose LUNs have XFS."""
    return mounted_with(stack=stack, xfs=True)


def test_an_xfs_loses_in_a_power_cut_what_was_not_flushed_and_keeps_what_was(play: Play) -> None:
    async def act(scene: Scene) -> None:
        injector = scene.injector("disk.power_cut")
        await scene.does(f"cd {DATA} && seq 100000 > kept && sync && echo lost > created && echo lost >> kept")
        await injector.enter_phase("now")
        await injector.heal_all()
        assert await scene.mend() == REPLAYED
        assert await scene.does(f"cd {DATA} && ls -A && tail -n 1 kept") == "kept\n100000"
        await greets(*scene.running.front_door)
        assert scene.faults[-1].bit, scene.faults[-1]

    play(act, on_xfs())


def test_an_xfs_that_shut_down_after_an_io_error_is_checked_and_mounted_again(play: Play) -> None:
    async def act(scene: Scene) -> None:
        await scene.does(KEEP)
        assert not (await scene.running.agent.call(Health("disk"))).gave_up
        injector = scene.injector("disk.io_error", operations=["write", "flush"])
        await injector.enter_phase("now")
        code, words = await scene.tries(f"cd {DATA} && touch new && sync new; ls")
        assert (code != 0, "Input/output error" in words) == (True, True), words
        await injector.heal_all()
        assert (await scene.running.agent.call(Health("disk"))).gave_up
        code, words = await scene.tries(f"cat {DATA}/kept")
        assert "Input/output error" in words, "the disk works again, and the file system does not"
        assert await scene.mend() == REPLAYED
        assert not (await scene.running.agent.call(Health("disk"))).gave_up
        assert await scene.does(f"cat {DATA}/kept && {WRITE} && echo written") == "kept\nwritten"

    play(act, on_xfs())


def test_an_xfs_that_shut_down_by_itself_is_noticed_without_any_io_that_failed(play: Play) -> None:
    async def act(scene: Scene) -> None:
        await scene.does(KEEP)
        await scene.does(f"perl -e '{SHUT_DOWN}'")
        assert (await scene.running.agent.call(Health("disk"))).gave_up
        assert [topic for topic, _ in await scene.mend()] == ["fsck"]
        assert await scene.does(f"cat {DATA}/kept && {WRITE} && echo written") == "kept\nwritten"

    play(act, on_xfs(stack_of(service(cap_add=("SYS_ADMIN",)))))


def test_an_xfs_that_no_mount_recovers_is_unrecoverable_and_nobody_repairs_it(play: Play) -> None:
    """The headers of every allocation group are gone, while the log is dirty; it has those of the first one alone."""

    async def act(scene: Scene) -> None:
        agent, name = scene.running.agent, "scratch/broken.img"
        injector = scene.injector("disk.power_cut")
        await scene.does(f"cd {DATA} && seq 1000 > kept && sync kept && echo more > more && sync more")
        await injector.enter_phase("now")
        await injector.heal_all()
        await agent.call(Save("disk", f"{CACHE_IN_AGENT}/{name}"))
        await agent.call(Drop("disk"))
        file = cache_folder() / name
        before = broken(file)
        await agent.call(Create("disk", XFS_BYTES, f"{CACHE_IN_AGENT}/{name}", "xfs", ("nouuid",)))
        with pytest.raises(Unrecoverable, match=r"disk: mount: .*; it needs more than a boot-time check"):
            await scene.mend()
        await agent.call(Save("disk", f"{CACHE_IN_AGENT}/{name}"))
        assert headers(file)[1:] == before[1:]
        file.unlink()

    play(act, on_xfs())


def broken(file: Path) -> list[bytes]:
    """Make zeros of the headers of each of the four groups; return them as they are then."""
    with file.open("r+b") as image:
        for group in range(4):
            image.seek(group * XFS_BYTES // 4 + 512)
            image.write(bytes(2 * 512))
    return headers(file)


def headers(file: Path) -> list[bytes]:
    found = []
    with file.open("rb") as image:
        for group in range(4):
            image.seek(group * XFS_BYTES // 4 + 512)
            found.append(image.read(2 * 512))
    return found


def test_two_copies_of_one_stack_on_xfs_run_at_once(tmp_path: Path) -> None:
    """They have the same UUID, and so have two LUNs of one size."""
    two = (Mount("lun", "disk", DATA), Mount("lun", "second", "/more"))
    stack = dataclasses.replace(on_xfs(stack_of(service(mounts=two))), name="twins")

    async def act() -> None:
        async with AsyncExitStack() as exits:
            copies = await asyncio.gather(*(exits.enter_async_context(scene(stack, tmp_path)) for _ in range(2)))
            for number, copy in enumerate(copies):
                await copy.does(f"echo {number} > {DATA}/own && sync {DATA}/own")
                injector = copy.injector("disk.power_cut")
                await injector.enter_phase("now")
                await injector.heal_all()
            await asyncio.gather(*(copy.mend() for copy in copies))
            assert [await copy.does(f"cat {DATA}/own") for copy in copies] == ["0", "1"]

    asyncio.run(act())


def test_a_golden_xfs_whose_log_is_dirty_is_noticed_and_made_anew(tmp_path: Path) -> None:
    said: list[str] = []
    stack = on_xfs(stack_of(service(command=("perl", "-e", f"# copied\n{LISTENER}"))))

    async def run(act: Callable[[Scene], Awaitable[None]]) -> None:
        async with scene(stack, tmp_path, said.append) as made:
            await act(made)

    async def spoil(made: Scene) -> None:
        await made.does(f"echo late > {DATA}/late && sync {DATA}/late")
        await made.running.agent.call(Save("disk", made.lab.golden.bases()["disk"]))

    async def look(made: Scene) -> None:
        assert await made.does(f"ls -A {DATA}") == ""

    asyncio.run(run(spoil))
    asyncio.run(run(look))
    why = "the disks that contract was initialised on are not used: disk: it was copied while it was mounted, or not"
    assert [line.startswith(why) for line in said if "image" not in line] == [False, True, False]


def test_a_bound_folder_is_copied_on_an_xfs(play: Play, tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own/file").write_text("text")
    stack = on_xfs()
    lun = dataclasses.replace(stack.luns["disk"], contents=str(tmp_path / "own"))

    async def act(scene: Scene) -> None:
        assert await scene.does(f"ls -A {DATA} && cat {DATA}/file") == "file\ntext"

    play(act, dataclasses.replace(stack, luns={"disk": lun}))


@pytest.mark.parametrize(
    ("xfs", "options", "shown"),
    [(False, ("noatime", "commit=30"), {"noatime", "commit=30"}), (True, ("noatime",), {"noatime", "nouuid"})],
)
def test_a_lun_is_mounted_with_its_options_after_a_power_cut_too(
    play: Play, xfs: bool, options: tuple[str, ...], shown: set[str]
) -> None:
    async def act(scene: Scene) -> None:
        async def options_there() -> set[str]:
            line = await scene.does(f"grep ' {DATA} ' /proc/mounts")
            return set(line.split()[3].split(","))

        assert shown <= await options_there()
        injector = scene.injector("disk.power_cut")
        await injector.enter_phase("now")
        await injector.heal_all()
        await scene.mend()
        assert shown <= await options_there()

    play(act, mounted_with(*options, xfs=xfs))


@pytest.mark.parametrize(("options", "left"), [((), "kept"), (("nobarrier",), ""), (("barrier=0",), "")])
def test_an_ext4_without_barriers_loses_what_was_flushed(play: Play, options: tuple[str, ...], left: str) -> None:
    async def act(scene: Scene) -> None:
        injector = scene.injector("disk.power_cut")
        await scene.does(KEEP)
        await injector.enter_phase("now")
        await injector.heal_all()
        await scene.mend()
        assert await scene.does(f"ls -A {DATA}") == left

    play(act, mounted_with(*options))


@pytest.mark.parametrize("xfs", [False, True])
def test_a_mount_option_that_the_kernel_does_not_know_is_told_with_its_lun(play: Play, xfs: bool) -> None:
    async def act(scene: Scene) -> None:
        pytest.fail("it was used")

    with pytest.raises(HarnessError, match=r"mount_options \[noatime, nosuchoption\] of disk .*: correct it or leave"):
        play(act, mounted_with("noatime", "nosuchoption", xfs=xfs))


def test_a_file_system_that_the_kernel_does_not_know_is_told_with_the_remedy(play: Play) -> None:
    async def act(scene: Scene) -> None:
        with pytest.raises(AgentError, match="this host's kernel has no nosuchfs: `modprobe nosuchfs`"):
            await scene.running.agent.call(Create("other", MIB, None, "nosuchfs"))

    play(act)
