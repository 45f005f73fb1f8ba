"""What `x-chaos` names as disks: volumes, and whatever a service mounts at a path."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from chaos.errors import SourceError
from chaos.experiment.plan import Checks, Limits, Plan, ScheduledFault, Target, Trigger, Workload
from chaos.preflight.preview import touched
from chaos.preflight.targets import check_targets
from chaos.stack.compose import load_stack
from chaos.stack.local import on_local_disks
from chaos.stack.spec import NOCOPY, Mount, Stack

MIB = 1 << 20
TEXT = """\
services:
  db: {image: x, volumes: [VOLUMES], tmpfs: /quick}
  other: {image: x, volumes: ["./data:/in:ro"]}
  gateway: {image: gw, ports: ["8080"]}
volumes: {pgdata: {}}
x-chaos:
  front_door: gateway:8080
  arrays: {core: {luns: {LUNS}}}
"""


def text_of(volumes: str, luns: str, more: str = "") -> str:
    return f"{TEXT.replace('VOLUMES', volumes).replace('LUNS', luns)}{more and f'  {more}'}\n"


def loaded(folder: Path, volumes: str, luns: str, more: str = "", *, text: str = "") -> Stack:
    (folder / "compose.yaml").write_text(text or text_of(volumes, luns, more))
    return load_stack([folder / "compose.yaml"], {}, [], {})


def refusal(folder: Path, volumes: str, luns: str, more: str = "") -> str:
    with pytest.raises(SourceError) as caught:
        loaded(folder, volumes, luns, more)
    return str(caught.value)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/file").write_text("text")
    return tmp_path / "data"


@pytest.mark.parametrize(
    ("volumes", "name", "lun", "options"),
    [
        ("pgdata:/data", "pgdata", "pgdata", ""),
        ("pgdata:/data", "db:/data", "pgdata", ""),
        ("pgdata:/data/", "db:/data", "pgdata", ""),
        ("/data", "db:/data", "db:/data", ""),
        ("./data:/data", "db:/data", "db:/data", NOCOPY),
        ("./data:/data:ro", "db:/data/", "db:/data", NOCOPY),
        ("./nowhere:/data", "db:/data", "db:/data", NOCOPY),
        ("pgdata:/pg", "db:/data", "db:/data", ""),
        ("pgdata:/data/inner", "db:/data", "db:/data", ""),
    ],
)
def test_whatever_is_mounted_at_a_path_lies_on_the_array(
    volumes: str, name: str, lun: str, options: str, tmp_path: Path, data: Path
) -> None:
    made = loaded(tmp_path, f'"{volumes}"', f'"{name}": {{size: 64M}}')
    [mount] = [each for each in made.services["db"].mounts if each.target.rstrip("/") == "/data"]
    assert (mount.kind, mount.source, mount.options) == ("lun", lun, options)
    assert (made.luns[lun].array, made.luns[lun].size_bytes) == ("core", 64 * MIB)
    assert made.luns[lun].contents == (str(data) if volumes.startswith("./data") else "")
    assert made.lun_named("db:/data") == lun


def test_of_a_path_at_which_nothing_is_mounted_it_is_told_that_the_lun_is(tmp_path: Path) -> None:
    made = loaded(tmp_path, "", '"db:/data": {size: 64M}')
    told = "db:/data is no mount of the Compose file: the LUN is mounted there, as a volume of the image would be"
    assert told in made.notes
    assert on_local_disks(made, {"db": ["/data", "/more"]}).services["db"].mounts[1:] == (
        Mount("lun", "db:/data", "/data"),
        Mount("lun", "db:/more", "/more"),
    )


@pytest.mark.parametrize(("volumes", "called"), [("pgdata:/data", "pgdata"), ("./data:/data", "db:/data")])
def test_without_contents_a_lun_is_blank(volumes: str, called: str, tmp_path: Path, data: Path) -> None:
    made = loaded(tmp_path, f'"{volumes}"', '"db:/data": {size: 64M, contents: none}')
    assert made.luns[called].contents == ""
    assert made.services["db"].mounts[0].options == NOCOPY
    assert any(f"blank lun {called} at /data" in line for line in touched(made))
    assert str(data) not in [lun.contents for lun in made.luns.values()]


def test_the_folder_of_a_blank_lun_need_not_be_there(tmp_path: Path) -> None:
    bind = "{type: bind, source: ./none, target: /data, bind: {create_host_path: false}}"
    assert loaded(tmp_path, bind, '"db:/data": {size: 64M, contents: none}').luns["db:/data"].contents == ""
    assert "no such file or folder" in refusal(tmp_path, bind, '"db:/data": {size: 64M}')


def test_services_that_bind_one_folder_share_its_lun_by_whatever_name(tmp_path: Path, data: Path) -> None:
    made = loaded(
        tmp_path, '"./data:/data"', '"other:/in": {size: 64M}', 'copies: {records: ["db:/data", "other:/in"]}'
    )
    assert made.services["db"].mounts[0] == Mount("lun", "other:/in", "/data", options=NOCOPY)
    assert made.services["other"].mounts[0] == Mount("lun", "other:/in", "/in", read_only=True, options=NOCOPY)
    assert made.copies == {"records": ("other:/in",)}
    assert made.lun_named("db:/data") == "other:/in"


def test_a_local_disk_of_any_mount_can_be_given_a_size(tmp_path: Path, data: Path) -> None:
    text = text_of('"./data:/data", "/cache"', '"db:/data": {size: 2G}, "db:/cache": {size: 16M}')
    made = loaded(tmp_path, "", "", text=text.replace("core:", "local:"))
    assert {name: lun.size_bytes // MIB for name, lun in made.luns.items()} == {"db:/data": 2048, "db:/cache": 16}
    assert all(lun.is_local for lun in made.luns.values())


def test_a_lun_has_the_file_system_and_the_mount_options_that_it_is_given(tmp_path: Path) -> None:
    lun = "pgdata: {size: 300M, filesystem: xfs, mount_options: [noatime, logbsize=256k]}"
    stack = loaded(tmp_path, "pgdata:/data", lun)
    pgdata = stack.luns["pgdata"]
    assert (pgdata.filesystem, pgdata.mount_options) == ("xfs", ("noatime", "logbsize=256k"))
    assert pgdata.mounted_with == ("nouuid", "noatime", "logbsize=256k"), "every copy of a golden one has its UUID"
    assert "array core: pgdata 300 MiB xfs (noatime, logbsize=256k)" in touched(stack)
    plain = loaded(tmp_path, "pgdata:/data", "pgdata: {size: 16M, mount_options: [noatime]}").luns["pgdata"]
    assert (plain.filesystem, plain.mounted_with) == ("ext4", ("noatime",))


def test_copies_and_the_runbook_name_mounts_as_well(tmp_path: Path, data: Path) -> None:
    more = 'copies: {records: ["db:/data", "db:/pg"]}\n  recovery: [{rebuild: [db]}]'
    made = loaded(tmp_path, '"./data:/data", "pgdata:/pg"', '"db:/more": {size: 64M}', more)
    assert made.copies == {"records": ("db:/data", "pgdata")}
    assert made.runbook[0].services == ("db",)


def test_a_target_names_a_lun_by_its_mount(tmp_path: Path) -> None:
    made = loaded(tmp_path, '"pgdata:/data"', "pgdata: {size: 64M}")

    def check(name: str) -> None:
        strike = ScheduledFault("disk.power_cut", Target("lun", name), Trigger(acknowledged=1))
        check_targets(Plan("e", "", (tmp_path,), 1, Workload(), (strike,), Checks(), Limits()), made)

    check("db:/data")
    with pytest.raises(SourceError, match=r"the stack has no lun 'db:/dat'"):
        check("db:/dat")


def test_each_replica_has_its_own_lun_of_what_is_not_shared(tmp_path: Path, data: Path) -> None:
    text = text_of('"./data:/data", "/own"', '"db:/data": {size: 64M}, "db:/own": {size: 32M}')
    text += '  copies: {records: ["db:/own"], blobs: [pgdata]}\n'
    made = loaded(tmp_path, "", "", text=text.replace("db: {image: x,", "db: {image: x, scale: 2,"))
    assert list(made.luns) == ["db-1:/data", "db-1:/own", "db-2:/own"]
    assert [made.services[name].mounts[1].source for name in ("db-1", "db-2")] == ["db-1:/own", "db-2:/own"]
    assert made.copies == {"records": ("db-1:/own", "db-2:/own"), "blobs": ("pgdata",)}
    assert (made.lun_named("db:/data"), made.lun_named("db:/own")) == ("db-1:/data", "")


def test_what_only_a_service_mounts_that_is_switched_off_is_left_out(tmp_path: Path, data: Path) -> None:
    more = 'copies: {records: ["db:/data", "db:/own", "db:/added"]}'
    text = text_of('"./data:/data", "/own"', ", ".join(f'"db:/{it}": {{size: 64M}}' for it in ("data", "own", "added")))
    text = text.replace("db: {image: x,", "db: {image: x, profiles: [more],") + f"  {more}\n"
    made = loaded(tmp_path, "", "", text=text)
    assert list(made.luns) == ["db:/data"]
    assert made.services["other"].mounts == (Mount("lun", "db:/data", "/in", read_only=True, options=NOCOPY),)
    assert made.copies == {"records": ("db:/data",)}


@pytest.mark.parametrize(
    ("volumes", "luns", "message"),
    [
        ("", "pgdat: {size: 64M}", "8:26: no volume 'pgdat' for this LUN"),
        ("", '"bd:/data": {size: 64M}', "unknown service 'bd'"),
        ("", '"gatewy:/data": {size: 64M}', "did you mean gateway?"),
        ("", '"/data": {size: 64M}', "unknown service '/data'"),
        ("", '"db:data": {size: 64M}', "db:data names no path in db"),
        ("", '"db:data": {size: 64M}', "write service:/path, such as db:/var/lib/postgresql/data"),
        ("", '"db:/": {size: 64M}', "db:/ names no path in db"),
        ("", '"db:/a/..": {size: 64M}', "db:/a/.. names no path in db"),
        (
            '"pgdata:/data"',
            '"db:/data/wal": {size: 64M}',
            "db:/data/wal is no mount, and lies in db:/data, which is one",
        ),
        ('"pgdata:/data"', '"db:/data/wal": {size: 64M}', "name db:/data, or mount a volume at /data/wal"),
        (
            '"pgdata:/data"',
            'pgdata: {size: 64M}, "db:/data": {size: 64M}',
            "db:/data is what pgdata is, which is already",
        ),
        ('"./data:/data"', '"db:/data": {size: 64M}, "other:/in": {size: 64M}', "other:/in is what db:/data is, which"),
        ("", '"db:/quick": {size: 64M}', "db:/quick is memory, which no disk holds"),
        ('"./data/file:/f"', '"db:/f": {size: 64M}', "db:/f is a file, and no folder"),
        (
            '"/dev/null:/n"',
            '"db:/n": {size: 64M}',
            "db:/n is bound as it is on this host, and cannot be copied on a LUN",
        ),
        ("", "pgdata: {size: 64M, contents: nothing}", "contents should be 'copied' or 'none'"),
    ],
)
def test_a_name_that_can_be_no_lun_is_refused_with_its_remedy(
    volumes: str, luns: str, message: str, tmp_path: Path, data: Path
) -> None:
    assert message in refusal(tmp_path, volumes, luns)


@pytest.mark.parametrize(
    ("volumes", "name", "message"),
    [
        ("", "pgdat", "unknown volume 'pgdat'"),
        ("", "bd:/data", "unknown service 'bd'"),
        ("", "db:/data", "nothing is mounted at db:/data"),
        ("", "db:/quick", "db:/quick is memory"),
        ("", "other:/in", "other:/in is bound for reading alone, so it is on no disk"),
        ('"pgdata:/data"', "db:/data/wal", "db:/data/wal is no mount, and lies in db:/data"),
    ],
)
def test_a_copy_that_is_no_disk_is_refused(volumes: str, name: str, message: str, tmp_path: Path, data: Path) -> None:
    said = refusal(tmp_path, volumes, "pgdata: {size: 64M}", f'copies: {{records: ["{name}"]}}')
    assert message in said
    assert "compose.yaml:9:22" in said


def test_a_folder_that_does_not_fit_on_its_lun_is_refused_with_a_size(tmp_path: Path, data: Path) -> None:
    with (data / "large").open("wb") as file:
        file.truncate(100 * MIB)
    assert loaded(tmp_path, '"./data:/data"', '"db:/data": {size: 128M}').luns
    assert loaded(tmp_path, '"./data:/data"', '"db:/data": {size: 64M, contents: none}').luns
    said = refusal(tmp_path, '"./data:/data"', '"db:/data": {size: 64M}')
    assert "data has 100 MiB, which the LUN has no room for" in said
    assert "such as 201M; or contents: none for a blank LUN" in said


def test_volumes_from_a_service_have_what_x_chaos_mounts_there(tmp_path: Path) -> None:
    text = text_of("", '"db:/data": {size: 64M}').replace('volumes: ["./data:/in:ro"]', 'volumes_from: ["db:ro"]')
    made = loaded(tmp_path, "", "", text=text)
    assert made.services["other"].mounts[1:] == (Mount("lun", "db:/data", "/data", read_only=True),)


def test_volumes_from_services_are_their_images_too_and_go_before_those_of_the_own_image(tmp_path: Path) -> None:
    text = text_of("", "pgdata: {size: 64M}").replace('volumes: ["./data:/in:ro"]', "volumes_from: [db, gateway:ro]")
    image_volumes = {"db": ["/html"], "gateway": ["/logs"], "other": ["/html", "/own", "/quick"]}
    made = on_local_disks(loaded(tmp_path, "", "", text=text), image_volumes)
    assert made.services["other"].mounts[1:] == (
        Mount("lun", "db:/html", "/html"),
        Mount("lun", "gateway:/logs", "/logs", read_only=True),
        Mount("lun", "other:/own", "/own"),
    )


def test_names_of_luns_are_whole_whatever_way_a_path_is_written(tmp_path: Path) -> None:
    made = loaded(tmp_path, '"/data/"', '"db://data/./": {size: 64M}')
    assert list(made.luns) == ["db:/data", "other:/in"]
    assert dataclasses.replace(made, luns={}).lun_named("db:/data") == ""
