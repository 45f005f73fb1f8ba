"""The loader held against the answers of Compose's own loader, which `compose_cases/record.go` records anew."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chaos.errors import UsageError
from chaos.stack.compose import load_stack
from chaos.stack.spec import Stack

Case = Mapping[str, Any]
CASES: list[Case] = json.loads((Path(__file__).parent / "compose_cases/cases.json").read_text())
CHAOS = 'x-chaos: {front_door: "web:%s"}\n'

ONLY_COMPOSE = {
    "build-url": "a build context that is a URL",
    "sock": "the engine's socket",
    "secrets-external": "external secrets and configs",
    "secrets-missing-variable": "a variable that a secret is made of and that is not set",
    "volume-image": "`type: image`",
    "network-mode-service": "`network_mode` other than bridge and none",
    "volume-target-relative": "a target that is no absolute path",
}
"""What Compose's loader accepts and Holdfast refuses, as docs/compose.md calls it."""
ONLY_HOLDFAST = {
    "env_file-format": "`format: raw`",
    "depends-unknown-optional": "`required: false`",
    "command-number": "a number in a list of words",
}
OTHERWISE = {
    **dict.fromkeys(
        ("same-target", "vol-nocopy-short", "volume-name", "volume-driver_opts-empty", "volume-external-false"),
        "a volume with a name of one letter",
    ),
    "compose-profiles": "`COMPOSE_PROFILES`",
    "profile-empty": "`COMPOSE_PROFILES`",
    "date": "a date, or a number with `_` or `0b`, without quotes",
}
"""What both accept and read differently."""
DOCUMENTED = {**ONLY_COMPOSE, **ONLY_HOLDFAST, **OTHERWISE}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    made = tmp_path / "home"
    made.mkdir()
    monkeypatch.setenv("HOME", str(made))
    return made


def stack_of(case: Case, folder: Path, home: Path, *, canonical: bool = False) -> Stack:
    """The case as it stands, or what Compose makes of it as `docker compose config` prints it."""
    files = {**case["files"], "c.yaml": case["compose"]}
    if canonical:
        text = str(case["canonical"]).replace("FOLDER", str(folder)).replace("HOME", str(home))
        files["c.yaml"] = text.replace("$", "$$")
    files["x.yaml"] = CHAOS % ("8000" if case["name"] == "port-range" else "80")
    files |= {".env": case["dotenv"]} if case["dotenv"] is not None else {}
    files |= {"overlay.yaml": case["overlay"]} if case["overlay"] and not canonical else {}
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(text.encode())
    named = [folder / name for name in ("c.yaml", "x.yaml", "overlay.yaml") if name in files]
    environment = {"HOME": str(home), "COMPOSE_PROJECT_NAME": "oracle", **case["environment"]}
    return load_stack(named, {}, case["profiles"], environment)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_what_compose_accepts_is_accepted_and_nothing_else(case: Case, tmp_path: Path, home: Path) -> None:
    expected = case["name"] in ONLY_HOLDFAST or (case["accepted_by_compose"] and case["name"] not in ONLY_COMPOSE)
    try:
        stack_of(case, tmp_path, home)
        accepted, said = True, ""
    except UsageError as error:
        accepted, said = False, str(error)
    assert accepted == expected, said or case["refusal"]


@pytest.mark.parametrize(
    "case",
    [case for case in CASES if case["accepted_by_compose"] and case["name"] not in {**ONLY_COMPOSE, **OTHERWISE}],
    ids=lambda case: case["name"],
)
def test_the_flattened_form_means_the_same_stack(case: Case, tmp_path: Path, home: Path) -> None:
    as_it_stands = stack_of(case, tmp_path, home)
    flattened = stack_of(case, tmp_path, home, canonical=True)
    services = {name: flattened.services[name] for name in as_it_stands.services}  # Compose sorts them by name
    assert replace(flattened, services=services, notes=(), unsafe=()) == replace(
        as_it_stands, notes=(), unsafe=(), unset=()
    )


@pytest.mark.parametrize("words", sorted(set(DOCUMENTED.values())))
def test_what_is_read_otherwise_than_by_compose_stands_in_the_documentation(words: str) -> None:
    page = (Path(__file__).parents[3] / "docs/compose.md").read_text()
    section = page.partition("## Read otherwise than by Compose")[2].partition("## `x-chaos`")[0]
    assert words in " ".join(section.split())


@pytest.mark.parametrize("name", sorted(DOCUMENTED))
def test_an_exception_is_a_recorded_case(name: str) -> None:
    assert name in {case["name"] for case in CASES}
