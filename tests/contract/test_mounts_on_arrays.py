"""Whatever a service mounts at a path can be put on an array of the SAN, and the array's faults strike it there."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos.experiment.plan import Target
from chaos.stack.compose import load_stack
from chaos.stack.live.mending import Damage
from chaos.stack.spec import Stack
from tests.contract.stage import LISTENER, Play, Scene
from tests.contract.test_servers_on_local_disks import FIRST_AND_SECOND, REDIS

pytestmark = [pytest.mark.engine, pytest.mark.usefixtures("own_cache")]
COMPOSE = """\
services:
  box:
    image: debian:bookworm-slim
    command: [perl, -e, "$LISTENER"]
    volumes: ["./folder:/more"]
    ports: ["8080"]
    stop_grace_period: 2s
  reader: {image: debian:bookworm-slim, command: [sleep, infinity], init: true, volumes: ["./folder:/in:ro"]}
x-chaos:
  front_door: box:8080
  arrays: {core: {luns: {"box:/more": {size: 32M, contents: CONTENTS}, "box:/added": {size: 16M}}}}
"""
WITH_REDIS = """\
services:
  box:
    build: .
    command: [redis-server, --dir, /data, --appendonly, "yes", --appendfsync, $APPENDFSYNC, --save, ""]
    ports: ["6379"]
x-chaos: {front_door: "box:6379", arrays: {core: {luns: {"box:/data": {size: 64M}}}}}
"""


def loaded(folder: Path, text: str, **variables: str) -> Stack:
    (folder / "compose.yaml").write_text(text)
    return load_stack([folder / "compose.yaml"], variables, [], {})


async def lose(scene: Scene, write: str) -> None:
    """Write, lose the array core for good, write again, and let the operators put blank LUNs in its place."""
    injector = scene.injector("san.lose", target=Target("array", "core"))
    await scene.does(write)
    await injector.enter_phase("now")
    await scene.tries(write)
    await injector.count_lasting()
    assert scene.faults[-1].bit, scene.faults[-1].why
    luns = set(scene.stack.arrays["core"])
    await scene.mend(Damage(lost=luns, replaceable=luns))


@pytest.mark.parametrize(("contents", "first"), [("copied", "first"), ("none", "")])
def test_a_bound_folder_on_an_array_is_one_lun_for_all_who_bind_it_and_is_lost_with_the_array(
    contents: str, first: str, tmp_path: Path, play: Play
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "first").touch()

    async def act(scene: Scene) -> None:
        assert await scene.does("ls /more") == first
        await scene.does("touch /more/second /added/second && sync /more /more/second /added /added/second")
        assert await scene.does("ls /in", "reader") == f"{first}\nsecond".lstrip()
        cut = scene.injector("disk.power_cut", target=Target("lun", "reader:/in"))
        await scene.does("touch /more/cached")
        await cut.enter_phase("now")
        await cut.heal_all()
        assert scene.faults[-1].bit, scene.faults[-1].why
        assert scene.faults[-1].evidence["services"] == 2
        await scene.mend()
        assert await scene.does("ls /more /added") == f"/added:\nsecond\n\n/more:\n{first}\nsecond".replace(
            "\n\ns", "\ns"
        )
        await lose(scene, "touch /more/third && sync /more/third /more")
        assert await scene.does("ls /more /added") == f"/added:\n\n/more:\n{first}".strip()
        assert await scene.running.not_covered() == ()

    play(act, loaded(tmp_path, COMPOSE.replace("CONTENTS", contents), LISTENER=LISTENER))
    assert [path.name for path in folder.iterdir()] == ["first"]


@pytest.mark.parametrize(("appendfsync", "kept"), [("always", "second"), ("no", "first")])
def test_redis_in_the_volume_of_its_image_on_an_array(appendfsync: str, kept: str, tmp_path: Path, play: Play) -> None:
    (tmp_path / "Dockerfile").write_text(REDIS)
    stack = loaded(tmp_path, WITH_REDIS, APPENDFSYNC=appendfsync)
    get = "until redis-cli -e get note 2> /dev/null; do sleep 0.1; done"

    async def act(scene: Scene) -> None:
        assert scene.stack.arrays == {"core": ("box:/data",)}
        cut = scene.injector("disk.power_cut", target=Target("array", "core"))
        await scene.does(FIRST_AND_SECOND)
        await cut.enter_phase("now")
        await cut.heal_all()
        await scene.mend()
        assert await scene.does(get) == kept
        await lose(scene, "redis-cli -e set note third && sync -f /data")
        assert await scene.does(f"stat -c %U /data && {get}") == "redis"
        assert await scene.running.not_covered() == ()

    play(act, stack)
