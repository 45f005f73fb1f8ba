"""For the contract tests: golden LUNs of their own, and nothing left after each."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaos.stack.spec import Stack
from tests.contract.stage import Act, Play, scene, stack_of


@pytest.fixture(autouse=True)
def _nothing_is_left(residue_checked: None) -> None:
    """Whatever a test did on the engine, it is gone afterwards."""


@pytest.fixture(scope="session")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A cache folder of the tests' own, so that they push nobody's golden LUNs out."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOLDFAST_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def play(tmp_path: Path) -> Play:
    """Plays a scene on a stack: one service with one LUN unless another is given."""

    def run(act: Act, stack: Stack | None = None) -> None:
        async def play() -> None:
            async with scene(stack or stack_of(), tmp_path) as made:
                await act(made)

        asyncio.run(play())

    return run
