"""Faults of the carrier: the path of every phone to the front door.

Injected: no coverage, slow replies, requests that pass while their replies are cut. Never injected here: the loss of
single packets (TCP would repair it), damaged bytes, faults between services.

The server reads back that a fault is in force; that phones felt it is proved by the history (`felt`).
"""

from __future__ import annotations

from typing import Literal

from chaos.experiment.catalogue import ParameterInfo
from chaos.faults.base import Felt
from chaos.faults.carrier import felt
from chaos.faults.carrier.medium import CarrierFault, CarrierState
from chaos.faults.registry import fault
from chaos.history.events import FaultEvent
from chaos.history.model import History
from chaos.stack.carrier.toxic import Toxic


@fault("carrier.down")
class Down(CarrierFault):
    """Phones have no coverage.

    With `hang` nothing passes either way while connections stay open, as in a tunnel; what was on its way arrives
    once it is healed. With `cut` every connection is cut and a new one reaches nobody.

    Bites when the path carried an acknowledgement in the 5 s before, and in force an attempt failed and none was
    acknowledged.

    Attributes:
        mode: hang or cut.
    """

    parameters = {  # noqa: RUF012 - a mapping by annotation of the base class
        "mode": ParameterInfo("text", choices=("hang", "cut"), default="hang"),
    }

    mode: Literal["hang", "cut"] = "hang"

    @classmethod
    def felt(cls, history: History, injected: FaultEvent, healed: FaultEvent) -> Felt:
        """See `felt.down`."""
        return felt.down(history, injected.t, healed)

    def wanted(self, carrier: CarrierState) -> CarrierState:
        """Nothing passes, or nobody listens."""
        if self.mode == "cut":
            return carrier.closed()
        # at rate 0 a connection keeps what it was given; the toxic `timeout` would close it when it is healed
        return carrier.with_toxics(
            Toxic("bandwidth", "upstream", {"rate": 0}), Toxic("bandwidth", "downstream", {"rate": 0})
        )


@fault("carrier.latency")
class Latency(CarrierFault):
    """Replies reach the phones late.

    Bites when in force the replies' median or first quartile was later than that of the 5 s before, by at least half of
    `latency_ms`.

    Attributes:
        latency_ms: How late.
        jitter_ms: Drawn for each piece of a reply: up to so much sooner or later.
    """

    parameters = {  # noqa: RUF012 - a mapping by annotation of the base class
        "latency_ms": ParameterInfo("integer", minimum=1, maximum=60_000, default=200),
        "jitter_ms": ParameterInfo("integer", maximum=60_000, default=0),
    }

    latency_ms: int = 200
    jitter_ms: int = 0

    @classmethod
    def felt(cls, history: History, injected: FaultEvent, healed: FaultEvent) -> Felt:
        """See `felt.late`."""
        return felt.late(history, injected.t, healed)

    def wanted(self, carrier: CarrierState) -> CarrierState:
        """Replies are late."""
        attributes = {"latency": self.latency_ms, "jitter": self.jitter_ms}
        return carrier.with_toxics(Toxic("latency", "downstream", attributes))


@fault("carrier.lose_replies")
class LoseReplies(CarrierFault):
    """Requests pass, and their replies are cut after the service has done what they asked for.

    Not one byte of a reply arrives. The connection ends with a reset where it was opened while the fault was in
    force (with a plain end where it was open before, or where the engine publishes ports by a proxy of its own).

    Bites when the service is known to have committed a write of which the phone had not heard: a read returned it
    (a phone's, or one beside the carrier just before the fault is healed), and every attempt at it that had left by
    then ended unknown while the fault was in force.

    Attributes:
        probability: The share of connections whose replies are lost, drawn for each when it is opened, or when the
            fault takes hold.
    """

    needs_witness = True
    parameters = {  # noqa: RUF012 - a mapping by annotation of the base class
        "probability": ParameterInfo("number", minimum=0.01, maximum=1, default=1.0),
    }

    probability: float = 1.0

    @classmethod
    def felt(cls, history: History, injected: FaultEvent, healed: FaultEvent) -> Felt:
        """See `felt.replies_lost`."""
        return felt.replies_lost(history, injected.t, healed)

    def wanted(self, carrier: CarrierState) -> CarrierState:
        """Cut at the first byte of a reply."""
        # limit_data alone would end in an orderly way. reset_peer strikes no connection, but that it is there makes
        # every end of a connection that is opened from then on a reset.
        return carrier.with_toxics(
            Toxic("limit_data", "downstream", {"bytes": 0}, toxicity=round(self.probability, 6)),
            Toxic("reset_peer", "downstream", {"timeout": 0}, toxicity=0.0),
        )
