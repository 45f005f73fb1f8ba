from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from chaos.errors import SourceError
from chaos.experiment.plan import Checks, Limits, Plan, ScheduledFault, Target, Trigger, Workload
from chaos.preflight.preview import preview
from chaos.preflight.targets import check_targets
from chaos.preflight.warnings import disk_warnings, not_covered, topology_warnings
from chaos.stack.compose import load_stack
from chaos.stack.spec import RoleCheck, Stack

TEXT = """\
services:
  db: {image: postgres, volumes: ["pgdata:/data", "logs:/logs"]}
  gateway: {image: gw, ports: ["8080"], volumes: ["photos:/photos", "/cache", "./:/conf:ro", "./:/own"]}
volumes: {pgdata: {}, photos: {}, logs: {}, backup: {}}
x-chaos:
  arrays:
    core: {luns: {pgdata: {size: 64M}}}
    media: {luns: {photos: {size: 64M}, backup: {size: 64M}}}
  front_door: gateway:8080
  roles: {database: [db]}
  copies: {records: [pgdata], blobs: [photos]}
  may_lose: ["gateway:/cache"]
"""
ONE_ARRAY = TEXT.replace("core: {luns: {", "core: {luns: {photos: {size: 64M}, backup: {size: 64M}, ").replace(
    "    media: {luns: {photos: {size: 64M}, backup: {size: 64M}}}\n", ""
)


def stack_of(folder: Path, text: str = TEXT) -> Stack:
    (folder / "compose.yaml").write_text(text)
    return load_stack([folder / "compose.yaml"], {}, [], {})


def plan_with(*targets: Target) -> Plan:
    faults = {
        "lun": "disk.io_error",
        "between": "network.partition",
        "isolate": "network.partition",
        "carrier": "carrier.down",
    }
    at = Trigger(acknowledged=200)
    schedule = tuple(ScheduledFault(faults.get(target.key, "san.lose"), target, at) for target in targets)
    return Plan("e", "", (Path("compose.yaml"),), 1, Workload(), schedule, Checks(), Limits())


def test_targets_that_the_stack_has_pass(tmp_path: Path) -> None:
    targets = (Target("array", "core"), Target("lun", "photos"), Target("service", "db"), Target("role", "database"))
    check_targets(plan_with(*targets), stack_of(tmp_path))


def test_the_carrier_is_a_target_where_the_stack_has_one(tmp_path: Path) -> None:
    file = tmp_path / "e.yaml"
    file.write_text("schedule:\n  - {target: {carrier: true}}\n")
    plan = plan_with(Target("carrier", True))
    with pytest.raises(SourceError, match=r"e.yaml:2:24: the stack has no carrier\n.*\n.*say `carrier: toxiproxy`"):
        check_targets(plan, stack_of(tmp_path), file)
    with_carrier = stack_of(tmp_path, TEXT + "  carrier: toxiproxy\n")
    check_targets(plan, with_carrier, file)
    shown = "\n".join(preview([plan], with_carrier))
    assert "carrier: a Toxiproxy between the phones and gateway:8080" in shown
    assert "(strikes every phone's path to the front door)" in shown


@pytest.mark.parametrize(
    ("said", "has"), [("", False), ("  carrier: none\n", False), ("  carrier: {}\n", True), ("  carrier:\n", True)]
)
def test_a_carrier_is_switched_on_in_the_compose_file(said: str, has: bool, tmp_path: Path) -> None:
    assert stack_of(tmp_path, TEXT + said).carrier is has


def test_another_carrier_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"the carrier is toxiproxy, \{\} for the same, or none"):
        stack_of(tmp_path, TEXT + "  carrier: envoy\n")


def test_every_target_that_the_stack_has_not_is_refused_at_once_with_its_place(tmp_path: Path) -> None:
    file = tmp_path / "e.yaml"
    file.write_text("schedule:\n  - {target: {array: cor}}\n  - {target: {role: databse}}\n")
    with pytest.raises(SourceError) as caught:
        check_targets(plan_with(Target("array", "cor"), Target("role", "databse")), stack_of(tmp_path), file)
    assert str(caught.value).replace(str(file), "e.yaml") == (
        "e.yaml:2:22: the stack has no array 'cor'\n"
        "    2 |   - {target: {array: cor}}\n"
        "      |                      ^ did you mean core?\n"
        "e.yaml:3:21: the stack has no role 'databse'\n"
        "    3 |   - {target: {role: databse}}\n"
        "      |                     ^ did you mean database?"
    )


def test_members_of_sets_are_looked_for_among_services_and_roles(tmp_path: Path) -> None:
    stack = stack_of(tmp_path)
    check_targets(plan_with(Target("between", (("db",), ("gateway", "any database")))), stack)
    check_targets(plan_with(Target("isolate", ("database",))), stack)
    file = tmp_path / "e.yaml"
    file.write_text("schedule:\n  - {target: {between: [[db], [gatway]]}}\n  - {target: {isolate: [databse]}}\n")
    with pytest.raises(SourceError) as caught:
        check_targets(
            plan_with(Target("between", (("db",), ("gatway",))), Target("isolate", ("databse",))), stack, file
        )
    assert "e.yaml:2:32: the stack has no service or role 'gatway'" in str(caught.value)
    assert "e.yaml:3:25: the stack has no service or role 'databse'" in str(caught.value)


def test_each_of_several_arrays_must_be_there(tmp_path: Path) -> None:
    stack = stack_of(tmp_path)
    check_targets(plan_with(Target("arrays", ("core", "media"))), stack)
    file = tmp_path / "e.yaml"
    file.write_text("schedule:\n  - {target: {arrays: [core, cor]}}\n")
    with pytest.raises(SourceError) as caught:
        check_targets(plan_with(Target("arrays", ("core", "cor"))), stack, file)
    assert "e.yaml:2:30: the stack has no array 'cor'" in str(caught.value)


def test_a_disk_fault_on_a_service_without_a_lun_is_refused(tmp_path: Path) -> None:
    stack = stack_of(tmp_path, TEXT.replace("  gateway: {", "  idle: {image: x}\n  gateway: {"))
    hang = replace(plan_with(), schedule=(ScheduledFault("disk.hang", Target("service", "idle"), Trigger(seconds=1)),))
    with pytest.raises(SourceError, match=r"idle mounts no LUN, and disk\.hang strikes LUNs"):
        check_targets(hang, stack)
    kill = replace(
        plan_with(), schedule=(ScheduledFault("process.kill", Target("service", "idle"), Trigger(seconds=1)),)
    )
    check_targets(kill, stack)


def test_a_role_that_moves_is_shown_with_all_who_may_have_it(tmp_path: Path) -> None:
    moving = TEXT.replace("{database: [db]}", "{leader: {of: [db, gateway], http: 8008/primary}}")
    stack = stack_of(tmp_path, moving)
    pause = replace(
        plan_with(), schedule=(ScheduledFault("process.pause", Target("role", "leader"), Trigger(seconds=1)),)
    )
    assert "(strikes services db, gateway; of these whoever is leader then)" in "\n".join(preview([pause], stack))


def test_copies_that_nobody_rebuilds_are_worth_a_warning(tmp_path: Path) -> None:
    twice = TEXT.replace("records: [pgdata]", "records: [pgdata, photos]")
    [first, second] = [line for line in topology_warnings(stack_of(tmp_path, twice)) if "rebuild" in line]
    assert first == (
        "no rebuild step of the runbook names db: pgdata comes back empty, whatever copies of records are left"
    )
    assert "gateway: photos" in second
    rebuilt = twice + "  recovery: [{rebuild: [db, gateway]}, {initialise: true}]\n"
    assert not [line for line in topology_warnings(stack_of(tmp_path, rebuilt)) if "rebuild" in line]


def test_copies_that_are_restored_are_worth_no_warning(tmp_path: Path) -> None:
    restored = TEXT.replace("records: [pgdata]", "records: [pgdata, photos]")
    restored += "  recovery: [{restore: {service: db, run: [restore]}}, {initialise: true}]\n"
    assert not [line for line in topology_warnings(stack_of(tmp_path, restored)) if "empty" in line]


def test_a_plan_without_a_file_still_says_which_target_is_missing(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"e: disk.io_error: the stack has no lun 'pg'"):
        check_targets(plan_with(Target("lun", "pg")), stack_of(tmp_path))


def test_all_on_one_array_is_a_common_cause_and_worth_a_warning(tmp_path: Path) -> None:
    assert topology_warnings(stack_of(tmp_path)) == ["LUN backup of array media is mounted by no service"]
    assert topology_warnings(stack_of(tmp_path, ONE_ARRAY))[0] == (
        "all LUNs of database, copies and backup (photos, pgdata) are on array core: one failure takes them together"
    )


def test_every_copy_of_a_store_on_one_array_is_worth_a_warning(tmp_path: Path) -> None:
    stack = stack_of(tmp_path, ONE_ARRAY.replace("records: [pgdata]", "records: [pgdata, backup]"))
    assert topology_warnings(stack)[0] == (
        "every copy of records (pgdata, backup) is on array core: losing that loses them all"
    )


@pytest.mark.parametrize(
    ("arrays", "copies", "place"),
    [
        ("core: {luns: {pgdata: {size: 512M}, photos: {size: 64M}}}", "[pgdata, photos]", "array core"),
        ("a: {luns: {pgdata: {size: 512M}}}\n    b: {luns: {photos: {size: 64M}}}", "[pgdata, photos]", ""),
        ("core: {luns: {pgdata: {size: 512M}}}", "[pgdata, photos]", ""),  # photos: a local disk of another machine
        ("core: {luns: {photos: {size: 64M}}}", '[pgdata, "db:/second"]', "the local disks of db"),
        ("core: {luns: {pgdata: {size: 512M}, photos: {size: 64M}}}", "[pgdata]", ""),  # one copy is a choice
    ],
)
def test_copies_are_in_one_place_where_one_array_or_one_machine_has_them_all(
    arrays: str, copies: str, place: str, tmp_path: Path
) -> None:
    text = f"""
services:
  db: {{image: "postgres:15", volumes: ["pgdata:/data", "/second"]}}
  gateway: {{image: g, volumes: ["photos:/photos"], ports: ["8080"]}}
volumes: {{pgdata: {{}}, photos: {{}}}}
x-chaos:
  arrays:
    {arrays}
  front_door: gateway:8080
  copies: {{records: {copies}}}
"""
    assert stack_of(tmp_path, text).copies_in_one_place() == ({"records": place} if place else {})


def test_a_fault_of_a_san_on_local_disks_alone_is_refused(tmp_path: Path) -> None:
    stack = stack_of(tmp_path, TEXT.replace("  gateway: {", "  idle: {image: x, volumes: ['/more']}\n  gateway: {"))
    for fault in ("san.lose", "san.unavailable"):
        plan = replace(plan_with(), schedule=(ScheduledFault(fault, Target("service", "idle"), Trigger(seconds=1)),))
        with pytest.raises(SourceError, match=rf"idle has local disks alone, and {fault} strikes the arrays of a SAN"):
            check_targets(plan, stack)
        for target in (Target("array", "local"), Target("arrays", ("core", "local"))):
            plan = replace(plan_with(), schedule=(ScheduledFault(fault, target, Trigger(seconds=1)),))
            with pytest.raises(SourceError, match=f"local has local disks alone, and {fault} strikes"):
                check_targets(plan, stack)
    cut = replace(
        plan_with(), schedule=(ScheduledFault("disk.power_cut", Target("service", "idle"), Trigger(seconds=1)),)
    )
    check_targets(cut, stack)


def test_local_disks_are_lost_with_their_machine_and_not_with_each_other(tmp_path: Path) -> None:
    plain = (
        TEXT.replace("  arrays:\n    core: {luns: {pgdata: {size: 64M}}}\n", "  arrays:\n")
        .replace("records: [pgdata]", "records: [pgdata, photos]")
        .replace(
            "    media: {luns: {photos: {size: 64M}, backup: {size: 64M}}}\n",
            "    local: {luns: {logs: {size: 64M}}}\n",
        )
    )
    stack = stack_of(tmp_path, plain)
    assert set(stack.arrays) == {"local"}
    assert (stack.luns["logs"].size_bytes, stack.luns["pgdata"].size_bytes) == (64 << 20, 1 << 30)
    assert not [line for line in topology_warnings(stack) if "every copy" in line or "all LUNs" in line]
    twice = plain.replace("records: [pgdata, photos]", "records: [pgdata, logs]")
    assert topology_warnings(stack_of(tmp_path, twice))[0] == (
        "every copy of records (pgdata, logs) is on the local disks of db: losing that loses them all"
    )


def test_what_local_disks_make_of_mounts_is_worth_a_warning(tmp_path: Path) -> None:
    (tmp_path / "out" / "inner").mkdir(parents=True)
    shared = TEXT.replace('"logs:/logs"', '"logs:/logs", "./out:/out", "/dev/shm:/dev/shm"').replace(
        '"./:/conf:ro", "./:/own"', '"./out:/in:ro", "./out/inner:/inner"'
    )
    inner = tmp_path / "out" / "inner"
    assert disk_warnings(stack_of(tmp_path, shared)) == [
        "db and gateway share db:/out, so they are one machine: a power cut takes them together",
        f"{tmp_path / 'out'} and {inner} are bound, and copied, each for itself: what is written to one is not seen in "
        "the other",
        "db:/dev/shm is bound read-only: /dev/shm is no file and no folder to copy",
    ]


def test_what_is_written_outside_luns_is_not_covered_unless_it_may_be_lost(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    both = TEXT.replace('"/cache"', '"/cache", "./file:/etc/one", "./file:/etc/two/conf"')
    assert not_covered(stack_of(tmp_path, both)) == ["gateway:/etc/one", "gateway:/etc/two/conf"]
    harmless = both.replace('"gateway:/cache"', '"gateway:/etc/two/", "gateway:/etc/on", "db:/etc"')
    assert not_covered(stack_of(tmp_path, harmless)) == ["gateway:/etc/one"], "paths are compared by their parts"


def test_the_preview_names_what_is_touched_what_was_drawn_and_what_to_be_wary_of(tmp_path: Path) -> None:
    plan = replace(plan_with(Target("array", "core")), workload=Workload(updates=0.1), variables={"A": "b"})
    text = "\n".join(preview([plan], stack_of(tmp_path)))
    for part in (
        "e · seed 1 · expects HELD",
        "service db: postgres, lun pgdata at /data, lun logs at /logs",
        "port 127.0.0.1:* to 8080",
        "array core: pgdata 64 MiB ext4",
        "fault 1: san.lose core at ack 200 (strikes LUNs pgdata; services db)",
        "variables: A b",
        f"lun gateway:/own with a copy of {tmp_path} at /own",
        "local disks: logs 1024 MiB ext4, gateway:/cache 1024 MiB ext4, gateway:/own 1024 MiB ext4",
        "warning: the mix is too thin for HELD: updates 0.1 is below 0.25",
    ):
        assert part in text


PGDATA = Target("lun", "pgdata")


def striking_at(at: Trigger, target: Target = PGDATA) -> Plan:
    return replace(plan_with(target), schedule=(ScheduledFault("disk.power_cut", target, at),))


@pytest.mark.parametrize("lun", ["pgdata", "db:/data"])
def test_a_trigger_counts_ios_of_a_lun_by_any_of_its_names(tmp_path: Path, lun: str) -> None:
    check_targets(striking_at(Trigger(flush=3, lun=lun, when="after")), stack_of(tmp_path))


def test_a_trigger_at_ios_of_a_lun_that_is_not_there_is_refused_at_its_place(tmp_path: Path) -> None:
    file = tmp_path / "e.yaml"
    file.write_text("schedule:\n  - {target: {lun: pgdata}, at: {flush: 3, lun: pgdat}}\n")
    with pytest.raises(SourceError, match=r"e\.yaml:2:49: the stack has no lun 'pgdat'") as refused:
        check_targets(striking_at(Trigger(flush=3, lun="pgdat", when="after")), stack_of(tmp_path), file)
    assert "did you mean pgdata" in str(refused.value)


def test_a_role_that_moves_cannot_be_struck_at_an_io_and_one_that_does_not_can(tmp_path: Path) -> None:
    plan = striking_at(Trigger(write=3, lun="pgdata", when="before"), Target("role", "database"))
    stack = stack_of(tmp_path)
    check_targets(plan, stack)
    with pytest.raises(SourceError, match="cannot strike the role database at a write: services are asked who has it"):
        check_targets(plan, replace(stack, role_checks={"database": RoleCheck(8008, "/leader")}))
    check_targets(striking_at(plan.schedule[0].at), replace(stack, role_checks={"pgdata": RoleCheck(8008, "/leader")}))
