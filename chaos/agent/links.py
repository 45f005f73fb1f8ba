"""The links of a container: one nftables table of ours in its network namespace, replaced as a whole."""

from __future__ import annotations

import json
import os
import subprocess

TABLE = "holdfast"
_SECONDS_MAX = 10


def apply_baseline(pid: int, subnet: str) -> None:
    """Let the container speak with its own run's subnet and with itself, and with nobody else.

    Raises:
        OSError: nft refused; its message is in the error.
    """
    table = {"family": "inet", "name": TABLE}
    rules = [
        [_match({"meta": {"key": "oifname"}}, "lo"), {"accept": None}],
        [_match({"payload": {"protocol": "ip", "field": "daddr"}}, _prefix(subnet)), {"accept": None}],
        [{"counter": None}, {"drop": None}],
    ]
    chain = {
        **table,
        "table": TABLE,
        "name": "out",
        "type": "filter",
        "hook": "output",
        "prio": 0,
        "policy": "accept",
    }
    commands: list[object] = [
        {"add": {"table": table}},
        {"delete": {"table": table}},
        {"add": {"table": table}},
    ]
    commands.append({"add": {"chain": chain}})
    commands += [
        {"add": {"rule": {"family": "inet", "table": TABLE, "chain": "out", "expr": expression}}}
        for expression in rules
    ]
    done = subprocess.run(
        ["nsenter", f"--net=/proc/{pid}/ns/net", "nft", "-j", "-f", "-"],
        input=json.dumps({"nftables": commands}).encode(),
        capture_output=True,
        timeout=_SECONDS_MAX,
        check=False,
    )
    if done.returncode and os.path.exists(f"/proc/{pid}"):
        raise OSError(f"nft in the namespace of pid {pid}: {done.stderr.decode(errors='replace').strip()}")


def _match(left: object, right: object) -> object:
    return {"match": {"op": "==", "left": left, "right": right}}


def _prefix(subnet: str) -> object:
    address, length = subnet.split("/")
    return {"prefix": {"addr": address, "len": int(length)}}
