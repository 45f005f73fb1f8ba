from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

# In its image the gateway is the package `gateway`.
sys.path.insert(0, str(Path(__file__).parents[3] / "fixtures" / "minimal"))

from gateway.blobs import BlobStore
from gateway.settings import from_environment


def _steps(monkeypatch: pytest.MonkeyPatch, folder: Path) -> list[str]:
    """What is done to the disk, in order."""
    steps: list[str] = []
    fsync, rename = os.fsync, Path.rename

    def synced(descriptor: int) -> None:
        kind = "folder" if Path(f"/proc/self/fd/{descriptor}").readlink() == folder else "file"
        steps.append(f"fsync {kind}")
        fsync(descriptor)

    def renamed(self: Path, target: Path) -> Path:
        steps.append("rename")
        return rename(self, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "rename", renamed)
    return steps


def test_a_photo_is_on_disk_then_named_then_its_name_is_on_disk(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    steps = _steps(monkeypatch, tmp_path)
    asyncio.run(BlobStore(str(tmp_path), sync=True).save("name", b"content"))
    assert steps == ["fsync file", "rename", "fsync folder"]
    assert [path.name for path in tmp_path.iterdir()] == ["name"]


def test_the_unsafe_variant_syncs_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    steps = _steps(monkeypatch, tmp_path)
    asyncio.run(BlobStore(str(tmp_path), sync=False).save("name", b"content"))
    assert steps == ["rename"]


def test_a_disk_that_refuses_leaves_nothing_under_the_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(_descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match="Input/output"):
        asyncio.run(BlobStore(str(tmp_path), sync=True).save("name", b"content"))
    assert list(tmp_path.iterdir()) == []


def test_a_missing_photo_is_none_and_an_unreadable_one_an_error(tmp_path: Path) -> None:
    blobs = BlobStore(str(tmp_path), sync=True)
    assert asyncio.run(blobs.load("nothing")) is None
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError):
        asyncio.run(blobs.load("folder"))


def test_every_default_is_safe_and_a_misspelt_variant_is_refused() -> None:
    safe = from_environment({})
    assert (safe.blob_sync, safe.cursor_by_sequence, safe.keys, safe.acknowledge_early) == (True, False, "on", False)
    assert (safe.photo_last, safe.unlogged, safe.collects) == (False, False, "nothing")
    unsafe = from_environment(
        {
            "GATEWAY_BLOB_SYNC": "off",
            "GATEWAY_CURSOR": "sequence",
            "GATEWAY_KEYS": "off",
            "GATEWAY_ACK": "early",
            "GATEWAY_PHOTO": "last",
            "GATEWAY_TABLES": "unlogged",
            "GATEWAY_COLLECTS": "orphans",
        }
    )
    assert (unsafe.blob_sync, unsafe.cursor_by_sequence, unsafe.keys, unsafe.acknowledge_early) == (
        False,
        True,
        "off",
        True,
    )
    assert (unsafe.photo_last, unsafe.unlogged, unsafe.collects) == (True, True, "orphans")
    with pytest.raises(SystemExit, match="GATEWAY_ACK=erly"):
        from_environment({"GATEWAY_ACK": "erly"})
