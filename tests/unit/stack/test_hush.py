from __future__ import annotations

from pathlib import Path

from chaos.stack.hush import Hush
from chaos.stack.spec import Service, Stack


def hush(tmp_path: Path) -> Hush:
    (tmp_path / "token.txt").write_text("from-a-file\n")
    gateway = Service(
        "gateway",
        environment={"PASSWORD": "swordfish", "LONGER": "swordfish-2", "MODE": "on"},
        secrets={"token": tmp_path / "token.txt", "gone": tmp_path / "gone.txt"},
    )
    return Hush(Stack("s", tmp_path / "compose.yaml", {"gateway": gateway}, {}, (), ("gateway", 80)))


def test_values_of_the_environment_and_of_secrets_are_blanked_out(tmp_path: Path) -> None:
    assert hush(tmp_path)(b"login swordfish with from-a-file") == b"login *** with ***"


def test_a_value_that_begins_with_another_leaves_nothing_of_itself(tmp_path: Path) -> None:
    assert hush(tmp_path)(b"swordfish-2") == b"***"


def test_short_values_stay_since_no_log_could_be_read_without_them(tmp_path: Path) -> None:
    assert hush(tmp_path)(b"the light is on") == b"the light is on"
