"""The link matrix without a kernel: what is written for whom, what is counted, and what comes back with a container."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from dataclasses import replace

import pytest

from chaos.agent.network import links, namespaces, netlink
from chaos.agent.network.links import Links
from chaos.agent.network.netlink import Rule
from chaos.agent.states import LinkState
from chaos.agent.wire_states import LinkRead

CLOSED = {("one", "two"): LinkState(open=False)}


class FakeTable:
    """Keeps the rules of one receiver, and counts as it is told."""

    def __init__(self, namespace: int) -> None:
        self.namespace = namespace
        self.rules: list[Rule] = []
        self.writes = 0
        self.forgets_drops = False

    def write(self, rules: Iterable[Rule]) -> None:
        self.writes += 1
        self.rules = [replace(rule, drops=rule.drops and not self.forgets_drops) for rule in rules]

    def read(self) -> list[Rule]:
        return list(self.rules)

    def arrives(self, source: bytes, packets: int) -> None:
        self.rules = [replace(r, packets=r.packets + packets) if r.source == source else r for r in self.rules]

    def close(self) -> None: ...


class Wire:
    """Containers by pid: their tables and hardware addresses."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.tables: dict[int, FakeTable] = {}
        self.addresses: dict[int, tuple[bytes, ...]] = {pid: (address(pid),) for pid in (1, 2, 3, 22)}
        self.now_ns = 10**12
        self._pids: dict[int, int] = {}
        monkeypatch.setattr(namespaces, "of_process", self._namespace)
        monkeypatch.setattr(links, "Table", self._table)
        monkeypatch.setattr(links, "_addresses", lambda namespace: self.addresses[self._pids[namespace]])
        monkeypatch.setattr(links, "time", self)
        self.links = Links()
        for pid, name in ((1, "one"), (2, "two"), (3, "three")):
            self.links.add(name, pid)

    def monotonic_ns(self) -> int:
        return self.now_ns

    def _namespace(self, pid: int) -> int:
        handle = os.open(os.devnull, os.O_RDONLY)
        self._pids[handle] = pid
        return handle

    def _table(self, namespace: int) -> FakeTable:
        table = self.tables[self._pids[namespace]] = FakeTable(namespace)
        return table

    def dropped_at(self, pid: int) -> set[bytes]:
        return {rule.source for rule in self.tables[pid].rules if rule.drops}


def address(pid: int) -> bytes:
    return bytes((2, 0, 0, 0, 0, pid))


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Wire:
    return Wire(monkeypatch)


def test_a_link_is_closed_where_it_ends_and_nowhere_else(wire: Wire) -> None:
    wrote = {pid: table.writes for pid, table in wire.tables.items()}
    assert wire.links.apply(CLOSED) == {("one", "two"): LinkRead(was_open=True, state=LinkState(open=False))}
    assert [wire.dropped_at(pid) for pid in (1, 2, 3)] == [set(), {address(1)}, set()]
    assert {pid: table.writes - wrote[pid] for pid, table in wire.tables.items()} == {1: 0, 2: 1, 3: 0}
    assert wire.links.apply({("one", "two"): LinkState(open=True)})[("one", "two")].state.open is True
    assert wire.dropped_at(2) == set()


def test_a_link_that_was_closed_already_was_not_open(wire: Wire) -> None:
    wire.links.apply(CLOSED)
    found = wire.links.apply({("one", "two"): LinkState(open=False), ("three", "two"): LinkState(open=False)})
    assert [link.was_open for link in found.values()] == [False, True]
    assert wire.links.apply({("one", "two"): LinkState(open=True)})[("one", "two")].was_open is False


def test_a_link_of_another_fault_stays_as_it_is(wire: Wire) -> None:
    wire.links.apply({("one", "two"): LinkState(open=False), ("three", "two"): LinkState(open=False)})
    wire.links.apply({("one", "two"): LinkState(open=True)})
    assert wire.dropped_at(2) == {address(3)}


def test_every_hardware_address_of_a_sender_is_dropped_one_that_it_took_since_too(wire: Wire) -> None:
    wire.addresses[1] = (address(1), address(11))
    assert wire.links.apply(CLOSED)[("one", "two")].state.open is False
    assert wire.dropped_at(2) == {address(1), address(11)}


def test_a_link_that_the_kernel_did_not_close_is_told_as_open(wire: Wire) -> None:
    wire.tables[2].forgets_drops = True
    assert wire.links.apply(CLOSED)[("one", "two")].state.open is True


def test_what_a_link_carried_in_the_5_s_before_is_counted_and_what_came_earlier_is_not(wire: Wire) -> None:
    wire.tables[2].arrives(address(1), 100)
    for _ in range(24):  # 6 s
        wire.now_ns += 250_000_000
        wire.links.sample()
    assert wire.links.apply({("one", "two"): LinkState(open=True)})[("one", "two")].carried == 0
    wire.tables[2].arrives(address(1), 3)
    assert wire.links.apply(CLOSED)[("one", "two")].carried == 3


def test_dropped_packets_are_those_since_the_link_was_closed_over_all_changes_of_the_rules(wire: Wire) -> None:
    wire.tables[2].arrives(address(1), 100)
    wire.links.apply(CLOSED)
    wire.tables[2].arrives(address(1), 5)
    wire.links.apply({("three", "two"): LinkState(open=False)})  # writes the same receiver's rules anew
    wire.tables[2].arrives(address(1), 2)
    assert wire.links.dropped([("one", "two"), ("three", "two"), ("two", "one")]) == {
        ("one", "two"): 7,
        ("three", "two"): 0,
        ("two", "one"): 0,
    }


def test_a_receiver_that_comes_back_finds_its_links_closed_and_its_count_kept(wire: Wire) -> None:
    wire.links.apply(CLOSED)
    wire.tables[2].arrives(address(1), 5)
    wire.links.forget("two")
    assert wire.links.dropped([("one", "two")]) == {("one", "two"): 5}
    wire.links.add("two", 22)
    assert wire.dropped_at(22) == {address(1)}
    wire.tables[22].arrives(address(1), 2)
    assert wire.links.dropped([("one", "two")]) == {("one", "two"): 7}


def test_a_sender_that_comes_back_under_another_hardware_address_is_still_dropped(wire: Wire) -> None:
    wire.links.apply({("two", "one"): LinkState(open=False)})
    wire.links.forget("two")
    assert wire.dropped_at(1) == {address(2)}, "also while it is away"
    wire.links.add("two", 22)
    assert wire.dropped_at(1) == {address(22)}


def test_a_sender_that_is_just_ending_and_has_no_address_any_more_is_dropped_when_it_is_back(wire: Wire) -> None:
    wire.addresses[2] = ()
    wire.links.apply({("two", "one"): LinkState(open=False)})
    assert wire.dropped_at(1) == {address(2)}, "before anybody tells of its return"


def test_what_a_sender_lost_on_other_links_counts_on_when_its_address_changes(wire: Wire) -> None:
    wire.links.apply({("two", "three"): LinkState(open=False)})
    wire.tables[3].arrives(address(2), 5)
    wire.addresses[2] = (address(22),)
    wire.links.apply({("two", "one"): LinkState(open=False)})
    assert wire.dropped_at(3) == {address(22)}
    wire.tables[3].arrives(address(22), 2)
    assert wire.links.dropped([("two", "three")]) == {("two", "three"): 7}


def test_a_link_can_be_closed_before_its_end_has_started(wire: Wire) -> None:
    wire.links.forget("two")
    assert wire.links.apply(CLOSED)[("one", "two")].state.open is False
    wire.links.add("two", 22)
    assert wire.dropped_at(22) == {address(1)}


@pytest.mark.parametrize("drops", [False, True])
def test_a_rule_reads_back_as_it_was_written(drops: bool) -> None:
    message = netlink._added(address(7), drops)
    assert netlink._rule(with_count(message[netlink._HEADER.size :], 42)) == Rule(address(7), drops, 42)


def test_the_rule_for_everybody_else_reads_back_as_it_was_written() -> None:
    message = netlink._added(netlink.OUTSIDE, False)
    assert netlink._rule(with_count(message[netlink._HEADER.size :], 42)) == Rule(netlink.OUTSIDE, False, 42)


def test_what_nobody_waits_for_is_dropped_on_a_closed_link_and_counted_nowhere() -> None:
    rest, found = netlink._unheard((address(7),), asks_for_sockets=True), list[bytes]()
    while rest:
        size = netlink._HEADER.unpack_from(rest)[0]
        found, rest = [*found, rest[:size]], rest[size:]
    heard, dropped, passed = found
    assert b"socket" in heard
    assert address(7) in dropped
    assert address(7) not in passed
    assert [netlink._rule(message[netlink._HEADER.size :]) for message in found] == [None] * 3


def test_a_kernel_that_cannot_tell_who_waits_counts_what_was_sent_to_one_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table = object.__new__(netlink.Table)
    table._asks_for_sockets = True
    committed: list[tuple[bytes, ...]] = []

    def commit(*messages: bytes) -> None:
        if any(b"socket" in message for message in messages):
            raise OSError(errno.ENOENT, "nf_tables: No such file or directory")
        committed.append(messages)

    monkeypatch.setattr(table, "_commit", commit)
    for _ in range(2):
        table.write([Rule(address(7), True)])
    assert len(committed) == 2
    assert sum(address(7) in message for message in committed[0]) == 2, "both chains drop"


def test_what_comes_from_outside_the_run_is_told_from_what_services_send(wire: Wire) -> None:
    before, mark = wire.links.heard([("two", "")])
    wire.tables[2].arrives(address(1), 5)
    wire.tables[2].arrives(netlink.OUTSIDE, 3)
    assert wire.links.heard([("two", "")]) == (before + 3, mark)
    assert wire.links.heard([("two", "one"), ("two", "")]) == (before + 8, mark)
    wire.links.apply(CLOSED)
    assert wire.links.heard([("two", "")])[1] != mark


def with_count(body: bytes, packets: int) -> bytes:
    """The body as the kernel dumps it: with a handle, and with what the counter counted."""
    counter = netlink._expression("counter")
    counted = netlink._attribute(1, bytes(8)) + netlink._attribute(2, packets.to_bytes(8, "big"))
    expressions = dict(netlink._listed(body[4:]))[4].replace(counter, netlink._expression("counter", counted))
    return body[:4] + netlink._text(1, "t") + netlink._attribute(3, bytes(8)) + netlink._nest(4, expressions)
