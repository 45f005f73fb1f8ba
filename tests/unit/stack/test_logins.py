"""Who the user is at a registry: files in their order, helpers, and what is not taken for a login."""

from __future__ import annotations

import base64
import json
import stat
from pathlib import Path
from typing import Any

import pytest

from chaos.stack.engine.images import Login
from chaos.stack.images.logins import HUB, ask_helper, files, find_login, login_for, registry_of

SECRET = "pass-phrase-42"


def auth(name: str, password: str = SECRET) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{name}:{password}".encode()).decode()}


def kept(folder: Path, name: str, document: Any) -> Path:
    (folder / name).write_text(document if isinstance(document, str) else json.dumps(document))
    return folder / name


def no_helper(helper: str, registry: str) -> str:
    return f"docker-credential-{helper} is not installed"


def login(image: str, *places: Path, troubles: list[str] | None = None) -> Login | None:
    return find_login(image, list(places), no_helper, [] if troubles is None else troubles)


@pytest.mark.parametrize(
    ("image", "registry"),
    [
        ("postgres:15", "docker.io"),
        ("library/postgres", "docker.io"),
        ("quay.io/a/b@sha256:00", "quay.io"),
        ("localhost/a", "localhost"),
        ("127.0.0.1:5000/a:1", "127.0.0.1:5000"),
        ("registry:5000/a", "registry:5000"),
    ],
)
def test_the_registry_is_the_first_part_of_a_name_that_looks_like_a_host(image: str, registry: str) -> None:
    assert registry_of(image) == registry


@pytest.mark.parametrize("key", ["quay.io", "https://quay.io", "https://quay.io/v2/", "http://quay.io/v1/"])
def test_a_login_is_found_however_its_registry_is_written(tmp_path: Path, key: str) -> None:
    place = kept(tmp_path, "config.json", {"auths": {key: auth("ada")}})
    assert login("quay.io/team/app:1", place) == Login("quay.io", "ada", SECRET)
    assert login("other.io/team/app:1", place) is None


@pytest.mark.parametrize("key", [HUB, "docker.io", "index.docker.io"])
def test_an_image_without_a_registry_is_the_hubs(tmp_path: Path, key: str) -> None:
    assert login("postgres:15", kept(tmp_path, "c", {"auths": {key: auth("ada")}})) == Login(HUB, "ada", SECRET)


def test_a_part_of_a_registry_may_have_a_login_of_its_own(tmp_path: Path) -> None:
    auths = {"quay.io": auth("all"), "quay.io/team": auth("team"), "quay.io/team/app": auth("app")}
    place = kept(tmp_path, "auth.json", {"auths": auths})
    found = [login(f"quay.io/{name}", place) for name in ("team/app:1", "team/other", "else/app")]
    assert [each.username if each else "" for each in found] == ["app", "team", "all"]


def test_the_first_file_that_knows_the_registry_counts(tmp_path: Path) -> None:
    first = kept(tmp_path, "1", {"auths": {"quay.io": {}, "a.io": auth("one")}})
    second = kept(tmp_path, "2", {"auths": {"quay.io": auth("two"), "a.io": auth("two")}})
    found = [login(image, tmp_path / "none", first, second) for image in ("quay.io/x", "a.io/x")]
    assert [each.username if each else "" for each in found] == ["two", "one"]


def test_where_logins_are_looked_for() -> None:
    assert [str(each) for each in files({"HOME": "/h", "XDG_RUNTIME_DIR": "/run/user/7"})] == [
        "/h/.docker/config.json",
        "/run/user/7/containers/auth.json",
        "/h/.config/containers/auth.json",
    ]
    named = files({"HOME": "/h", "DOCKER_CONFIG": "/d", "REGISTRY_AUTH_FILE": "/r.json", "XDG_CONFIG_HOME": "/x"})
    assert [str(each) for each in named[:2]] == ["/r.json", "/d/config.json"]
    assert str(named[3]) == "/x/containers/auth.json"


def test_a_helper_is_asked_for_its_registry_and_else_the_store(tmp_path: Path) -> None:
    document = {"auths": {"a.io": {}}, "credHelpers": {"a.io": "one"}, "credsStore": "two"}
    place, asked = kept(tmp_path, "c", document), list[tuple[str, str]]()

    def ask(helper: str, registry: str) -> tuple[str, str]:
        asked.append((helper, registry))
        return ("ada", SECRET) if helper == "one" else ("<token>", "t0ken")

    assert find_login("a.io/x", [place], ask, []) == Login("a.io", "ada", SECRET)
    assert find_login("postgres", [place], ask, []) == Login(HUB, token="t0ken")
    assert asked == [("one", "a.io"), ("two", HUB)]


def test_a_helper_that_is_not_there_is_told_once_and_the_file_is_read(tmp_path: Path) -> None:
    place = kept(tmp_path, "c", {"auths": {"a.io": auth("ada")}, "credsStore": "desktop"})
    troubles: list[str] = []
    assert login("a.io/x", place, place, troubles=troubles) == Login("a.io", "ada", SECRET)
    login("b.io/x", place, place, troubles=troubles)
    assert troubles == ["docker-credential-desktop is not installed"]


@pytest.mark.parametrize("text", ["", "no json", "[]", '{"auths": []}', '{"auths": {"a.io": {"auth": "%%"}}}'])
def test_a_file_that_is_none_is_no_login(tmp_path: Path, text: str) -> None:
    assert login("a.io/x", kept(tmp_path, "c", text)) is None


def test_a_helper_is_a_program_that_reads_the_registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "docker-credential-own"
    program.write_text(
        "#!/bin/sh\nread registry || true\n"
        '[ "$1 $registry" = "get a.io" ] || { echo "credentials not found in native keychain"; exit 1; }\n'
        'echo "{\\"ServerURL\\": \\"a.io\\", \\"Username\\": \\"ada\\", \\"Secret\\": \\"s\\"}"\n'
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert ask_helper("own", "a.io") == ("ada", "s")
    assert ask_helper("own", "b.io") == ""
    assert ask_helper("none", "a.io") == "docker-credential-none is not installed"
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    kept(tmp_path, "config.json", {"credHelpers": {"a.io": "own"}})
    assert login_for("a.io/x:1") == Login("a.io", "ada", "s")


def test_no_login_shows_its_secret() -> None:
    assert SECRET not in repr(Login("a.io", "ada", SECRET, SECRET))
