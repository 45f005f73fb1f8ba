"""The links of containers: a baseline that confines each to its run's subnet, and the matrix of links.

A link is directed, from one service to another. It is closed where it ends: the receiver drops what comes from the
sender, as a network would, and the sender is told nothing (a drop on its own side would fail a send with EPERM). A
sender is known by its hardware addresses, so that the link is closed for every address that it has or takes.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import struct
import subprocess
import threading
import time
from collections import defaultdict, deque
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from chaos.agent.network import namespaces
from chaos.agent.network.netlink import OUTSIDE, Rule, Table
from chaos.agent.states import LinkState
from chaos.agent.wire_states import Link, LinkRead

BASELINE = "holdfast"
_MULTICAST, _BROADCAST = "224.0.0.0/4", "255.255.255.255/32"
"""What is sent there goes to the run's bridge and no further: it is how services find each other."""
_SECONDS_MAX = 10
_SIOCGIFHWADDR = 0x8927
_ETHERNET = 1
_IN_USE_SECONDS = 5.0
_TICKS_A_ROUND = 8
"""Every receiver's counters are read once in so many calls of `sample`: 2 s, so that two lie within the 5 s."""


@dataclass
class _End:
    """One running container. `passed`: packets from each sender so far, at some instants of CLOCK_MONOTONIC in ns."""

    namespace: int
    table: Table
    passed: deque[tuple[int, dict[str, int]]] = field(default_factory=deque)


@dataclass(frozen=True)
class Count:
    """Packets of one link, since the agent started."""

    passed: int = 0
    dropped: int = 0


class Links:
    """The matrix. Locked: containers are added by a worker, faults are applied by the thread that serves."""

    def __init__(self) -> None:
        """No container is known yet, and no link is closed."""
        self._lock = threading.Lock()
        self._adding = threading.Lock()
        """Held while a container is added, which takes longer than a fault may wait."""
        self._ends: dict[str, _End] = {}
        self._addresses: dict[str, tuple[bytes, ...]] = {}
        """Hardware addresses by service, also of those that have ended: they are expected back with the same."""
        self._closed: set[Link] = set()
        self._before: dict[Link, Count] = {}
        """What was counted by rules that were replaced since."""
        self._turn = 0
        self._written = 0
        self._closing: dict[tuple[int, int], threading.Thread] = {}
        """Who lets go of a table, by its namespace: the next container may have the same one."""

    def add(self, service: str, pid: int) -> None:
        """A container has started: the wanted states of its links are in force when this returns.

        It may be told twice, by a restart policy and by operators who both found that it did not run: the table in a
        namespace belongs to one socket, and the kernel refuses a second.

        Raises:
            OSError: It has ended again, or the kernel refuses.
        """
        namespace = namespaces.of_process(pid)
        with self._adding:
            with self._lock:
                known = self._ends.get(service)
                is_linked = known is not None and os.path.sameopenfile(known.namespace, namespace)
                closing = self._closing.get(_identity(namespace))
            if is_linked:
                os.close(namespace)
                return
            if closing is not None:
                closing.join()
            try:
                table = Table(namespace)
            except OSError:
                os.close(namespace)
                raise
            with self._lock:
                self._forget(service)
                self._ends[service] = _End(namespace, table)
                self._know({service: namespace}, self._ends)
                self._sample(service)

    def forget(self, service: str) -> None:
        """A container has ended, or is about to."""
        with self._lock:
            self._forget(service)

    def apply(self, wanted: Mapping[Link, LinkState]) -> dict[Link, LinkRead]:
        """Open and close links, in one transaction for each receiver, and read them back."""
        with self._lock:
            receivers = {receiver for _, receiver in wanted}
            senders = {sender for sender, _ in wanted}
            closed = self._closed
            self._closed = closed.difference(wanted) | {link for link, state in wanted.items() if not state.open}
            here = {name: self._ends[name].namespace for name in senders & self._ends.keys()}
            before = self._know(here, receivers)
            dropping = {name: self._dropping(name) for name in receivers}
            return {
                (sender, receiver): LinkRead(
                    was_open=(sender, receiver) not in closed,
                    state=LinkState(open=sender not in dropping[receiver]),
                    carried=self._carried(sender, receiver, before[receiver]),
                    dropped=before[receiver][sender].dropped,
                )
                for sender, receiver in wanted
            }

    def dropped(self, links: Collection[Link]) -> dict[Link, int]:
        """Packets that each link has dropped so far."""
        with self._lock:
            counts = {receiver: self._counts(receiver) for receiver in {receiver for _, receiver in links}}
            return {(sender, receiver): counts[receiver][sender].dropped for sender, receiver in links}

    def heard(self, ends: Collection[tuple[str, str]]) -> tuple[int, int]:
        """Packets that services had so far from outside the run (sender ""), or from one sender.

        Args:
            ends: (service, sender).

        Returns:
            Their number, and how often rules were written: where that differs, the counters began anew in between.
        """
        with self._lock:
            found = 0
            for service, sender in ends:
                sources = self._addresses.get(sender, ()) if sender else (OUTSIDE,)
                rules = self._ends[service].table.read() if service in self._ends else []
                found += sum(rule.packets for rule in rules if rule.source in sources and not rule.drops)
            return found, self._written

    def sample(self) -> None:
        """Note what some receivers have received so far; called a few times a second."""
        with self._lock:
            names = sorted(self._ends)
            self._turn = (self._turn + 1) % _TICKS_A_ROUND
            for name in names[self._turn :: _TICKS_A_ROUND]:
                self._sample(name)

    def _sample(self, name: str) -> None:
        passed, now = self._ends[name].passed, time.monotonic_ns()
        passed.append((now, {sender: count.passed for sender, count in self._counts(name).items()}))
        while now - passed[0][0] > _IN_USE_SECONDS * 1e9:
            passed.popleft()

    def _forget(self, name: str) -> None:
        end = self._ends.pop(name, None)
        if end is not None:
            self._before |= {(sender, name): count for sender, count in self._counted(name, end).items()}
            closing = threading.Thread(target=end.table.close, daemon=True)  # nobody else should wait for that
            closing.start()
            under_way = {key: each for key, each in self._closing.items() if each.is_alive()}
            self._closing = under_way | {_identity(end.namespace): closing}
            os.close(end.namespace)

    def _know(self, senders: Mapping[str, int], receivers: Iterable[str]) -> dict[str, defaultdict[str, Count]]:
        """Look up the addresses of some senders, by their namespace: they may be others than before.

        Those of a container that is just ending, which has none any more, stand until it is back. Then the rules of
        some receivers are brought into the wanted state; of all, where an address is another one, since what a rule
        counts belongs to whoever has its address.

        Returns:
            What each receiver had from each sender until then, by the addresses that they had.
        """
        known = self._addresses
        found = {name: _addresses(namespace) or known.get(name, ()) for name, namespace in senders.items()}
        changed = any(known.get(name) != addresses for name, addresses in found.items())
        before = {name: self._counts(name) for name in {*receivers, *(self._ends if changed else ())}}
        self._addresses = {**known, **found}
        for name, counts in before.items():
            self._write(name, counts)
        return before

    def _write(self, name: str, counts: Mapping[str, Count]) -> None:
        """Bring one receiver's rules into the wanted state; `counts` is what it had from each sender until then."""
        if name in self._ends:
            self._before |= {(sender, name): count for sender, count in counts.items()}
            self._written += 1
            rules = [
                Rule(address, (sender, name) in self._closed)
                for sender, addresses in self._addresses.items()
                if sender != name
                for address in addresses
            ]
            self._ends[name].table.write([*rules, Rule(OUTSIDE, False)])

    def _counts(self, name: str) -> defaultdict[str, Count]:
        """What one receiver has had from each sender."""
        found = defaultdict(Count, {sender: count for (sender, to), count in self._before.items() if to == name})
        if name in self._ends:
            found.update(self._counted(name, self._ends[name]))
        return found

    def _counted(self, name: str, end: _End) -> dict[str, Count]:
        """As `_counts`, of the senders for which rules stand."""
        found: dict[str, Count] = {}
        owner = {address: sender for sender, addresses in self._addresses.items() for address in addresses}
        for rule in end.table.read():
            sender = owner.get(rule.source)
            if sender is not None:
                so_far = found.get(sender) or self._before.get((sender, name), Count())
                passed, dropped = (0, rule.packets) if rule.drops else (rule.packets, 0)
                found[sender] = Count(so_far.passed + passed, so_far.dropped + dropped)
        return found

    def _carried(self, sender: str, receiver: str, now: Mapping[str, Count]) -> int:
        """Packets that a link carried in the last seconds."""
        end, since = self._ends.get(receiver), time.monotonic_ns() - int(_IN_USE_SECONDS * 1e9)
        earlier = [passed for at, passed in end.passed if at >= since] if end is not None else []
        return now[sender].passed - earlier[0].get(sender, 0) if earlier else 0

    def _dropping(self, name: str) -> set[str]:
        """Senders from which nothing gets through to this receiver, read back where it runs."""
        wanted = {sender for sender, receiver in self._closed if receiver == name}
        if name not in self._ends:
            return wanted
        dropped = {rule.source for rule in self._ends[name].table.read() if rule.drops}
        known = {sender: addresses for sender, addresses in self._addresses.items() if addresses}
        standing = {sender for sender, addresses in known.items() if dropped.issuperset(addresses)}
        return standing | (wanted - known.keys())


def _identity(namespace: int) -> tuple[int, int]:
    found = os.fstat(namespace)
    return found.st_dev, found.st_ino


def _addresses(namespace: int) -> tuple[bytes, ...]:
    """The hardware addresses of all interfaces of a container."""
    found = []
    with namespaces.inside(namespace), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        for _, name in socket.if_nameindex():
            answer = fcntl.ioctl(any_socket, _SIOCGIFHWADDR, struct.pack("16sH22x", name.encode()[:15], 0))
            kind, address = struct.unpack_from("=H6s", answer, 16)
            if kind == _ETHERNET:
                found.append(address)
    return tuple(found)


def apply_baseline(pid: int, subnet: str) -> None:
    """Let the container speak with its own run's subnet, with all in it at once, and with itself; with nobody else.

    Raises:
        OSError: It has ended again, or nft refuses; its message is in the error.
    """
    table = {"family": "inet", "name": BASELINE}
    rules = [
        [_match({"meta": {"key": "oifname"}}, "lo"), {"accept": None}],
        *(
            [_match({"payload": {"protocol": "ip", "field": "daddr"}}, _prefix(each)), {"accept": None}]
            for each in (subnet, _MULTICAST, _BROADCAST)
        ),
        [{"counter": None}, {"drop": None}],
    ]
    chain = {
        **table,
        "table": BASELINE,
        "name": "out",
        "type": "filter",
        "hook": "output",
        "prio": 0,
        "policy": "accept",
    }
    commands: list[object] = [
        {"add": {"table": table}},
        {"delete": {"table": table}},
        {"add": {"table": table}},
    ]
    commands.append({"add": {"chain": chain}})
    commands += [
        {"add": {"rule": {"family": "inet", "table": BASELINE, "chain": "out", "expr": expression}}}
        for expression in rules
    ]
    done = subprocess.run(
        ["nsenter", f"--net=/proc/{pid}/ns/net", "nft", "-j", "-f", "-"],
        input=json.dumps({"nftables": commands}).encode(),
        capture_output=True,
        timeout=_SECONDS_MAX,
        check=False,
    )
    if done.returncode:
        raise OSError(f"nft in the namespace of pid {pid}: {done.stderr.decode(errors='replace').strip()}")


def _match(left: object, right: object) -> object:
    return {"match": {"op": "==", "left": left, "right": right}}


def _prefix(subnet: str) -> object:
    address, length = subnet.split("/")
    return {"prefix": {"addr": address, "len": int(length)}}
