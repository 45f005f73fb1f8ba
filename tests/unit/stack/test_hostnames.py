"""Host names: a stated one always, else one by chance that looks like a container's id."""

from __future__ import annotations

import re
from pathlib import Path

from chaos.stack.live.hostnames import Hostnames
from chaos.stack.spec import Service, Stack

SERVICES = {"db": Service("db"), "cache": Service("cache"), "web": Service("web", hostname="www")}
STACK = Stack("unit", Path("compose.yaml"), SERVICES, {}, (), ("web", 80))


def test_a_service_that_states_no_host_name_has_one_by_chance() -> None:
    names = Hostnames(STACK)
    assert names["web"] == "www"
    assert re.fullmatch(r"[0-9a-f]{12}", names["db"])
    assert len({names["db"], names["cache"], Hostnames(STACK)["db"]}) == 3


def test_only_who_is_made_anew_has_another_one_and_what_is_kept_with_golden_luns_comes_back() -> None:
    names = Hostnames(STACK)
    kept, before = dict(names.drawn), {name: names[name] for name in SERVICES}
    names.draw(["db", "web"])
    assert [names[name] == before[name] for name in SERVICES] == [False, True, True]
    names.take(kept)
    assert {name: names[name] for name in SERVICES} == before
