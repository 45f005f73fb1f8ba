"""Findings without an engine, and from a probe's answers."""

from __future__ import annotations

import shutil
from collections import namedtuple
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import docker
import docker.errors
import pytest
import requests

from chaos.doctor import inside, probes
from chaos.doctor.diagnosis import Finding
from chaos.errors import EngineError, HarnessError, ImageError

Usage = namedtuple("Usage", "total used free")


@pytest.fixture(autouse=True)
def _no_engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    monkeypatch.setenv("HOLDFAST_CACHE", str(tmp_path / "cache"))


def answering(monkeypatch: pytest.MonkeyPatch, answers: Mapping[str, object]) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr(probes, "_on_host", lambda: answers)


def by_name(findings: tuple[Finding, ...]) -> dict[str, Finding]:
    return {finding.name: finding for finding in findings}


def test_a_missing_engine_is_a_gap_and_the_rest_is_looked_at_all_the_same(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    answering(monkeypatch, dict.fromkeys(probes.MECHANISMS, ""))
    seen = probes.examine()
    findings = by_name(seen.findings)
    assert seen.exit_code == 3
    assert seen.missing == ("engine",)
    assert findings["engine"].state == "gap"
    assert "holdfast doctor --fix" in findings["engine"].remedy
    assert findings["cache folder"].value == str(tmp_path / "cache")
    assert all(findings[name].state == "ok" for name in probes.MECHANISMS)


def test_a_mechanism_that_does_not_work_or_was_not_answered_is_a_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = dict.fromkeys(probes.MECHANISMS, "") | {"netem": "No such file or directory"}
    del answers["xfs"]
    answering(monkeypatch, answers)
    findings = by_name(probes.examine().findings)
    assert findings["netem"].value == "No such file or directory, tried on the host"
    assert "modprobe sch_netem" in findings["netem"].remedy
    assert findings["xfs"].state == "gap"


def test_nobody_without_privileges_is_told_that_something_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    findings = by_name(probes.examine().findings)
    assert findings["loop"].state == "info"
    assert "sudo holdfast doctor --fix" in findings["engine"].remedy


def test_an_engine_that_may_not_be_used_is_told_with_the_way_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbid(*_: object) -> None:
        raise EngineError("Permission denied", is_forbidden=True)

    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr(probes, "reach", forbid)
    engine = by_name(probes.examine().findings)["engine"]
    assert (engine.state, engine.remedy) == ("gap", "join the group of its socket, or run `sudo holdfast`")


def test_a_probe_that_cannot_start_is_a_gap_of_all_that_it_would_have_tried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse() -> Mapping[str, object]:
        raise HarnessError("Operation not permitted")

    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr(probes, "_on_host", refuse)
    findings = by_name(probes.examine().findings)
    assert findings["loop"].value == "the probe cannot start: Operation not permitted"


def test_a_full_disk_is_a_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, {})
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(100, 99, 1 << 20))
    space = by_name(probes.examine().findings)["disk space"]
    assert space.state == "gap"
    assert space.value.startswith("0.0 GiB free at ")
    assert "holdfast clean --all" in space.remedy


def test_the_script_that_runs_inside_answers_for_every_mechanism_shown() -> None:
    assert set(inside.PROBES) == set(probes.MECHANISMS)


class Registry:
    """An engine whose registry answers with this error, or has the image."""

    def __init__(self, status: int) -> None:
        self.api = self
        self.status = status

    def inspect_distribution(self, image: str) -> None:
        if self.status:
            raise docker.errors.create_api_error_from_http_exception(_refusal(self.status))


def _refusal(status: int) -> requests.exceptions.HTTPError:
    answer = requests.Response()
    answer.status_code, answer._content = status, b'{"message": "no such host"}'
    return requests.exceptions.HTTPError(response=answer)


@pytest.mark.parametrize(("status", "state"), [(0, "ok"), (404, "info"), (500, "gap")])
def test_the_registry_is_asked_where_nothing_else_has_toxiproxy(
    status: int, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probes, "find_server", lambda client: "")
    finding = probes._toxiproxy(cast(docker.DockerClient, Registry(status)))
    assert finding.state == state
    if state == "gap":
        assert "no such host" in finding.value
        assert "docker load" in finding.remedy


def test_a_toxiproxy_at_hand_is_named_and_one_that_is_named_in_vain_is_a_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    nobody = cast(docker.DockerClient, Registry(500))
    monkeypatch.setattr(probes, "find_server", lambda client: "go can build it")
    assert probes._toxiproxy(nobody) == Finding("toxiproxy", "ok", "go can build it")

    def in_vain(client: object) -> str:
        raise ImageError("HOLDFAST_TOXIPROXY names /nope")

    monkeypatch.setattr(probes, "find_server", in_vain)
    assert probes._toxiproxy(nobody).state == "gap"


def test_a_mechanism_that_another_run_was_in_the_way_of_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    fine = dict.fromkeys(probes.MECHANISMS, "")
    answers = [{**fine, "loop": "Device or resource busy"}, {**fine, "netem": "not here"}, fine]
    monkeypatch.setattr(probes, "_in_engine", lambda client, image: answers.pop(0))
    found = probes._tried(cast(Any, None), cast(Any, None))
    assert (found["loop"], len(answers)) == ("", 1), "what only some faults need is not waited for"
