"""Real servers whose data is on no LUN that anybody named: a power cut takes what they had not flushed, and no more.

SQLite flushes the folder after it has unlinked its journal, which is its commit, with `synchronous=EXTRA` alone; with
FULL this test loses the second row as well.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos.stack.spec import Build, Mount, Port
from tests.contract.stage import Play, Scene, service, stack_of

pytestmark = [pytest.mark.engine, pytest.mark.usefixtures("own_cache")]
GATEWAY = Path(__file__).resolve().parents[2] / "fixtures" / "minimal" / "gateway"
INSERT = """
import sqlite3, sys
link = sqlite3.connect("/notes/notes.db", isolation_level=None)
link.execute(f"PRAGMA synchronous={sys.argv[1]}")
link.execute("CREATE TABLE IF NOT EXISTS notes (text)")
link.execute("INSERT INTO notes VALUES (?)", sys.argv[2:])
"""
COUNT = """
import sqlite3
print(*(text for text, in sqlite3.connect("/notes/notes.db").execute("SELECT text FROM notes ORDER BY rowid")))
"""
REDIS = """
FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends redis-server && rm -rf /var/lib/apt/lists/* \\
 && install -d -o redis -m 0750 /data
VOLUME /data
USER redis
"""
# -e: without it an error in a reply, such as LOADING right after a start, is a success
FIRST_AND_SECOND = (
    "until redis-cli -e set note first; do sleep 0.1; done && sync /data/*/* && redis-cli -e set note second"
)


async def cut_power(scene: Scene, before: str) -> None:
    """Do something, and cut the power at once; then bring the machine back."""
    injector = scene.injector("disk.power_cut", service="box")
    await scene.does(before)
    await injector.enter_phase("now")
    await injector.heal_all()
    await scene.mend()


@pytest.mark.parametrize(("synchronous", "kept"), [("EXTRA", "first second"), ("OFF", "first")])
def test_sqlite_on_a_bound_folder_keeps_what_it_has_flushed(
    synchronous: str, kept: str, tmp_path: Path, play: Play
) -> None:
    (tmp_path / "notes").mkdir()
    mounts = (Mount("bind", str(tmp_path / "notes"), "/notes"),)
    box = service(image="", build=Build(GATEWAY), mounts=mounts, init=True)

    async def act(scene: Scene) -> None:
        first = f"python3 -c '{INSERT}' EXTRA first && sync /notes/notes.db /notes"
        await cut_power(scene, f"{first} && python3 -c '{INSERT}' {synchronous} second")
        assert await scene.does(f"python3 -c '{COUNT}'") == kept
        assert await scene.running.not_covered() == ()

    play(act, stack_of(box))
    assert list((tmp_path / "notes").iterdir()) == []


@pytest.mark.parametrize(("appendfsync", "kept"), [("always", "second"), ("no", "first")])
def test_redis_in_the_volume_of_its_image_keeps_what_it_has_flushed(
    appendfsync: str, kept: str, tmp_path: Path, play: Play
) -> None:
    (tmp_path / "Dockerfile").write_text(REDIS)
    server = ("redis-server", "--dir", "/data", "--appendonly", "yes", "--appendfsync", appendfsync, "--save", "")
    box = service(image="", build=Build(tmp_path), command=server, mounts=(), ports=(Port(6379),))

    async def act(scene: Scene) -> None:
        await cut_power(scene, FIRST_AND_SECOND)
        assert await scene.does("until redis-cli -e get note 2> /dev/null; do sleep 0.1; done") == kept
        assert await scene.running.not_covered() == ()

    play(act, stack_of(box, front_port=6379))
