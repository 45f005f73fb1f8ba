"""Values of the stack's environment, secrets and build arguments: never printed, never stored."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from chaos.errors import EXIT_HARNESS, EXIT_HELD
from chaos.experiment.loader import write_plan
from chaos.experiment.plan import Trigger
from chaos.stack.cache import cache_folder
from tests.integration.command import Outcome, holdfast
from tests.integration.plans import GATEWAY, MINIMAL, plan_of, strike

pytestmark = pytest.mark.engine
IN_THE_ENVIRONMENT = "planted-Envir0nment"
IN_AN_ENV_FILE = "planted-EnvF1le"
IN_A_FILE = "planted-S3cretFile"
IN_A_BUILD = "planted-Bu1ldArgument"
PLANTED = [text.encode() for text in (IN_THE_ENVIRONMENT, IN_AN_ENV_FILE, IN_A_FILE, IN_A_BUILD)]
TEXT_BYTES_MAX = 50 << 20
OVERLAY = """\
services:
  db:
    environment: {{POSTGRES_PASSWORD: "${{PLANTED}}"}}
  gateway:
    build:
      context: {context}
      args: {{TOKEN: "${{PLANTED_IN_BUILD}}"}}
    environment: {{API_TOKEN: "${{PLANTED}}"}}
    env_file: [{folder}/gateway.env]
    secrets: [token]
{command}
secrets: {{token: {{file: {folder}/token.txt}}}}
"""


def planted(folder: Path, command: str = "") -> Path:
    """A plan on the minimal stack with a secret in every place where secrets are kept."""
    (folder / "gateway.env").write_text(f"OTHER_TOKEN={IN_AN_ENV_FILE}\n")
    (folder / "token.txt").write_text(IN_A_FILE)
    context = folder / "gateway"
    context.mkdir()
    for file in MINIMAL.parent.joinpath("gateway").iterdir():
        if file.is_file():
            (context / file.name).write_bytes(file.read_bytes())
    with (context / "Dockerfile").open("a") as recipe:
        recipe.write('ARG TOKEN\nRUN test -n "$TOKEN" && echo "using $TOKEN"\n')
    over = folder / "over.yaml"
    over.write_text(OVERLAY.format(folder=folder, context=context, command=command))
    path = folder / "plan.yaml"
    write_plan(plan_of(strike("process.kill", GATEWAY, Trigger(acknowledged=60), 0.5), stack=(MINIMAL, over)), path)
    return path


def run(path: Path, *arguments: str, cwd: Path) -> Outcome:
    environment = {"PLANTED": IN_THE_ENVIRONMENT, "PLANTED_IN_BUILD": IN_A_BUILD}
    return holdfast(*arguments[:1], path, *arguments[1:], cwd=cwd, environment=environment)


def told(outcome: Outcome) -> bytes:
    return (outcome.stdout + outcome.stderr).encode()


def kept(folder: Path) -> Iterator[Path]:
    """Files that may hold text; disks, and base images that were made before there was a stack, are not text."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink() and path.suffix not in {".img", ".tar"}:
            assert path.stat().st_size < TEXT_BYTES_MAX
            yield path


def leaks(folder: Path) -> list[str]:
    return [f"{path}: {word.decode()}" for path in kept(folder) for word in PLANTED if word in path.read_bytes()]


def test_a_planted_secret_is_in_no_output_and_in_no_file_of_a_run(tmp_path: Path) -> None:
    path = planted(tmp_path)
    cwd = tmp_path / "here"
    cwd.mkdir()
    outcomes = [
        run(path, "validate", cwd=cwd),
        run(path, "validate", "--json", cwd=cwd),
        run(path, "run", "--json", cwd=cwd),
    ]
    assert outcomes[-1].code == EXIT_HELD, outcomes[-1].stderr
    folder = cwd / outcomes[-1].document["run_dir"]
    outcomes.append(holdfast("check", folder, cwd=cwd))
    outcomes.append(run(folder / "plan.yaml", "run", "--json", cwd=cwd))
    assert outcomes[-1].code == EXIT_HELD, outcomes[-1].stderr
    assert "warning" not in outcomes[-1].stderr
    for outcome in outcomes:
        assert not [word for word in PLANTED if word in told(outcome)]
    assert (folder / "plan.yaml").exists()
    assert not leaks(cwd)
    assert not leaks(cache_folder())


def test_a_planted_secret_is_not_in_the_message_of_a_build_that_fails(tmp_path: Path) -> None:
    path = planted(tmp_path)
    with (tmp_path / "gateway" / "Dockerfile").open("a") as recipe:
        recipe.write('RUN echo "no licence for $TOKEN" && exit 3\n')
    outcome = run(path, "run", "--json", cwd=tmp_path)
    assert outcome.code == EXIT_HARNESS
    assert "no licence for ***" in outcome.document["reason"]
    assert not [word for word in PLANTED if word in told(outcome)]
    assert not leaks(tmp_path / "reports")


def test_what_a_service_itself_says_of_its_secrets_is_blanked_out(tmp_path: Path) -> None:
    speak = 'echo "$API_TOKEN $OTHER_TOKEN $(cat /run/secrets/token)" >&2; exit 7'
    path = planted(tmp_path, command=f"    command: [sh, -c, '{speak.replace('$', '$$')}']")
    outcome = run(path, "run", "--json", cwd=tmp_path)
    assert outcome.code == EXIT_HARNESS
    assert "gateway ended with code 7" in outcome.document["reason"]
    assert not [word for word in PLANTED if word in told(outcome)]
    assert not leaks(tmp_path / "reports")
