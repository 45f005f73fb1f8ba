"""The part of nf_tables that the link matrix needs, spoken by netlink: one table with a chain of rules by source.

To start `nft` as a program takes many times as long, which would be part of the time in which a partition takes hold.
The messages are those of <linux/netfilter/nf_tables.h>. The table is owned by the socket that made it
(NFT_TABLE_F_OWNER, Linux 5.12): when the agent dies, in whatever way, the kernel takes it away.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from chaos.agent.network import namespaces

TABLE = "holdfast-links"
_CHAIN, _TO_ALL = "in", "to-all"
_NETFILTER = 12
_BATCH_BEGIN, _BATCH_END = 16, 17
_NFTABLES = 10
_NEW_TABLE, _NEW_CHAIN, _NEW_RULE, _GET_RULE, _DELETE_RULE = (_NFTABLES << 8 | number for number in (0, 3, 6, 7, 8))
_REQUEST, _ACK, _DUMP, _CREATE, _APPEND = 1, 4, 0x300, 0x400, 0x800
_ERROR, _DONE = 2, 3
_INET = 1
_OWNER = 2
_LOCAL_IN, _BEFORE_FILTERS = 1, -10
_REGISTER, _VERDICT_REGISTER = 1, 0
_LINK_LAYER, _SOURCE_OFFSET, _ADDRESS_BYTES = 0, 6, 6
_NETWORK_LAYER, _LENGTH_OFFSET, _LENGTH_BYTES = 1, 2, 2
_EQUAL, _UNEQUAL, _GREATER = 0, 1, 4
_DROP, _ACCEPT, _JUMP, _RETURN = 0, 1, -3, -5
_PACKET_TYPE, _TO_ONE = 19, b"\0"
"""NFT_META_PKTTYPE, and PACKET_HOST, of what was sent to this container alone: not by broadcast or multicast."""
_IS_TRANSPARENT = 0
"""Of the socket that a packet is for; asked only since the rule ends where there is no such socket."""
_LOOPBACK = bytes(_ADDRESS_BYTES)
"""What the kernel has packets of a loopback interface come from."""
_BARE_BYTES_MAX = 72
"""IPv4 and TCP headers with their usual options, and nothing else: a handshake, an acknowledgement, an end."""
OUTSIDE = b""
"""In the place of a source: everybody who has no rule. Only packets that carry something are counted for it."""
_NESTED = 0x8000
_HEADER = struct.Struct("=IHHII")
_READ_BYTES = 1 << 16


@dataclass(frozen=True)
class Rule:
    """What happens to packets from one hardware address; they were counted since the rule was written.

    A rule says the last word of this table about its packets, so none is counted by two. What was sent to all, by
    broadcast or multicast, comes to it only if a socket in the container waits for it: the rest reaches every container
    of a bridge and says nothing of a link. It is dropped where the link is closed, too, and not counted.
    """

    source: bytes
    drops: bool
    packets: int = 0


class Table:
    """Our table in one network namespace. Not locked: one thread at a time."""

    def __init__(self, namespace: int) -> None:
        """Make it, without rules.

        Raises:
            OSError: The kernel refuses.
        """
        self._asks_for_sockets = True
        with namespaces.inside(namespace):
            self._link = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETFILTER)
        self._link.setblocking(False)
        name = _text(1, TABLE)
        hook = _nest(4, _number(1, _LOCAL_IN), _number(2, _BEFORE_FILTERS))
        chain = _message(_NEW_CHAIN, _CREATE | _ACK, name + _text(3, _CHAIN) + hook + _text(7, "filter"))
        chain += _message(_NEW_CHAIN, _CREATE | _ACK, name + _text(3, _TO_ALL))
        try:
            try:
                self._commit(_message(_NEW_TABLE, _CREATE | _ACK, name + _number(2, _OWNER)), chain)
            except OSError as error:
                if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
                    raise
                self._commit(_message(_NEW_TABLE, _CREATE | _ACK, name), chain)
        except OSError:
            self._link.close()
            raise

    def close(self) -> None:
        """Let go of the namespace; the table goes with the socket. Not quick: the kernel waits for all CPUs."""
        self._link.close()

    def write(self, rules: Iterable[Rule]) -> None:
        """Put these rules, counting from 0, in the place of those that stand, in one transaction.

        A kernel that cannot tell for which socket a packet is (CONFIG_NFT_SOCKET) counts no broadcast and multicast.
        """
        rules = list(rules)
        try:
            self._write(rules)
        except OSError as error:
            if error.errno != errno.ENOENT or not self._asks_for_sockets:
                raise
            self._asks_for_sockets = False
            self._write(rules)

    def _write(self, rules: Sequence[Rule]) -> None:
        by_source, to_all = _emptied()
        closed = tuple(rule.source for rule in rules if rule.drops)
        unheard = _unheard(closed, asks_for_sockets=self._asks_for_sockets)
        self._commit(by_source, *(_added(rule.source, rule.drops) for rule in rules), to_all, unheard)

    def read(self) -> list[Rule]:
        """The rules that stand, with what they counted."""
        self._link.send(_message(_GET_RULE, _DUMP, _text(1, TABLE) + _text(2, _CHAIN)))
        found: list[Rule] = []
        while True:
            for kind, body in self._answers():
                if kind == _DONE:
                    return found
                if kind == _ERROR:
                    raise _refusal(body)
                if kind == _NEW_RULE and (rule := _rule(body)) is not None:
                    found.append(rule)

    def _commit(self, *messages: bytes) -> None:
        self._link.send(
            _message(_BATCH_BEGIN, 0, b"", _NFTABLES) + b"".join(messages) + _message(_BATCH_END, 0, b"", 10)
        )
        # the kernel has done it, and answered every message, before it returns
        refused = None
        while True:
            try:
                answers = list(self._answers())
            except BlockingIOError:
                break
            for kind, body in answers:
                if kind == _ERROR and struct.unpack_from("=i", body)[0] and refused is None:
                    refused = _refusal(body)
        if refused is not None:
            raise refused

    def _answers(self) -> Iterator[tuple[int, bytes]]:
        data = self._link.recv(_READ_BYTES)
        while data:
            size, kind, *_ = _HEADER.unpack_from(data)
            yield kind, data[_HEADER.size : size]
            data = data[(size + 3) & ~3 :]


def _refusal(body: bytes) -> OSError:
    number = -int(struct.unpack_from("=i", body)[0])
    return OSError(number, f"nf_tables: {os.strerror(number)}")


def _message(kind: int, flags: int, attributes: bytes, resource: int = 0) -> bytes:
    family = _INET if kind not in (_BATCH_BEGIN, _BATCH_END) else 0
    body = struct.pack("=BB", family, 0) + struct.pack(">H", resource) + attributes
    return _HEADER.pack(_HEADER.size + len(body), kind, _REQUEST | flags, 0, 0) + body


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def _text(kind: int, value: str) -> bytes:
    return _attribute(kind, value.encode() + b"\0")


def _number(kind: int, value: int) -> bytes:
    return _attribute(kind, struct.pack(">i", value))


def _nest(kind: int, *attributes: bytes) -> bytes:
    return _attribute(kind | _NESTED, b"".join(attributes))


def _expression(name: str, *attributes: bytes) -> bytes:
    return _nest(1, _text(1, name), _nest(2, *attributes))


@lru_cache(maxsize=4096)
def _added(source: bytes, drops: bool) -> bytes:
    """The message that adds `ether saddr SOURCE counter drop` or `accept`; for OUTSIDE what comes to neither."""
    verdict = _verdict(_DROP if drops else _ACCEPT)
    if source == OUTSIDE:  # nobody there sends to a service by broadcast or multicast
        not_itself = _compared(_payload(_LINK_LAYER, _SOURCE_OFFSET, _ADDRESS_BYTES), _UNEQUAL, _LOOPBACK)
        bare = _BARE_BYTES_MAX.to_bytes(_LENGTH_BYTES, "big")
        carries = _compared(_payload(_NETWORK_LAYER, _LENGTH_OFFSET, _LENGTH_BYTES), _GREATER, bare)
        return _new_rule(_CHAIN, *not_itself, *_sent_to(_EQUAL), *carries, _expression("counter"), verdict)
    return _new_rule(_CHAIN, *_comes_from(source), _expression("counter"), verdict)


@lru_cache(maxsize=4096)
def _unheard(closed: tuple[bytes, ...], *, asks_for_sockets: bool) -> bytes:
    """The messages that fill the chain of what was sent to all, with the sources that it drops."""
    has_socket = _expression("socket", _number(1, _IS_TRANSPARENT), _number(2, _REGISTER))
    heard = _new_rule(_TO_ALL, has_socket, _verdict(_RETURN)) if asks_for_sockets else b""
    dropped = (_new_rule(_TO_ALL, *_comes_from(source), _verdict(_DROP)) for source in closed)
    return heard + b"".join(dropped) + _new_rule(_TO_ALL, _verdict(_ACCEPT))


@lru_cache(maxsize=1)
def _emptied() -> tuple[bytes, bytes]:
    """The messages that empty both chains; what was sent to all goes to its own then."""
    by_source, to_all = (_message(_DELETE_RULE, _ACK, _text(1, TABLE) + _text(2, each)) for each in (_CHAIN, _TO_ALL))
    return by_source + _new_rule(_CHAIN, *_sent_to(_UNEQUAL), _verdict(_JUMP, _TO_ALL)), to_all


def _new_rule(chain: str, *expressions: bytes) -> bytes:
    where = _text(1, TABLE) + _text(2, chain)
    return _message(_NEW_RULE, _CREATE | _APPEND | _ACK, where + _nest(4, *expressions))


def _verdict(code: int, chain: str = "") -> bytes:
    where = (_text(2, chain),) if chain else ()
    return _expression("immediate", _number(1, _VERDICT_REGISTER), _nest(2, _nest(2, _number(1, code), *where)))


def _comes_from(source: bytes) -> tuple[bytes, bytes]:
    return _compared(_payload(_LINK_LAYER, _SOURCE_OFFSET, _ADDRESS_BYTES), _EQUAL, source)


def _sent_to(how: int) -> tuple[bytes, bytes]:
    """Packets that were sent to this container alone (_EQUAL), or to all (_UNEQUAL)."""
    return _compared(_expression("meta", _number(1, _REGISTER), _number(2, _PACKET_TYPE)), how, _TO_ONE)


def _payload(layer: int, offset: int, size: int) -> bytes:
    """Load so many bytes of a packet."""
    return _expression("payload", _number(1, _REGISTER), _number(2, layer), _number(3, offset), _number(4, size))


def _compared(load: bytes, how: int, value: bytes) -> tuple[bytes, bytes]:
    """Load something, and go on only if it compares so."""
    return load, _expression("cmp", _number(1, _REGISTER), _number(2, how), _nest(3, _attribute(1, value)))


def _rule(body: bytes) -> Rule | None:
    """One that counts, as the kernel tells it."""
    source, drops, packets = OUTSIDE, False, None
    attributes = _attributes(body[4:])
    for _, element in _listed(attributes[4]):
        parts = _attributes(element)
        name, data = parts[1].rstrip(b"\0"), _attributes(parts.get(2, b""))
        if name == b"cmp" and len(value := _attributes(data[3])[1]) == _ADDRESS_BYTES and value != _LOOPBACK:
            source = value
        elif name == b"counter":
            packets = struct.unpack(">Q", data[2])[0]
        elif name == b"immediate":
            drops = struct.unpack(">i", _attributes(_attributes(data[2])[2])[1])[0] == _DROP
    return None if packets is None else Rule(source, drops, packets)


def _attributes(data: bytes) -> dict[int, bytes]:
    return dict(_listed(data))


def _listed(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= 4:
        size, kind = struct.unpack_from("=HH", data)
        yield kind & 0x3FFF, data[4:size]
        data = data[(size + 3) & ~3 :]
