from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest

from chaos.errors import Terminated, UsageError
from chaos.workload import drivers
from chaos.workload.drivers import load_doors, load_driver
from chaos.workload.drivers.copies import BlobDoor, ReplicaDoor
from chaos.workload.drivers.http import HttpSession
from chaos.workload.records import make
from chaos.workload.session import FrontDoor

GOOD = """
class Good:
    def __init__(self, front_door, *, user, device): pass
    async def put(self, record, base, key): pass
    async def delete(self, name, base, key): pass
    async def changes(self, cursor): pass
    async def everything(self): pass
    async def close(self): pass
"""


def test_http_is_built_in() -> None:
    assert load_driver("http") is HttpSession


def test_a_driver_is_found_in_the_users_own_folder(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(GOOD)
    assert load_driver("mine:Good", tmp_path).__name__ == "Good"


def test_two_folders_may_each_have_a_module_of_one_name(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "same.py").write_text(f"FROM = {folder!r}\n{GOOD}")
    one, two = (load_driver("same:Good", tmp_path / folder) for folder in ("one", "two"))
    assert Path(one.__init__.__code__.co_filename).parent.name == "one"
    assert Path(two.__init__.__code__.co_filename).parent.name == "two"


def test_what_drivers_of_two_folders_import_beside_them_is_their_own(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder / "package").mkdir(parents=True)
        (tmp_path / folder / "package" / "__init__.py").write_text("")
        (tmp_path / folder / "package" / "part.py").write_text(f"PART = {folder!r}\n")
        (tmp_path / folder / "helper.py").write_text(f"NAME = {folder!r}\n")
        (tmp_path / folder / f"driver_{folder}.py").write_text(
            f"import json\nfrom helper import NAME\nfrom package.part import PART\n{GOOD}    home = NAME, PART, json\n"
        )
    for folder in ("one", "two", "one"):
        home: Any = load_driver(f"driver_{folder}:Good", tmp_path / folder).home  # type: ignore[attr-defined]
        assert home == (folder, folder, json)


def test_everything_that_a_driver_lacks_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "poor.py").write_text(
        "class Poor:\n"
        "    def __init__(self, host): pass\n"
        "    def put(self, record, base, key): pass\n"
        "    async def delete(self, name): pass\n"
        "    async def changes(self, cursor): pass\n"
    )
    with pytest.raises(UsageError) as caught:
        load_driver("poor:Poor", tmp_path)
    text = str(caught.value)
    for problem in (
        "__init__ does not take (front_door, *, user, device)",
        "put is not `async def`",
        "delete does not take 3 arguments",
        "everything is missing",
        "close is missing",
        "holdfast docs drivers",
    ):
        assert problem in text


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("htttp", "unknown driver 'htttp'"),
        ("no_such_module_anywhere:Driver", "cannot be imported"),
        ("json:Driver", "module json has no class Driver"),
        (":", "unknown driver"),
    ],
)
def test_a_driver_that_is_not_there_is_a_usage_error_with_its_name(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load_driver(name)


def test_an_error_inside_the_users_module_is_shown(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("import no_such_library\n")
    with pytest.raises(UsageError, match=r"cannot be imported in .*no_such_library"):
        load_driver("broken:Driver", tmp_path)


def test_a_module_that_exits_when_it_is_imported_is_no_driver(tmp_path: Path) -> None:
    (tmp_path / "leaves.py").write_text("raise SystemExit(7)\n")
    with pytest.raises(UsageError, match=r"cannot be imported in .*SystemExit: 7"):
        load_driver("leaves:Driver", tmp_path)


@pytest.mark.parametrize("ends", [KeyboardInterrupt, Terminated])
def test_who_ends_the_command_while_a_driver_is_imported_ends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ends: type[BaseException]
) -> None:
    def ended(*given: object) -> object:
        raise ends

    monkeypatch.setattr(drivers, "_import", ended)
    with pytest.raises(ends):
        load_driver("any:Driver", tmp_path)


def test_the_doors_of_a_driver_are_classes_by_kind() -> None:
    assert load_doors(load_driver("http"), ["blobs", "replica"]) == {"blobs": BlobDoor, "replica": ReplicaDoor}


def test_a_driver_without_further_doors_needs_none_where_none_is_asked_for() -> None:
    folder = Path(__file__).parents[3] / "experiments" / "plain_postgres"
    plain = load_driver("driver:PlainPostgres", folder)
    assert load_doors(plain, []) == {}
    with pytest.raises(UsageError, match="PlainPostgres has no door of kind 'replica'; it has none"):
        load_doors(plain, ["replica"])


def test_doors_whose_library_is_missing_are_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "no_library.py").write_text(
        "from chaos.workload.drivers.http import HttpSession\n"
        "class Mine(HttpSession):\n"
        "    doors = {'replica': 'no_such_library:Door', 'blobs': 'json:Door'}\n"
    )
    mine = load_driver("no_library:Mine", tmp_path)
    with pytest.raises(UsageError, match="door 'replica' of Mine: No module named 'no_such_library'"):
        load_doors(mine, ["replica"])
    with pytest.raises(UsageError, match="door 'blobs' of Mine: module 'json' has no attribute 'Door'"):
        load_doors(mine, ["blobs"])


def test_the_driver_of_plain_postgres_is_one() -> None:
    folder = Path(__file__).parents[3] / "experiments" / "plain_postgres"
    assert load_driver("driver:PlainPostgres", folder).__name__ == "PlainPostgres"


@pytest.mark.parametrize(("number", "name"), [(0, "Table"), (1, "Notes")])
def test_an_example_in_the_guide_is_a_driver(number: int, name: str, tmp_path: Path) -> None:
    guide = (Path(__file__).parents[3] / "docs" / "drivers.md").read_text()
    (tmp_path / "guide_example.py").write_text(re.findall(r"^```python\n(.*?)^```", guide, re.M | re.S)[number])
    assert load_driver(f"guide_example:{name}", tmp_path).__name__ == name


def test_the_driver_of_plain_postgres_drops_a_link_on_which_an_attempt_was_given_up() -> None:
    """One that is cancelled at its BEGIN would take later transactions for parts of one that nobody commits."""
    folder = Path(__file__).parents[3] / "experiments" / "plain_postgres"

    class Link:
        terminated = False

        def transaction(self) -> Link:
            return self

        async def __aenter__(self) -> None:
            await asyncio.Event().wait()

        async def __aexit__(self, *_: object) -> None:
            raise AssertionError("it never began")

        def is_closed(self) -> bool:
            return self.terminated

        def terminate(self) -> None:
            self.terminated = True

    async def act() -> bool:
        session: Any = load_driver("driver:PlainPostgres", folder)(FrontDoor("127.0.0.1", 1), user="u", device="d")
        session._link = link = Link()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(session.put(make("u", "r-1", "w-1", "contact"), None, "k-1"), 0.01)
        return link.terminated

    assert asyncio.run(act())
