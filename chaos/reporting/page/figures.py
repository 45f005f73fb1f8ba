"""The page's drawings as data: lanes and bars, placed across in per cent of the width and down in pixels.

Per cent, so that one drawing fits a phone and a desktop without its text growing or shrinking.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

from chaos.history.events import COPIES, ROLE, FaultEvent, PhaseEvent
from chaos.history.told import NOBODY, with_fields
from chaos.reporting.page.course import OUTCOMES, SECOND, Course
from chaos.reporting.page.outage import Outage
from chaos.reporting.words import count, counted, evidence, plain

BINS_MAX: Final = 120
SPANS_MAX: Final = 200
LANES_MAX: Final = 60
"""So many lanes of faults are drawn, and SPANS_MAX faults in them."""
BARS_HEIGHT: Final = 120
LANE_HEIGHT: Final = 42
LABEL_HEIGHT: Final = 18
"""Of the strip of a lane that holds its label; its stretches are drawn below."""
AXIS_HEIGHT: Final = 22
FOREVER: Final = 1 << 63
_TICKS: Final = 6
_LEVELS: Final = 4
_SHADES: Final = 6
_LETTER_PIXELS: Final = 6.8
_MARGIN_PIXELS: Final = 8
_FIGURE_PIXELS: Final = {"phone": 300, "desktop": 980}
"""How wide a figure is on a screen 390 and 1,280 pixels wide, and how wide labels are: about so."""


@dataclass(frozen=True)
class Tick:
    """A labelled place on the axis; `anchor` keeps its text inside the figure."""

    x: float
    label: str
    anchor: str


@dataclass(frozen=True)
class Span:
    """A stretch of a lane; `kind` names its colour, `title` is told where a pointer rests on it."""

    x: float
    width: float
    kind: str
    label: str
    title: str

    def has_room(self, screen: str) -> bool:
        """Whether its label fits into it on a "phone" or a "desktop"; half a word tells less than none."""
        needed = _MARGIN_PIXELS + _LETTER_PIXELS * len(self.label)
        return self.width / 100 * _FIGURE_PIXELS[screen] >= needed


@dataclass(frozen=True)
class Lane:
    """One row of stretches under its own label."""

    label: str
    spans: tuple[Span, ...]

    def shown_label(self, screen: str) -> str:
        """The label, cut to what fits on a "phone" or a "desktop"."""
        most = int((_FIGURE_PIXELS[screen] - _MARGIN_PIXELS) / _LETTER_PIXELS)
        return self.label if len(self.label) <= most else f"{self.label[: most - 3]}..."

    def label_width(self, screen: str) -> float:
        """About how wide that is, in pixels: so much is kept clear behind it."""
        return round(_MARGIN_PIXELS + _LETTER_PIXELS * len(self.shown_label(screen)), 1)


@dataclass(frozen=True)
class Bar:
    """One part of a bar; `kind` names its colour, such as an outcome."""

    x: float
    width: float
    y: float
    height: float
    kind: str


@dataclass(frozen=True)
class Level:
    """A labelled height of the bars, in pixels from their top."""

    y: float
    label: str


@dataclass(frozen=True)
class Figure:
    """A drawing over one stretch of time.

    Attributes:
        name: What it shows, for those who cannot see it.
        bands: Where faults were in force, over the whole height.
        bars: Empty where the figure has lanes only.
        levels: The axis of the bars' heights.
        scale: What that axis measures.
        kinds: What each colour of the bars means, of those that occur.
    """

    name: str
    ticks: tuple[Tick, ...]
    bands: tuple[Span, ...]
    lanes: tuple[Lane, ...]
    bars: tuple[Bar, ...] = ()
    levels: tuple[Level, ...] = ()
    scale: str = ""
    kinds: tuple[tuple[str, str], ...] = ()

    bars_height = BARS_HEIGHT
    lane_height = LANE_HEIGHT
    label_height = LABEL_HEIGHT

    @property
    def lanes_top(self) -> int:
        """Where the lanes begin, in pixels."""
        gap = 8 if self.lanes else 0
        return BARS_HEIGHT + gap if self.scale else 0

    @property
    def axis_top(self) -> int:
        """Where the axis is drawn, in pixels."""
        return self.lanes_top + LANE_HEIGHT * len(self.lanes)

    @property
    def height(self) -> int:
        """The figure's height in pixels."""
        return self.axis_top + AXIS_HEIGHT


@dataclass(frozen=True)
class Window:
    """A stretch of the trial's clock in nanoseconds; `zero` is the begin of the load."""

    zero: int
    begun: int
    ended: int

    def x(self, t: int) -> float:
        """A time in per cent of the width; what lies outside is moved to the edge."""
        share = (t - self.begun) / max(1, self.ended - self.begun)
        return round(100 * min(1.0, max(0.0, share)), 3)

    def span(self, begun: int, ended: int, kind: str, label: str, title: str) -> Span | None:
        """A stretch, or nothing where it lies outside."""
        if ended < self.begun or begun > self.ended:
            return None
        x = self.x(begun)
        return Span(x, round(self.x(ended) - x, 3), kind, label, title)

    def told(self, t: int) -> str:
        """A time in seconds after the begin of the load."""
        return told_seconds((t - self.zero) / SECOND)

    def ticks(self) -> tuple[Tick, ...]:
        """Round seconds, about six of them."""
        step = nice((self.ended - self.begun) / SECOND / _TICKS)
        first = math.ceil((self.begun - self.zero) / SECOND / step)
        last = math.floor((self.ended - self.zero) / SECOND / step)
        ticks = []
        for number in range(first, last + 1):
            x = self.x(self.zero + round(number * step * SECOND))
            anchor = "start" if x < 4 else "end" if x > 96 else "middle"
            ticks.append(Tick(x, f"{plain(round(number * step, 6))} s", anchor))
        return tuple(ticks)


def told_seconds(seconds: float) -> str:
    """1.91491 as "1.915 s"."""
    return f"{seconds:,.3f} s"


def nice(least: float) -> float:
    """The smallest of 1, 2 and 5 times a power of ten that is not below `least`."""
    power: float = 10.0 ** math.floor(math.log10(max(least, 1e-3)))
    return next(round(factor * power, 9) for factor in (1, 2, 5, 10) if factor * power >= least * (1 - 1e-9))


def whole_trial(course: Course) -> Window:
    """From the begin of the load to the end of what is known; a trial that never came so far: all of it."""
    zero = begun = course.load_begun
    if not any(phase.name == "load" for phase in course.phases):
        zero = begun = min((phase.t for phase in course.phases), default=zero)
    times = [
        *(phase.t for phase in course.phases),
        *(event.t for event in course.faults),
        *(note.t for note in course.notes),
        course.attempts.last,
        course.last_read,
    ]
    return Window(zero, begun, max([*times, begun + SECOND]))


def load_alone(course: Course) -> Window:
    """The load; one that never ended: up to the last answer in it."""
    begun = course.load_begun
    ended = next((p.t for p in course.phases if p.name == "load" and p.happened == "ended"), 0)
    return Window(begun, begun, max(ended or course.attempts.last, begun + SECOND // 10))


def timeline(course: Course, *, violated: bool = False) -> Figure:
    """Phases, faults, steps of the runbook and roles, over the whole trial."""
    window = whole_trial(course)
    lanes = [
        _phase_lane(course.phases, window),
        *_fault_lanes(course, window, violated),
        *_note_lane(course, window),
    ]
    name = f"The trial from the begin of the load to {window.told(window.ended)}"
    return Figure(name, window.ticks(), bands(course, window), (*lanes, *role_lanes(course, window)))


def operations(course: Course, away: Sequence[Outage] = (), lost: Sequence[int] = (), lost_label: str = "") -> Figure:
    """Attempts at creates, updates and deletes by outcome over the load, with roles.

    Args:
        course: Of the trial.
        away: When the service was away.
        lost: When each version that was not kept had been acknowledged, in nanoseconds of the trial's clock.
        lost_label: Of their lane.
    """
    window = load_alone(course)
    step_ns = bin_ns(window)
    bins: dict[int, list[int]] = {}
    for t, _, outcome in course.attempts:
        if window.begun <= t <= window.ended:
            bins.setdefault((t - window.begun) // step_ns, [0] * len(OUTCOMES))[outcome] += 1
    levels, top = _levels(max((sum(counted) for counted in bins.values()), default=0))
    bars = tuple(bar for number in sorted(bins) for bar in _stack(bins[number], number * step_ns, step_ns, window, top))
    step = plain(step_ns / SECOND)
    return Figure(
        f"Attempts by outcome in each {step} s of the load",
        window.ticks(),
        bands(course, window),
        (
            *_lost_lane(lost, lost_label, window, step_ns),
            *_served_lane(course, away, window),
            *role_lanes(course, window),
        ),
        bars,
        levels,
        f"attempts in {step} s",
        tuple((kind, _OUTCOMES_TOLD[kind]) for kind in OUTCOMES if any(bar.kind == kind for bar in bars)),
    )


def _lost_lane(lost: Sequence[int], label: str, window: Window, step_ns: int) -> Iterator[Lane]:
    """When what was not kept had been acknowledged, in the steps of the bars."""
    bins = Counter((t - window.begun) // step_ns for t in lost if window.begun <= t <= window.ended)
    if bins:
        spans = []
        for number, records in sorted(bins.items()):
            begun = window.begun + number * step_ns
            title = f"{counted(records, 'record')} acknowledged from {window.told(begun)} on and not kept"
            spans.append(window.span(begun, begun + step_ns, "lost", "", title))
        yield Lane(label, _drawn(spans))


def _served_lane(course: Course, away: Sequence[Outage], window: Window) -> Iterator[Lane]:
    """Where writes were acknowledged and where the service was away; nothing of a service that never was."""
    if not away:
        return
    edges = [(course.load_begun + each.begun, course.load_begun + each.known_until, each) for each in away]
    begun, spans = window.begun, []
    for since, until, each in [*edges, (window.ended, window.ended, None)]:
        title = f"writes acknowledged from {window.told(begun)} to {window.told(since)}"
        spans.append(window.span(begun, since, "served", "acknowledged", title) if since > begun else None)
        if each is not None:
            spans.append(window.span(since, until, "nobody", f"away {each.length}", each.when))
        begun = until
    yield Lane("writes", _drawn(spans))


def bin_ns(window: Window) -> int:
    """The width of the bars over a window, in nanoseconds of it."""
    return round(nice((window.ended - window.begun) / SECOND / BINS_MAX) * SECOND)


def role_lanes(course: Course, window: Window) -> Iterator[Lane]:
    """Who had each role from when to when, as far as the trial recorded it."""
    holders: dict[str, list[tuple[int, str]]] = {}
    for t, role, holder in role_changes(course):
        holders.setdefault(role, []).append((t, holder))
    services = sorted({holder for changes in holders.values() for _, holder in changes})
    for role, changes in sorted(holders.items()):
        spans = []
        for (begun, holder), (ended, _) in zip(changes, [*changes[1:], (window.ended, "")], strict=True):
            kind = f"role{services.index(holder) % _SHADES}" if holder else "nobody"
            title = f"{role}: {holder or NOBODY} from {window.told(begun)} to {window.told(ended)}"
            spans.append(window.span(begun, ended, kind, holder or NOBODY, title))
        yield Lane(role, _drawn(spans))


def role_changes(course: Course) -> Iterator[tuple[int, str, str]]:
    """(time, role, services) of every note that says so; "" where nobody has the role."""
    for note in course.notes:
        if note.topic == ROLE:
            told = with_fields(note)
            yield note.t, told.role, ", ".join(told.services)


def _phase_lane(phases: Sequence[PhaseEvent], window: Window) -> Lane:
    spans = []
    for number, (name, begun, ended) in enumerate(stretches(phases)):
        title = f"{name}: {window.told(begun)} to {'no end' if ended is None else window.told(ended)}"
        spans.append(window.span(begun, ended or window.ended, f"phase{number % 2}", name, title))
    return Lane("phases", _drawn(spans))


def stretches(phases: Sequence[PhaseEvent]) -> Iterator[tuple[str, int, int | None]]:
    """(name, begin, end) of every phase in order; one that broke off has no end."""
    for index, phase in enumerate(phases):
        if phase.happened == "begun":
            ended = (p.t for p in phases[index:] if p.name == phase.name and p.happened == "ended")
            yield phase.name, phase.t, next(ended, None)


def in_force(course: Course, end: int) -> Iterator[tuple[FaultEvent, int]]:
    """Every fault that was injected, with the time until which it was in force."""
    for event in course.faults:
        if event.happened == "injected":
            healed = (e.t for e in course.faults if e.index == event.index and e.happened == "healed")
            yield event, next(healed, max(event.t, end))


def _fault_lanes(course: Course, window: Window, violated: bool) -> Iterator[Lane]:
    """A lane for each fault and target; of the same one several, where they overlap."""
    lanes: list[tuple[str, int, list[Span | None]]] = []
    for event, ended in islice(in_force(course, window.ended), SPANS_MAX):
        concluded = [e for e in course.faults if e.index == event.index and e.concludes]
        last = concluded[-1] if concluded else event
        label = f"{event.fault} {event.target}"
        title = f"{label}: {window.told(event.t)} to {window.told(ended)}; {evidence(last.evidence)}"
        short = "" if violated else f"did not bite: {last.why}"  # says nothing about a loss that is proven
        verdict = "bit" if last.bit else short if concluded else "without evidence"
        span = window.span(event.t, ended, "fault", verdict, title)
        at = next((n for n, (name, until, _) in enumerate(lanes) if name == label and until <= event.t), len(lanes))
        spans = lanes[at][2] if at < len(lanes) else []
        lanes[at : at + 1] = [(label, ended, [*spans, span])]
    for label, _, spans in lanes[:LANES_MAX]:
        yield Lane(label, _drawn(spans))


def _note_lane(course: Course, window: Window) -> Iterator[Lane]:
    width_ns = (window.ended - window.begun) // 250
    spans = [
        window.span(note.t, note.t + width_ns, "note", "", f"{window.told(note.t)} {note.topic}: {note.text}")
        for note in course.notes
        if note.topic not in (COPIES, ROLE)
    ]
    if drawn := _drawn(spans):
        yield Lane("repairs and runbook", drawn)


def bands(course: Course, window: Window) -> tuple[Span, ...]:
    """Where faults were in force."""
    return _drawn(
        window.span(event.t, ended, "band", "", f"{event.fault} {event.target} in force")
        for event, ended in in_force(course, window.ended)
    )


def _drawn(spans: Iterable[Span | None]) -> tuple[Span, ...]:
    return tuple([span for span in spans if span is not None][:SPANS_MAX])


def _levels(highest: int) -> tuple[tuple[Level, ...], int]:
    """Round numbers up to the first that is not below the highest bar; and that one."""
    step = max(1, round(nice(highest / _LEVELS)))
    top = step * max(1, math.ceil(highest / step))
    return tuple(Level(level_y(n / top), count(n)) for n in range(0, top + 1, step)), top


def level_y(share: float) -> float:
    """A share of the bars' height in pixels from their top."""
    return round(BARS_HEIGHT * (1 - share), 2)


def _stack(counted: Sequence[int], offset: int, step: int, window: Window, top: int) -> Iterator[Bar]:
    x, width = bar_place(window, offset, step)
    base = float(BARS_HEIGHT)
    for outcome, number in zip(OUTCOMES, counted, strict=True):
        if number:
            height = round(BARS_HEIGHT * number / top, 2)
            base = round(base - height, 2)
            yield Bar(x, width, base, height, outcome)


def bar_place(window: Window, offset: int, step: int) -> tuple[float, float]:
    """(x, width) of the bar that begins so long after the window did."""
    x = window.x(window.begun + offset)
    return x, round(max(0.1, (window.x(window.begun + offset + step) - x) * 0.86), 3)


_OUTCOMES_TOLD: Final = {
    "ok": "ok: acknowledged",
    "degraded": "degraded: acknowledged with a warning",
    "info": "info: nobody knows",
    "fail": "fail: definitely not applied",
}
