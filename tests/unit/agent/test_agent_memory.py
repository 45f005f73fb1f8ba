"""Dirty pages of a container, from files that stand for its cgroup's statistics."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from chaos.agent.process.memory import Dirt

V1 = "cache 9\ndirty 4096\nwriteback 0\nhierarchical_memory_limit 99\ntotal_dirty {dirty}\ntotal_writeback 4096\n"
V2 = "anon 5\nfile_mapped 7\nfile_dirty {dirty}\nfile_writeback 4096\nanon_thp 0\n"

Put = Callable[[str, str, str], Path]


@pytest.mark.parametrize(
    ("lines", "file", "stat"),
    [
        ("9:memory:/docker/a\n0::/docker/a\n", "memory/docker/a/memory.stat", V1),
        ("0::/system.slice/a.scope\n", "system.slice/a.scope/memory.stat", V2),
        ("1:cpu:/docker/a\n0::/docker/a\n", "unified/docker/a/memory.stat", V2),
    ],
)
def test_what_is_dirty_and_what_is_being_written_back_are_told_in_either_version(
    cgroup: Put, tmp_path: Path, lines: str, file: str, stat: str
) -> None:
    path = cgroup(lines, file, stat.format(dirty=8192))
    dirt = Dirt(7, str(tmp_path))
    assert dirt.since_settled() == 8192 + 4096
    dirt.settle()
    assert dirt.since_settled() == 0, "what was dirty before the load is none of the load's"
    path.write_text(stat.format(dirty=12288))
    assert dirt.since_settled() == 4096
    path.write_text(stat.format(dirty=0))
    assert dirt.since_settled() == 0
    path.unlink()
    assert dirt.since_settled() == 0, "the container has ended"


@pytest.mark.parametrize("lines", ["6:memory:/\n0::/\n", "1:cpu:/docker/a\n0::/docker/b\n"])
def test_without_the_memory_controller_there_is_none(cgroup: Put, tmp_path: Path, lines: str) -> None:
    cgroup(lines, "memory/memory.stat", V1.format(dirty=8192))
    (tmp_path / "memory.stat").write_text(V2.format(dirty=8192))
    assert Dirt(7, str(tmp_path)).since_settled() == 0


def test_a_process_that_is_gone_has_none(tmp_path: Path) -> None:
    assert Dirt(2**22 + 1, str(tmp_path)).since_settled() == 0
