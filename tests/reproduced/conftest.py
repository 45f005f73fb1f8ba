"""A reproduced bug must lose records in its own way: VIOLATED for another reason would be another bug."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from chaos.testing.items import ExperimentItem

CLASS = {
    "acknowledged-before-commit": "lost",
    "cursor-from-a-sequence": "lost-on-node",
    "photo-not-synced": "dangling-blob",
    "retry-without-a-key": "duplicated",
    "2009-one-array-for-everything": "lost",
}
"""By folder, the anomaly that its README promises."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    yield
    if isinstance(item, ExperimentItem):
        judgement = item.result.judgement
        assert judgement is not None
        assert CLASS[item.path.parent.name] in judgement.anomalies, dict(judgement.anomalies)
