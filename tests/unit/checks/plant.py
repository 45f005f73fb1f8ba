"""Plants one anomaly in a clean history: each function takes events and returns other events.

Victims are calm records: every operation answered `ok` at once, so that nothing excuses what is planted.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import pairwise

from chaos.history.events import (
    CANARY_OWNER,
    MUTATIONS,
    Act,
    Back,
    DoorRead,
    Event,
    FaultEvent,
    Header,
    Kind,
    Note,
    Outcome,
    PhaseEvent,
    Row,
    Send,
)
from tests.unit.checks.service import payload_hash

Change = Callable[[Row], Iterable[Row]]


@dataclass(frozen=True)
class Victim:
    """A calm record: its acts in order, all acknowledged, each on the one before."""

    acts: tuple[Act, ...]

    @property
    def owner(self) -> str:
        return self.acts[0].owner

    @property
    def record(self) -> str:
        return self.acts[0].record

    @property
    def last(self) -> Act:
        return self.acts[-1]

    def row(self, act: Act, row: str = "row-planted") -> Row:
        blob = "ok" if act.type == "photo" else ""
        return Row(self.record, self.owner, act.write, payload_hash(act.write), row, (), blob)  # type: ignore[arg-type]


def victims(events: Iterable[Event]) -> list[Victim]:
    acts: dict[int, Act] = {}
    outcomes: dict[int, list[Outcome]] = {}
    sent: dict[int, int] = {}
    for event in events:
        if isinstance(event, Act) and event.kind in MUTATIONS and event.owner != CANARY_OWNER:
            acts[event.op] = event
        elif isinstance(event, Send):
            sent[event.op] = event.n
        elif isinstance(event, Back):
            outcomes.setdefault(event.op, []).append(event.outcome)
    by_record: dict[tuple[str, str], list[Act]] = {}
    for act in acts.values():
        by_record.setdefault((act.owner, act.record), []).append(act)
    calm = []
    for of_record in by_record.values():
        chained = all(act.base == before.write for before, act in pairwise(of_record))
        if chained and all(sent.get(a.op) == 1 and outcomes.get(a.op) == ["ok"] for a in of_record):
            calm.append(Victim(tuple(of_record)))
    return calm


def live(events: list[Event], *, versions: int = 1, type_: str = "") -> list[Victim]:
    return [
        victim
        for victim in victims(events)
        if victim.last.kind != "delete" and len(victim.acts) >= versions and type_ in ("", victim.last.type)
    ]


def deleted(events: list[Event]) -> list[Victim]:
    return [victim for victim in victims(events) if victim.last.kind == "delete" and len(victim.acts) > 1]


def at_doors(
    events: list[Event], victim: Victim, change: Change, *, steps: tuple[int, ...] = (1, 2, 4), door: str = ""
) -> list[Event]:
    """Change the victim's rows at the doors of some steps, or at one door alone."""

    def changed(event: Event) -> Event:
        if not isinstance(event, DoorRead) or event.owner != victim.owner or event.step not in steps:
            return event
        if door not in ("", event.door):
            return event
        rows: list[Row] = []
        for row in event.rows:
            rows.extend(change(row) if row.record == victim.record else (row,))
        return replace(event, rows=tuple(rows))

    return [changed(event) for event in events]


def shown_at_doors(events: list[Event], owner: str, row: Row, *, steps: tuple[int, ...] = (1, 2, 4)) -> list[Event]:
    """Add a row to the doors of an owner."""
    return [
        replace(event, rows=(*event.rows, row))
        if isinstance(event, DoorRead) and event.owner == owner and event.step in steps
        else event
        for event in events
    ]


def before_the_load_ends(events: list[Event], added: list[Event]) -> list[Event]:
    at = next(i for i, e in enumerate(events) if isinstance(e, PhaseEvent) and e.happened == "ended")
    return [*events[:at], *added, *events[at:]]


def operation(
    victim: Victim,
    events: list[Event],
    kind: Kind,
    outcome: Outcome | None,
    *,
    base: str | None = None,
    record: str = "",
) -> tuple[Act, list[Event]]:
    """One more operation of the victim's owner at the end of the load; `outcome` None: it is never sent."""
    t = load_ended(events) - 50_000_000
    number = 1_000_000 + len(events)
    write = f"w-planted-{number}"
    act = Act(
        op=number, t=t, session="d-planted#1", device=victim.last.device, owner=victim.owner, kind=kind,
        record=record or victim.record, type=victim.last.type, write=write, hash=payload_hash(write), key=write,
        base=base, size_bytes=100,
    )  # fmt: skip
    added: list[Event] = [act]
    if outcome is not None:
        added += [Send(number, 1, t + 1), Back(number, 1, t + 1000, outcome)]
    return act, added


def load_ended(events: Iterable[Event]) -> int:
    return next(e.t for e in events if isinstance(e, PhaseEvent) and e.name == "load" and e.happened == "ended")


Plant = Callable[[list[Event], random.Random], list[Event] | None]
"""None where the history holds no fitting victim."""


def _pick(draw: random.Random, of: list[Victim]) -> Victim | None:
    return draw.choice(of) if of else None


def gone_from(*steps: int) -> Plant:
    def plant(events: list[Event], draw: random.Random) -> list[Event] | None:
        victim = _pick(draw, live(events))
        return at_doors(events, victim, lambda row: (), steps=steps) if victim else None

    return plant


def an_older_version(*steps: int) -> Plant:
    def plant(events: list[Event], draw: random.Random) -> list[Event] | None:
        victim = _pick(draw, live(events, versions=2))
        if victim is None:
            return None
        older = victim.row(victim.acts[-2])
        return at_doors(events, victim, lambda row: (older,), steps=steps)

    return plant


def gone_from_one_cache(events: list[Event], draw: random.Random) -> list[Event] | None:
    victim = _pick(draw, live(events))
    return at_doors(events, victim, lambda row: (), door=f"cache {victim.last.device}") if victim else None


def changed_rows(change: Callable[[Victim, Row], Iterable[Row]], *, type_: str = "") -> Plant:
    def plant(events: list[Event], draw: random.Random) -> list[Event] | None:
        victim = _pick(draw, live(events, type_=type_))
        if victim is None:
            return None
        chosen = victim
        step = draw.choice([1, 2, 4])
        return at_doors(events, chosen, lambda row: change(chosen, row), steps=(step,))

    return plant


def two_updates_on_one_base(events: list[Event], draw: random.Random) -> list[Event] | None:
    victim = _pick(draw, live(events, versions=2))
    if victim is None:
        return None
    _, added = operation(victim, events, "update", "ok", base=victim.acts[-2].write)
    return before_the_load_ends(events, added)


def a_deleted_record_is_back(events: list[Event], draw: random.Random) -> list[Event] | None:
    victim = _pick(draw, deleted(events))
    if victim is None:
        return None
    return shown_at_doors(events, victim.owner, victim.row(victim.acts[-2]), steps=(draw.choice([1, 2, 4]),))


def an_unknown_write_is_seen_and_gone(events: list[Event], draw: random.Random) -> list[Event] | None:
    victim = _pick(draw, live(events))
    if victim is None:
        return None
    act, added = operation(victim, events, "create", "info", record="r-planted")
    row = Row("r-planted", victim.owner, act.write, act.hash, "row-planted")
    reading = Act(2_000_000, act.t, "d-planted#1", victim.last.device, victim.owner, "list")
    back = Back(2_000_000, 1, act.t + 30_000, "ok", rows=(row,))
    return before_the_load_ends(events, [*added, reading, Send(2_000_000, 1, act.t), back])


def a_write_out_of_nowhere(events: list[Event], draw: random.Random) -> list[Event] | None:
    victim = _pick(draw, live(events))
    if victim is None:
        return None
    row = Row("r-nowhere", victim.owner, "w-nowhere", payload_hash("w-nowhere"), "row-planted")
    return shown_at_doors(events, victim.owner, row)


def an_outbox_entry_is_there(events: list[Event], draw: random.Random) -> list[Event] | None:
    return _visible(events, draw, None)


def a_refused_write_is_there(events: list[Event], draw: random.Random) -> list[Event] | None:
    return _visible(events, draw, "fail")


def _visible(events: list[Event], draw: random.Random, outcome: Outcome | None) -> list[Event] | None:
    victim = _pick(draw, live(events))
    if victim is None:
        return None
    act, added = operation(victim, events, "update", outcome, base=victim.last.write)
    row = victim.row(act)
    return at_doors(before_the_load_ends(events, added), victim, lambda _: (row,), steps=(draw.choice([1, 2, 4]),))


def based_on_a_refused_write(events: list[Event], draw: random.Random) -> list[Event] | None:
    victim = _pick(draw, live(events))
    if victim is None:
        return None
    refused, added = operation(victim, events, "update", "fail", base=victim.last.write)
    act, more = operation(victim, [*events, *added], "update", "ok", base=refused.write)
    row = victim.row(act)
    return at_doors(before_the_load_ends(events, added + more), victim, lambda _: (row,))


def a_door_is_never_read(events: list[Event], draw: random.Random) -> list[Event] | None:
    owner = draw.choice([victim.owner for victim in live(events)])
    step = draw.choice([1, 2, 4])
    doors = sorted({e.door for e in events if isinstance(e, DoorRead) and e.owner == owner and e.step == step})
    door = draw.choice(doors)
    return [e for e in events if not (isinstance(e, DoorRead) and (e.owner, e.step, e.door) == (owner, step, door))]


def a_copy_is_never_read(events: list[Event], draw: random.Random) -> list[Event]:
    """The header tells of a copy, and no owner was read there, or not this one."""
    header, *rest = with_a_copy(events)
    if draw.random() < 0.5:
        owner = draw.choice([victim.owner for victim in live(events)])
        rest = [e for e in rest if not (isinstance(e, DoorRead) and e.door == COPY and e.owner == owner)]
    else:
        rest = [e for e in rest if not (isinstance(e, DoorRead) and e.door == COPY)]
    return [header, *rest]


COPY = "replica db"


def with_a_copy(events: list[Event]) -> list[Event]:
    """A copy that was read directly, and has all that a fresh device saw."""
    header, *rest = events
    assert isinstance(header, Header)
    later = max(e.t for e in rest if isinstance(e, DoorRead))
    begun = min(e.invoked for e in rest if isinstance(e, DoorRead))
    doors = [
        replace(e, step=4, door=COPY, invoked=e.invoked - begun + later, t=e.t - begun + later,
                rows=next(o.rows for o in rest if isinstance(o, DoorRead) and o.step == 4 and o.owner == e.owner))
        for e in rest if isinstance(e, DoorRead) and e.step == 1
    ]  # fmt: skip
    return [replace(header, copies=(COPY,)), *rest, *doors]


def _last_round(events: list[Event], draw: random.Random) -> int:
    return draw.choice([i for i, e in enumerate(events) if isinstance(e, DoorRead) and e.settled])


def a_door_fails(events: list[Event], draw: random.Random) -> list[Event]:
    at = _last_round(events, draw)
    door = events[at]
    assert isinstance(door, DoorRead)
    return [*events[:at], replace(door, outcome="fail", rows=(), settled=False, why="timed out"), *events[at + 1 :]]


def a_door_is_not_asked(asked_bytes: int | None, answered_bytes: int | None, packets: int | None = None) -> Plant:
    """The judged round of a door with rows; the service was not asked, or said less than what was read."""

    def plant(events: list[Event], draw: random.Random) -> list[Event] | None:
        last = [i for i, e in enumerate(events) if isinstance(e, DoorRead) and e.settled and e.rows]
        at = draw.choice([i for i in last if events[i].owner != CANARY_OWNER])  # type: ignore[union-attr]
        door = events[at]
        assert isinstance(door, DoorRead)
        unasked = replace(door, asked_bytes=asked_bytes, answered_bytes=answered_bytes, asked_packets=packets)
        return [*events[:at], unasked, *events[at + 1 :]]

    return plant


def a_door_is_read_once(events: list[Event], draw: random.Random) -> list[Event]:
    at = _last_round(events, draw)
    return [*events[:at], *events[at + 1 :]]


def the_service_never_serves_again(events: list[Event], draw: random.Random) -> list[Event]:
    at = draw.randrange(1, len(events) - 1)
    return [*events[:at], Note("unrecoverable", load_ended(events), "no answer within 60 s"), *events[at:]]


def nothing_protects_what_was_acknowledged(events: list[Event], draw: random.Random) -> list[Event]:
    at = draw.randrange(1, len(events) - 1)
    return [*events[:at], Note("unprotected", load_ended(events), "all copies on array core"), *events[at:]]


def a_session_reads_less_than_it_wrote(events: list[Event], draw: random.Random) -> list[Event] | None:
    victim = _pick(draw, live(events, versions=2))
    if victim is None:
        return None
    return _told(strict(events), victim, victim.last.session, (victim.row(victim.acts[-2]),), "read")


def a_new_phone_never_hears_of_it(events: list[Event], draw: random.Random) -> list[Event] | None:
    victim = _pick(draw, live(events))
    if victim is None:
        return None
    fresh = next(e for e in events if isinstance(e, DoorRead) and e.step == 1 and e.owner == victim.owner)
    rows = tuple(row for row in fresh.rows if row.record != victim.record)
    return _told(strict(events), victim, "d-planted#1", rows, "sync")


def a_cursor_skips_it(events: list[Event], draw: random.Random) -> list[Event] | None:
    """It was committed behind a row that the cursor had passed already: no later delta brings it."""
    planted = a_new_phone_never_hears_of_it(events, draw)
    if planted is None:
        return None
    number, t = 3_100_000, load_ended(events) - 1_000_000
    of = next(e for e in reversed(planted) if isinstance(e, Act) and e.session == "d-planted#1")
    return before_the_load_ends(
        planted, [replace(of, op=number, t=t), Send(number, 1, t + 1), Back(number, 1, t + 9, "ok")]
    )


def a_read_of_the_load_lacks_a_blob(events: list[Event], draw: random.Random) -> list[Event] | None:
    victim = _pick(draw, live(events, type_="photo"))
    return _told(strict(events), victim, "d-planted#1", (bare(victim),), "read") if victim else None


def a_read_lacks_a_blob_and_a_delete_covers_it(events: list[Event], draw: random.Random) -> list[Event] | None:
    planted = a_read_of_the_load_lacks_a_blob(events, draw)
    if planted is None:
        return None
    photo = next(e.rows[0] for e in planted if isinstance(e, Back) and e.op == 3_000_000)
    victim = next(v for v in live(planted) if v.record == photo.record)
    number, t = 3_200_000, load_ended(events) - 500_000
    delete = replace(victim.last, op=number, t=t, kind="delete", write="w-cover", hash="", key="w-cover",
                     base=victim.last.write)  # fmt: skip
    covered = before_the_load_ends(planted, [delete, Send(number, 1, t + 1), Back(number, 1, t + 9, "ok")])
    return at_doors(covered, victim, lambda row: ())


def bare(victim: Victim) -> Row:
    """The victim's last version without its blob."""
    return replace(victim.row(victim.last), blob="missing", hash=payload_hash(f"{victim.last.write} bare"))


def _told(events: list[Event], victim: Victim, session: str, rows: tuple[Row, ...], kind: Kind) -> list[Event]:
    """What a session got at the end of the load."""
    number, t = 3_000_000, load_ended(events) - 2_000_000
    sync = Act(number, t, session, victim.last.device, victim.owner, kind)
    return before_the_load_ends(events, [sync, Send(number, 1, t + 1), Back(number, 1, t + 1000, "ok", rows=rows)])


def strict(events: list[Event]) -> list[Event]:
    header, *rest = events
    assert isinstance(header, Header)
    return [replace(header, sessions="strict"), *rest]


def followed(events: list[Event]) -> list[Victim]:
    """Records of several versions, the last of them answered before that of some other record was made."""
    candidates = live(events)
    youngest = max((victim.last.t for victim in candidates), default=0)
    answered = {event.op for event in events if isinstance(event, Back) and event.t < youngest}
    return [victim for victim in candidates if len(victim.acts) > 1 and victim.last.op in answered]


def restored_as(
    change: Callable[[Row, Victim], Iterable[Row]], of: Callable[[list[Event]], list[Victim]] = live
) -> Plant:
    """A fault took every copy as the load ended; a store came back with its records changed so."""

    def plant(events: list[Event], draw: random.Random) -> list[Event] | None:
        victim = _pick(draw, of(events))
        if victim is None:
            return None
        exceeding = [
            replace(e, exceeds=True, t=load_ended(events))
            if isinstance(e, FaultEvent) and e.happened == "injected"
            else replace(e, t=load_ended(events) + 1)
            if isinstance(e, FaultEvent)
            else e
            for e in events
        ]
        first = next(i for i, e in enumerate(exceeding) if isinstance(e, DoorRead))
        restored: list[Event] = [
            replace(e, step=0, door="restored pgdata", rows=tuple(r for row in e.rows for r in change(row, victim)))
            for e in exceeding[first:]
            if isinstance(e, DoorRead) and e.step == 1
        ]
        return [*exceeding[:first], *restored, *exceeding[first:]]

    return plant


def _stamped(row: Row, owner: str, record: str, write: str) -> Row:
    return replace(row, stamps=((owner, record, write),), hash="0" * 16)


PLANTS: dict[str, tuple[tuple[str, Plant], ...]] = {
    "lost": (
        ("gone everywhere", gone_from(1, 2, 4)),
        ("gone for a fresh device", gone_from(1)),
        ("gone after the cold restart", gone_from(4)),
        ("an older version everywhere", an_older_version(1, 2, 4)),
        ("an older version after the cold restart", an_older_version(4)),
    ),
    "lost-on-node": (("gone from one cache", gone_from_one_cache),),
    "lost-update": (("two updates on one base", two_updates_on_one_base),),
    "resurrected": (("a deleted record is back", a_deleted_record_is_back),),
    "seen-then-lost": (("seen and gone", an_unknown_write_is_seen_and_gone),),
    "corrupted": (
        ("another hash", changed_rows(lambda v, row: (replace(row, hash="0" * 16),))),
        ("no write id", changed_rows(lambda v, row: (replace(row, hash="0" * 16, write=""),))),
    ),
    "torn": (
        ("a field of an older version",
         changed_rows(lambda v, row: (_stamped(row, row.owner, row.record, "w-1"),))),
    ),
    "misattributed": (
        ("another owner", changed_rows(lambda v, row: (replace(row, owner="u-99", hash="0" * 16),))),
        ("a field of another record",
         changed_rows(lambda v, row: (_stamped(row, row.owner, "r-other", row.write),))),
        ("a field of another owner",
         changed_rows(lambda v, row: (_stamped(row, "u-99", row.record, row.write),))),
    ),
    "duplicated": (
        ("two rows of one version", changed_rows(lambda v, row: (row, replace(row, row="row-twin")))),
        ("two rows that the server does not number",
         changed_rows(lambda v, row: (replace(row, row=""), replace(row, row="")))),
    ),
    "dangling-blob": (
        ("a photo without its blob",
         changed_rows(lambda v, row: (replace(row, blob="missing", hash="0" * 16),), type_="photo")),
    ),
    "phantom": (
        ("a write out of nowhere", a_write_out_of_nowhere),
        ("an outbox entry that was never sent", an_outbox_entry_is_there),
    ),
    "aborted-visible": (
        ("a refused write", a_refused_write_is_there),
        ("a write based on a refused one", based_on_a_refused_write),
    ),
    "hole": (
        ("one record of another instant",
         restored_as(lambda row, v: (v.row(v.acts[-2]),) if row.record == v.record else (row,), followed)),
    ),
    "lost-suffix": (("everything from before the load", restored_as(lambda row, v: ())),),
    "stale": (("a session reads less than it wrote", a_session_reads_less_than_it_wrote),),
    "vanished": (
        ("a new phone never hears of it", a_new_phone_never_hears_of_it),
        ("a cursor skips it", a_cursor_skips_it),
    ),
    "dangling-in-load": (
        ("a read lacks a blob that the doors have", a_read_of_the_load_lacks_a_blob),
        ("a read lacks a blob and a delete covers it", a_read_lacks_a_blob_and_a_delete_covers_it),
    ),
    "unprotected": (("all copies on one array", nothing_protects_what_was_acknowledged),),
    "unrecoverable": (("the service never serves again", the_service_never_serves_again),),
    "unreadable": (("the last round fails", a_door_fails),),
    "not-asked": (
        ("nothing was sent", a_door_is_not_asked(0, None)),
        ("nothing came back", a_door_is_not_asked(400, 0)),
        ("what came back holds no row", a_door_is_not_asked(400, 11)),
        ("no packet came", a_door_is_not_asked(None, None, 0)),
    ),
    "never-read": (
        ("a door is never read", a_door_is_never_read),
        ("a copy is never read", a_copy_is_never_read),
    ),
    "not-quiescent": (("a door is read once", a_door_is_read_once),),
}  # fmt: skip
