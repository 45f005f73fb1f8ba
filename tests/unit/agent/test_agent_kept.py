"""Network namespaces that are kept: what counts as left in one."""

from __future__ import annotations

import pytest

from chaos.agent.network import kept
from chaos.agent.network.kept import KeptNamespaces

DNS, WAITS = "tcp 0B00007F:9C2B 00000000:0000 0A", "tcp 0A4212C6:1F90 014212C6:8D86 06"


@pytest.mark.parametrize(
    ("sights", "left"),
    [
        ([{DNS}], ()),
        ([{DNS, WAITS}, {DNS}], ()),
        ([{DNS, WAITS}], (WAITS,)),
        ([set()], (DNS,)),
    ],
    ids=["nothing", "what can be closed", "what cannot be closed", "something is gone"],
)
def test_what_is_not_as_it_was_first_is_closed_or_told(
    sights: list[set[str]], left: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [{DNS}]
    closed: list[int] = []

    def close(pid: int) -> None:
        closed.append(pid)
        now[:] = now[1:] or now

    monkeypatch.setattr(kept, "_seen", lambda pid: frozenset(now[0]))
    monkeypatch.setattr(kept, "_close", close)
    monkeypatch.setattr(kept, "_LOOK_SECONDS", 0.0)
    namespaces = KeptNamespaces()
    assert namespaces.tidy(42) == ()
    now[:] = sights
    assert namespaces.tidy(42) == left
    assert set(closed) == ({42} if sights[0] != {DNS} else set())
