"""For the contract tests: golden LUNs of their own, and nothing left after each."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _nothing_is_left(residue_checked: None) -> None:
    """Whatever a test did on the engine, it is gone afterwards."""


@pytest.fixture(scope="session")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A cache folder of the tests' own, so that they push nobody's golden LUNs out."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOLDFAST_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield
