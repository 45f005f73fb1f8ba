"""From a folder with nothing but a Compose file to a verdict: `holdfast new`, then `holdfast run`."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos.errors import EXIT_HELD
from chaos.experiment.drivers import known_drivers
from tests.integration.command import holdfast
from tests.integration.plans import ROOT

pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif("postgresql" not in known_drivers(), reason="there is no driver for PostgreSQL"),
]
COMPOSE = f"""\
services:
  db:
    build: {ROOT}/fixtures/images/postgres
    command: postgres -c shared_buffers=32MB
    environment: {{POSTGRES_USER: notes, POSTGRES_PASSWORD: "${{SECRET}}"}}
    volumes: ["pgdata:/var/lib/postgresql/data"]
volumes: {{pgdata: {{}}}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "compose.yaml").write_text(COMPOSE)
    (tmp_path / ".env").write_text("SECRET=0123\n")
    return tmp_path


def test_two_commands_lead_from_a_compose_file_of_a_database_to_a_verdict(folder: Path) -> None:
    written = holdfast("new", "--json", cwd=folder)
    assert written.code == EXIT_HELD, written.stderr
    assert (written.document["hindrance"], written.document["warnings"]) == ("", [])
    validated = holdfast("validate", "experiments", "--json", cwd=folder)
    assert validated.code == EXIT_HELD, validated.stderr
    assert [each["warnings"] for each in validated.document["files"]] == [[], [], []]
    outcome = holdfast("run", "experiments/power_cut.yaml", "--json", cwd=folder)
    assert outcome.code == EXIT_HELD, outcome.document["reason"]
