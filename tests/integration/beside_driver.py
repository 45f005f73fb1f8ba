"""Phones that know a way beside the carrier: its faults cannot touch them."""

from __future__ import annotations

from chaos.workload.drivers.http import HttpSession
from chaos.workload.session import FrontDoor


class Beside(HttpSession):
    """The reference driver at the gateway's own port."""

    def __init__(self, front_door: FrontDoor, *, user: str, device: str) -> None:
        host, port = front_door.others["gateway:8080"]
        super().__init__(FrontDoor(host, port), user=user, device=device)
