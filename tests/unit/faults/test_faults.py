"""Each fault's minimum of evidence, clause by clause, what it wants, and what the registry refuses."""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaos.agent.states import Fail, Hold, LunState, ServiceState
from chaos.errors import UsageError
from chaos.experiment.plan import ScheduledFault, Target, Trigger
from chaos.faults import catalogue, known_faults, make, registry
from chaos.faults.base import Evidence
from chaos.faults.carrier.medium import CarrierEvidence
from chaos.faults.link.medium import LinkEvidence
from chaos.faults.lun.disk import ALL
from chaos.faults.lun.medium import LunEvidence, LunFault
from chaos.faults.process.medium import ProcessEvidence, ProcessFault
from chaos.faults.registry import fault

CONTRACT = Path(__file__).parents[2] / "contract"
CUT = LunEvidence(luns=2, seconds_since_write=0.5, closed=2, services=1, killed=1)
LOST = LunEvidence(luns=2, seconds_since_write=5.0, closed=2, ios={"failed_reads": 1})
KILLED = ProcessEvidence(services=2, killed=2, received_bytes=1)


def scheduled(name: str, **parameters: object) -> ScheduledFault:
    return ScheduledFault(name, Target("array", "core"), Trigger(seconds=1), parameters=parameters)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "evidence"),
    [
        ("disk.power_cut", CUT),
        ("disk.power_cut", dataclasses.replace(CUT, seconds_since_write=5.0)),
        ("disk.power_cut", dataclasses.replace(CUT, discarded_bytes=0, received_bytes=0)),
        ("disk.power_cut", dataclasses.replace(CUT, seconds_since_write=None, dirty_bytes=4096)),
        ("san.lose", dataclasses.replace(LOST, seconds_since_write=9.0, dirty_bytes=4096)),
        ("disk.io_error", LunEvidence(luns=1, ios={"failed_reads": 1})),
        ("disk.io_error", LunEvidence(luns=1, ios={"failed_writes": 1})),
        ("disk.io_error", LunEvidence(luns=1, ios={"failed_flushes": 1})),
        ("san.lose", LOST),
        ("san.lose", dataclasses.replace(LOST, ios={"failed_flushes": 1})),
        ("disk.lose", LOST),
        ("disk.hang", LunEvidence(luns=1, ios={"held_ios": 1})),
        ("disk.slow", LunEvidence(luns=1, ios={"delayed_ios": 1})),
        ("disk.lying_flush", LunEvidence(luns=1, ios={"ignored_flushes": 1})),
        ("disk.lost_write", LunEvidence(luns=1, ios={"ignored_writes": 1})),
        ("disk.misdirected_write", LunEvidence(luns=1, ios={"misdirected_writes": 1})),
        ("disk.corrupt_read", LunEvidence(luns=1, ios={"corrupted_reads": 1})),
        ("disk.stale_read", LunEvidence(luns=1, ios={"stale_reads": 1})),
        ("disk.bit_rot", LunEvidence(luns=1, ios={"rotten_blocks": 1})),
        ("disk.full", LunEvidence(luns=1, ios={"failed_writes": 1})),
        ("disk.rollback", LunEvidence(luns=1, ios={"rolled_back_bytes": 4096})),
        ("san.cache_loss", LunEvidence(luns=2, closed=2, ios={"rolled_back_bytes": 4096})),
        ("san.unavailable", LunEvidence(luns=1, ios={"held_ios": 1})),
        ("process.kill", KILLED),
        ("process.recreate", dataclasses.replace(KILLED, killed=0, recreated=2)),
    ],
)
def test_evidence_that_reaches_the_minimum_is_a_bite(name: str, evidence: Evidence) -> None:
    assert make(scheduled(name)).why_not_bitten(evidence) == ""


@pytest.mark.parametrize(
    ("name", "evidence", "missing"),
    [
        ("disk.power_cut", dataclasses.replace(CUT, seconds_since_write=None), "only what its services keep in memory"),
        ("disk.power_cut", dataclasses.replace(CUT, seconds_since_write=5.01), "only what its services keep in memory"),
        (
            "disk.power_cut",
            dataclasses.replace(CUT, seconds_since_write=6.0, discarded_bytes=4096),
            "older writes that were never flushed, and what its services keep in memory",
        ),
        ("disk.power_cut", dataclasses.replace(CUT, killed=0), "0 of 1 services were running and killed"),
        ("disk.power_cut", dataclasses.replace(CUT, closed=1), "1 of 2 LUNs were closed"),
        ("disk.power_cut", LunEvidence(), "nothing was on its way to the disk"),
        ("disk.io_error", dataclasses.replace(CUT, received_bytes=9), "no I/O was failed"),
        ("disk.lose", dataclasses.replace(LOST, seconds_since_write=5.01), "so nobody was writing to what was lost"),
        ("disk.lose", dataclasses.replace(LOST, closed=1), "1 of 2 LUNs were closed"),
        ("disk.lose", dataclasses.replace(LOST, ios={}), "no I/O failed afterwards"),
        ("disk.hang", LOST, "no I/O was held"),
        ("disk.slow", LOST, "no I/O was delayed"),
        ("disk.lying_flush", LunEvidence(luns=1, ios={"ignored_writes": 1}), "no flush was ignored"),
        ("disk.lost_write", LunEvidence(luns=1, ios={"ignored_flushes": 1}), "no write was ignored"),
        ("disk.misdirected_write", LOST, "no write was misdirected"),
        ("disk.corrupt_read", LOST, "no read was corrupted"),
        ("disk.stale_read", LOST, "no read returned old data"),
        ("disk.bit_rot", LOST, "no block had been written and flushed"),
        ("disk.full", LunEvidence(luns=1, ios={"failed_reads": 1}), "no write was failed"),
        ("disk.rollback", LunEvidence(luns=1, ios={"rolled_back_ms": 9}), "nothing had been written in that time"),
        ("san.cache_loss", LunEvidence(luns=2, closed=2), "nothing had been written in that time"),
        ("san.cache_loss", LunEvidence(luns=2, closed=1, ios={"rolled_back_bytes": 1}), "1 of 2 LUNs were closed"),
        ("san.unavailable", LOST, "no I/O was held"),
        ("san.path_flapping", LunEvidence(luns=2, ios={"gaps": 1, "held_ios": 9}), "I/Os came in 1 of its gaps"),
        ("san.controller_failover", LunEvidence(luns=2, ios={"longest_wait_ms": 9}), "no I/O waited"),
        ("san.lose", dataclasses.replace(LOST, seconds_since_write=None), "so nobody was writing to what was lost"),
        ("san.lose", dataclasses.replace(LOST, seconds_since_write=5.01), "so nobody was writing to what was lost"),
        ("san.lose", dataclasses.replace(LOST, closed=1), "1 of 2 LUNs were closed"),
        ("san.lose", dataclasses.replace(LOST, ios={}), "no I/O failed afterwards"),
        ("process.kill", dataclasses.replace(KILLED, killed=1), "1 of 2 services were running and killed"),
        ("process.recreate", KILLED, "0 of 2 services were running and made anew"),
        ("process.recreate", ProcessEvidence(services=1, recreated=1), "received nothing in the second before"),
        ("process.kill", dataclasses.replace(KILLED, received_bytes=0), "received nothing in the second before"),
    ],
)
def test_evidence_short_of_the_minimum_names_what_is_missing(name: str, evidence: Evidence, missing: str) -> None:
    assert missing in make(scheduled(name)).why_not_bitten(evidence)


@pytest.mark.parametrize("name", catalogue().known)
def test_no_fault_bites_without_evidence(name: str) -> None:
    kinds = {"lun": LunEvidence(), "process": ProcessEvidence(services=1), "link": LinkEvidence(links=2)}
    nothing = kinds.get(known_faults()[name].medium.name, CarrierEvidence())
    assert make(scheduled(name)).why_not_bitten(nothing)


def test_paths_that_fail_bite_by_failing_and_not_by_holding() -> None:
    down = make(scheduled("san.unavailable", mode="fail"))
    assert down.why_not_bitten(LunEvidence(luns=1, ios={"failed_writes": 1})) == ""
    assert down.why_not_bitten(LunEvidence(luns=1, ios={"held_ios": 1})) == "no I/O was failed"


def lun_fault(name: str, **parameters: object) -> LunFault:
    made = make(scheduled(name, **parameters))
    assert isinstance(made, LunFault)
    return made


def test_a_lun_that_hangs_or_is_off_serves_nobody_and_one_that_fails_does() -> None:
    for name, serves in (("disk.hang", False), ("disk.power_cut", False), ("disk.io_error", True)):
        assert lun_fault(name).wanted(LunState(), 0).serves is serves
    assert lun_fault("san.unavailable").wanted(LunState(), 0).effects == (Hold(ALL),)


def test_what_was_counted_is_shown_and_the_bytes_that_a_cut_dropped_even_if_none() -> None:
    assert CUT.counted()["discarded_bytes"] == 0
    assert "discarded_bytes" not in LunEvidence(luns=1, ios={"failed_reads": 2}).counted()
    assert LunEvidence(luns=1, seconds_since_write=0.0).counted() == {"luns": 1, "seconds_since_write": 0.0}


def test_states_compose_in_any_order() -> None:
    cut, error, lose = (lun_fault(name) for name in ("disk.power_cut", "disk.io_error", "san.lose"))
    one = lose.wanted(error.wanted(cut.wanted(LunState(), 0), 1), 2)
    other = cut.wanted(lose.wanted(error.wanted(LunState(), 1), 2), 0)
    assert one == other == LunState(power=False, lost=True, effects=(Fail(ALL, cause=1),))


def test_sectors_are_512_bytes_each_and_the_end_is_excluded() -> None:
    error = lun_fault("disk.io_error", operations=["read"], times=2, sectors={"first": 8, "count": 8})
    assert error.wanted(LunState(), 0).effects == (Fail(frozenset({"read"}), 2, 4096, 8192),)


def test_each_effect_is_of_the_fault_that_added_it() -> None:
    hang, error = lun_fault("disk.hang"), lun_fault("disk.io_error")
    assert [effect.cause for effect in error.wanted(hang.wanted(LunState(), 3), 5).effects] == [3, 5]


def test_a_kill_wants_its_service_down() -> None:
    kill = make(scheduled("process.kill"))
    assert isinstance(kill, ProcessFault)
    assert kill.wanted(ServiceState()) == ServiceState(running=False)


def test_an_unknown_fault_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(UsageError, match=r"unknown fault 'disk\.powr_cut'; .* disk\.hang, disk\.io_error"):
        make(scheduled("disk.powr_cut"))


def test_a_parameter_that_a_fault_does_not_take_is_refused() -> None:
    with pytest.raises(UsageError, match=r"disk\.power_cut does not take these parameters: .*'sectors'"):
        make(scheduled("disk.power_cut", sectors={"first": 0, "count": 1}))


@pytest.fixture
def own_registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setattr(registry, "_FAULTS", dict(registry._FAULTS))
        yield


def test_a_fault_registers_itself_by_name_and_is_frozen(own_registry: None) -> None:
    @fault("disk.melt")
    class Melt(LunFault):
        """Gets hot."""

        targets = ("lun",)
        degrees: int = 900

    made = make(scheduled("disk.melt", degrees=1000))
    assert isinstance(made, Melt)
    assert made.degrees == 1000
    assert "disk.melt" in catalogue().known
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.degrees = 1


def test_a_name_is_registered_once(own_registry: None) -> None:
    with pytest.raises(ValueError, match=r"two faults of the name disk\.power_cut"):
        fault("disk.power_cut")(type("Again", (LunFault,), {}))


@pytest.mark.parametrize("name", catalogue().known)
def test_the_catalogue_tells_the_very_fields_of_a_fault(name: str) -> None:
    info = catalogue().known[name]
    fields = {field.name: field.default for field in dataclasses.fields(registry._FAULTS[name])}  # type: ignore[arg-type]
    assert set(info.parameters) == set(fields)
    assert info.targets
    for parameter, default in fields.items():
        told = info.parameters[parameter].default
        assert (frozenset(told) if isinstance(told, list) else told) == default


@pytest.mark.parametrize("name", catalogue().known)
def test_every_fault_has_a_docstring_that_says_when_it_bites(name: str) -> None:
    assert "Bites when" in (registry._FAULTS[name].__doc__ or "")


@pytest.mark.parametrize("name", catalogue().known)
def test_every_fault_has_a_contract_test_on_the_real_engine(name: str) -> None:
    """A test named `test_<family>_<fault>_...` that injects it by name."""
    wanted = f"test_{name.replace('.', '_')}_"
    tests = [
        node
        for path in CONTRACT.glob("test_*.py")
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith(wanted)
    ]
    assert any(f"'{name}'" in ast.unparse(test) for test in tests), f"write {wanted}... in {CONTRACT.name}/"
