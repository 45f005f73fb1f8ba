"""What Compose has and Holdfast does not honour: by key, what is refused and what is read over, with the reason.

Refused is only what would make a verdict wrong or touch the host, in services that are switched on, and with a value
that changes anything. What has no meaning in a trial is read over with one warning a key.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from chaos.errors import Problem
from chaos.experiment.source import Items, Loc, Node, Scalar, Table
from chaos.stack.compose.reading.canonical import text_of

_ONE_BRIDGE = "all services share the run's one bridge, and reach nothing outside it"
_OF_THE_HOST = "a run touches nothing of the host"
_AS_ROOT = "a build may do what a build may; build the image yourself and name it under image"
_NOT_LOADED = "remove it; `holdfast docs compose` lists what is loaded"
_LOGS = "every container's log is kept in the run's folder"
_NO_LIMIT = "limits hold, reservations and weights do not"
_HOST_BUILD = "images are built with the engine's own settings"
_FILE = "the file is mounted as it is"
_OWN_NAMESPACE = "it is the container's own: it sees nothing of the host, and nothing of other services"
_SWARM = "there is one copy of the service, on one engine"
_MEANINGLESS = "it has no meaning in a trial"
_OF_THE_RUN = "a volume belongs to the run and begins blank"


def _all(names: str, reason: str) -> dict[str, str]:
    return dict.fromkeys(names.split(), reason)


REFUSED: Mapping[str, Mapping[str, str]] = {
    "service": {
        "privileged": f"{_OF_THE_HOST}; name the capabilities that it needs under cap_add",
        "devices": "a block device is a LUN: see x-chaos.arrays",
        "network_mode": _ONE_BRIDGE,
        **_all("device_cgroup_rules gpus use_api_socket", _OF_THE_HOST),
        **_all("pid ipc uts cgroup", "a container has these for itself"),
        **_all("runtime isolation credential_spec", "containers run as the engine runs them"),
        **_all("pre_start post_start pre_stop provider models", _NOT_LOADED),
    },
    "build": _all("entitlements privileged", _AS_ROOT),
    "reservations": _all("devices generic_resources", _OF_THE_HOST),
    "file": _all("jobs", _NOT_LOADED),
}
"""By where the key stands, by key."""

READ_OVER: Mapping[str, Mapping[str, str]] = {
    "file": _all("models", _MEANINGLESS),
    "service": {
        "logging": _LOGS,
        "pull_policy": "an image is pulled where the engine has none",
        **_all("dns dns_search dns_opt external_links mac_address", _ONE_BRIDGE),
        **_all("mem_reservation cpu_count cpu_percent cpu_rt_period cpu_rt_runtime blkio_config", _NO_LIMIT),
        **_all("cgroup_parent userns_mode storage_opt", "containers are placed by the run"),
    },
    "build": {
        **_all("cache_from cache_to no_cache no_cache_filter pull tags provenance sbom", _HOST_BUILD),
        **_all("isolation ulimits platforms shm_size extra_hosts network", _HOST_BUILD),
    },
    "deploy": _all("endpoint_mode placement rollback_config update_config", _SWARM),
    "reservations": _all("cpus memory", _NO_LIMIT),
    "restart_policy": _all("delay window", "the pause grows as the engine's own does"),
    "healthcheck": {"start_interval": "the check is asked while somebody waits for it"},
    "depends_on": {"restart": "a service is restarted by its own policy"},
    "volume": _all("labels", _MEANINGLESS),
    "bind": _all("propagation", "mounts are the container's own"),
    "networks": _all(
        "ipv4_address ipv6_address link_local_ips mac_address priority gw_priority driver_opts interface_name",
        _ONE_BRIDGE,
    ),
    "secrets": _all("uid gid mode", _FILE),
    "configs": _all("uid gid mode", _FILE),
    "top volumes": _all("external driver driver_opts", _OF_THE_RUN),
    "top networks": _all("external driver driver_opts ipam internal attachable enable_ipv4 enable_ipv6", _ONE_BRIDGE),
    "top secrets": _all("driver driver_opts template_driver", _MEANINGLESS),
    "top configs": _all("template_driver", _MEANINGLESS),
}

SILENT: Mapping[str, Collection[str]] = {
    "service": ("labels", "label_file", "annotations", "attach", "develop", "expose", "pull_refresh_after"),
    "build": ("labels",),
    "deploy": ("labels", "mode"),
    "ports": ("name", "app_protocol", "mode"),
    "volumes": ("consistency",),
    "bind": ("selinux", "recursive"),
    "top volumes": ("name", "labels"),
    "top networks": ("name", "labels"),
    "top secrets": ("name", "labels"),
    "top configs": ("name", "labels"),
}
"""What changes nothing at all."""

_HARMLESS: Mapping[str, Collection[str]] = {
    "network_mode": ("bridge", "default", "none"),
    "runtime": ("runc",),
    "isolation": ("default",),
    "ipc": ("private", "shareable", "none"),
    "cgroup": ("private",),
    "userns_mode": ("host",),
    "driver": ("local", "bridge"),
    "pull_policy": ("missing", "if_not_present", "build"),
    "mode": ("replicated",),
    "endpoint_mode": ("vip",),
    "propagation": ("rprivate", "private"),
    "mem_swappiness": ("-1",),
    "enable_ipv4": ("true",),
}
"""Values that are the engine's own defaults; no value, false, 0 and nothing at all are harmless everywhere."""
NAMESPACES = ("pid", "ipc", "uts", "cgroup")
"""Where the host's, and that of another service, is read over: without it a service runs on, and sees less."""
OF_A_SERVICE = "service:"
_NOTHING = frozenset({"", "false", "no", "n", "off", "0"})


@dataclass(frozen=True)
class Sifted:
    """A tree of what is honoured, with what was told about the rest."""

    root: Node
    notes: tuple[str, ...]
    problems: tuple[Problem, ...]


def sift(root: Node, active: Collection[str]) -> Sifted:
    """Take what is not honoured out of a merged tree in canonical form."""
    sieve = _Sieve(active)
    return Sifted(sieve.sifted(root, ()), sieve.told(), tuple(sieve.problems))


def known_keys(loc: Loc) -> list[str]:
    """The keys that Compose knows beside those that are honoured, at the mapping at `loc`."""
    where = _where(loc)
    return [*REFUSED.get(where, ()), *READ_OVER.get(where, ()), *SILENT.get(where, ())]


class _Sieve:
    def __init__(self, active: Collection[str]) -> None:
        self.problems: list[Problem] = []
        self._active = active
        self._notes: dict[tuple[str, str], dict[str, None]] = {}

    def told(self) -> tuple[str, ...]:
        return tuple(
            f"{key} is read over ({', '.join(who)}): {reason}" if any(who) else f"{key} is read over: {reason}"
            for (key, reason), who in self._notes.items()
        )

    def sifted(self, node: Node, loc: Loc) -> Node:
        if loc and loc[0] == "x-chaos":
            return node
        if isinstance(node, Items):
            items = [self.sifted(item, (*loc, i)) for i, item in enumerate(node.items)]
            return replace(node, items=tuple(items))
        if not isinstance(node, Table):
            return node
        where = _where(loc)
        refused, over, silent = REFUSED.get(where, {}), READ_OVER.get(where, {}), SILENT.get(where, ())
        entries = {}
        for key, (place, item) in node.entries.items():
            if key in NAMESPACES and ((text := text_of(item) or "") == "host" or text.startswith(OF_A_SERVICE)):
                if self._counts(loc):
                    self._note((*loc, key), _OWN_NAMESPACE)
            elif where == "top networks" and key in ("name", "driver") and text_of(item) == "host":
                self.problems.append(place.problem("the host's network is not supported", _ONE_BRIDGE))
            elif key in refused or key in over:
                if not _is_harmless(key, item) and self._counts(loc):
                    if key in refused:
                        self.problems.append(place.problem(f"{key} is not supported", refused[key]))
                    else:
                        self._note((*loc, key), over[key])
            elif key not in silent:
                entries[key] = (place, self.sifted(item, (*loc, key)))
        return replace(node, entries=entries)

    def _counts(self, loc: Loc) -> bool:
        """Whether this stands in a service that is switched on, or in none."""
        return len(loc) < 2 or loc[0] != "services" or loc[1] in self._active

    def _note(self, loc: Loc, reason: str) -> None:
        names = [str(step) for step in loc if isinstance(step, str)]
        key = ".".join(names[2:]) if len(names) > 2 else names[-1]
        if names[0] in ("networks", "volumes", "configs", "secrets"):
            key = f"{names[0]}.*.{key}"
        self._notes.setdefault((key, reason), {})[names[1] if len(names) > 2 else ""] = None


def _is_harmless(key: str, node: Node) -> bool:
    if isinstance(node, Scalar):
        text = text_of(node)
        return text is None or text.lower() in _NOTHING or text in _HARMLESS.get(key, ())
    return not (node.items if isinstance(node, Items) else node.entries)


_BY_NAME = frozenset({"networks", "depends_on"})


def _where(loc: Loc) -> str:
    """What kind of mapping stands at `loc`."""
    above = [str(step) for step in loc]
    if not above:
        return "file"
    if above[0] != "services":
        return f"top {above[0]}" if len(above) == 2 else ""
    if len(above) < 2:
        return ""
    if len(above) == 2:
        return "service"
    if len(above) == 3:
        return above[2] if above[2] in ("build", "deploy", "healthcheck") else ""
    named = above[2] in _BY_NAME or isinstance(loc[3], int)
    return above[2] if named and len(above) == 4 else above[-1]
