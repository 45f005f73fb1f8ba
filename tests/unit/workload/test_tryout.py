"""`holdfast driver-test`, on a service in this process: a good driver is ok, and each bad one is told by its check."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from chaos.experiment.drivers import DriverChoice
from chaos.experiment.plan import RecordType
from chaos.new.files import find_stack
from chaos.new.guess import Guess, guess
from chaos.new.own_driver import own_driver
from chaos.workload.drivers import load_driver
from chaos.workload.drivers.http import HttpSession
from chaos.workload.reads.doors import Readers
from chaos.workload.tryout.checks import Tryout
from chaos.workload.tryout.findings import Finding, Promises, put_off
from tests.unit.workload.bad_drivers import BREAKS
from tests.unit.workload.fakes import Service, served

HERE = Path(__file__).parent
PROMISES = Promises("reject", keyed=True, photos=True, doors=(), request_seconds_max=2.0)


def guessed(folder: Path) -> Guess:
    found = find_stack(folder, {})
    return guess(found.stack, found.variables, ())


def tried(
    name: str, promises: Promises = PROMISES, hush: Callable[[bytes], bytes] = bytes, folder: Path = HERE
) -> dict[str, Finding]:
    """Every finding about a driver, by its check."""

    async def scenery() -> dict[str, Finding]:
        async with served(Service()) as service, Readers.open(DriverChoice(name), folder) as readers:
            reader = await readers.new()
            try:
                tryout = Tryout(load_driver(name, folder), service, reader, promises, hush)
                return {finding.check: finding async for finding in tryout.run()}
            finally:
                await reader.close()

    return asyncio.run(asyncio.wait_for(scenery(), 60))


def test_the_driver_of_the_reference_gateway_keeps_every_promise() -> None:
    assert {finding.outcome for finding in tried("http").values()} == {"ok"}


def test_a_driver_without_delta_sync_keeps_every_promise_by_full_reads() -> None:
    assert {finding.outcome for finding in tried("honest_drivers:Plain").values()} == {"ok"}


def test_a_service_that_stores_records_of_its_own_types_alone_is_tried_with_these() -> None:
    promises = replace(PROMISES, photos=False, types=(RecordType("invoice", 300, 900),))
    outcomes = {finding.outcome for finding in tried("honest_drivers:InvoicesAlone", promises).values()}
    assert outcomes == {"ok", "not tried"}


@pytest.mark.parametrize("bad", BREAKS, ids=lambda bad: bad.__name__)
def test_a_driver_that_breaks_a_promise_is_told_by_its_check_with_a_remedy(bad: type[HttpSession]) -> None:
    check, words = BREAKS[bad]
    findings = tried(f"bad_drivers:{bad.__name__}")
    found = findings[check]
    assert (found.outcome, words in found.why, bool(found.remedy)) == ("wrong", True, True), found
    before = list(findings)[: list(findings).index(check)]
    assert {findings[name].outcome for name in before} <= {"ok"}


def test_what_rests_on_a_broken_promise_is_not_tried_and_says_on_which() -> None:
    found = tried("bad_drivers:NoAck")
    assert found["delete deletes"].outcome == "not tried"
    assert "put creates" in found["delete deletes"].why


def test_of_a_driver_that_nobody_filled_in_one_check_is_wrong_and_all_others_wait_for_it(
    tmp_path: Path,
) -> None:
    (tmp_path / "compose.yaml").write_text('services: {web: {image: shop, ports: ["8000:8000"]}}')
    (tmp_path / "untouched_phone.py").write_text(own_driver(guessed(tmp_path), "steady.yaml"))
    found = list(tried("untouched_phone:Phone", folder=tmp_path).values())
    assert [each for each in found if not each.needs] == [found[0]]
    assert (found[0].check, found[0].outcome, found[0].remedy) == ("put creates", "wrong", "fill it in")
    assert found[0].why.startswith("NotImplementedError: TODO: put, untouched_phone.py:")
    assert put_off(found) == f"{len(found) - 1} further checks: first mend 'put creates'"


def test_only_what_has_to_be_mended_first_is_named_for_all_that_waits() -> None:
    found = [
        Finding("a", "ok"),
        Finding("b", "wrong"),
        Finding("c", "wrong"),
        Finding("d", "not tried", needs=("b",)),
        Finding("e", "not tried", needs=("b", "d")),
        Finding("f", "not tried", "the stack does not promise it"),
    ]
    assert put_off(found) == "2 further checks: first mend 'b'"
    assert put_off(found[:3]) == ""


def test_what_the_stack_does_not_promise_is_not_tried() -> None:
    promises = Promises("keep-both", keyed=False, photos=False, doors=(), request_seconds_max=2.0)
    found = tried("http", promises)
    assert {name for name, finding in found.items() if "says" in finding.why or "no photos" in finding.why} == {
        "a photo comes back whole",
        "the same put again changes nothing",
        "a put on an old base is refused",
    }


def test_every_check_has_a_driver_that_fails_it() -> None:
    assert {check for check, _ in BREAKS.values()} == set(tried("http"))


def test_what_a_service_says_is_told_without_secrets() -> None:
    def hush(text: bytes) -> bytes:
        return text.replace(b"s3cr3t", b"***")

    found = tried("odd_drivers:Tells", hush=hush)
    assert found["put creates"].why == "ConnectionError: postgres://sync:***@db refused"
