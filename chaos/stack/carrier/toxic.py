"""What a Toxiproxy does to connections, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Stream = Literal["upstream", "downstream"]


@dataclass(frozen=True)
class Toxic:
    """What a proxy does to its connections.

    Attributes:
        type: Toxiproxy's own name of it, for example "latency".
        stream: "upstream" from phone to service, "downstream" back.
        attributes: All that the type has, or what is read back differs.
        toxicity: The share of connections that it strikes, drawn once for each; the server keeps a 32-bit float.
    """

    type: str
    stream: Stream
    attributes: Mapping[str, int] = field(default_factory=dict)
    toxicity: float = 1.0
