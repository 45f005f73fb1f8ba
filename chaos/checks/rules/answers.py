"""All that the answers of the load prove, whatever the final reads show: `stale`, `vanished`, `dangling-in-load`."""

from __future__ import annotations

from chaos.checks.rules.logical import Rollback
from chaos.checks.rules.references import dangling_in_load
from chaos.checks.rules.sessions import session_anomalies
from chaos.history.model import History, RecordId


def anomalies_of_answers(history: History, rollback: Rollback | None = None) -> set[tuple[RecordId, str]]:
    """The anomalies that reads of the load prove, as (record, class of `OF_SESSIONS`)."""
    return session_anomalies(history, rollback) | dangling_in_load(history, rollback)
