"""What Compose has and Holdfast does not load, by name, with the reason or the remedy."""

from __future__ import annotations

from collections.abc import Mapping

from chaos.experiment.source import Loc

_ONE_BRIDGE = "all services share the run's one bridge, and reach nothing outside it"
_NOT_LOADED = "remove it; docs/compose.md lists what is loaded"
_TWICE = "write the service twice, under two names"
_IMAGE = "put it into the Dockerfile, or build the image yourself and name it under image"
_LIMITS = "use deploy.resources.limits"
_OF_THE_RUN = "a volume belongs to the run; x-chaos.arrays makes it a LUN"


def _all(names: str, reason: str) -> dict[str, str]:
    return dict.fromkeys(names.split(), reason)


REFUSED: Mapping[str, Mapping[str, str]] = {
    "service": {
        "privileged": "name the capabilities that it needs under cap_add",
        "devices": "a block device is a LUN: see x-chaos.arrays",
        "container_name": "containers are named by the run; services reach each other by the service's name",
        "scale": _TWICE,
        "extends": "use anchors and merge keys, or a second file laid over this one",
        "logging": "every container's log is kept in the run's folder",
        "configs": "use a bind volume",
        **_all("network_mode dns dns_search dns_opt extra_hosts links external_links", _ONE_BRIDGE),
        **_all("mac_address domainname", _ONE_BRIDGE),
        **_all("mem_limit mem_reservation mem_swappiness memswap_limit pids_limit", _LIMITS),
        **_all("cpus cpuset cpu_count cpu_percent cpu_period cpu_quota cpu_shares", _LIMITS),
        **_all("cpu_rt_period cpu_rt_runtime", _LIMITS),
        **_all("pid ipc uts cgroup cgroup_parent userns_mode runtime isolation security_opt", _NOT_LOADED),
        **_all("sysctls ulimits cap_drop group_add read_only stop_signal tty stdin_open platform", _NOT_LOADED),
        **_all("pull_policy attach annotations blkio_config credential_spec develop gpus", _NOT_LOADED),
        **_all("device_cgroup_rules label_file models oom_kill_disable oom_score_adj", _NOT_LOADED),
        **_all("post_start pre_stop provider storage_opt use_api_socket volumes_from", _NOT_LOADED),
    },
    "build": {
        **_all("secrets ssh cache_from cache_to additional_contexts dockerfile_inline entitlements", _IMAGE),
        **_all("extra_hosts isolation network no_cache platforms privileged provenance pull sbom", _IMAGE),
        **_all("shm_size tags ulimits", _IMAGE),
    },
    "deploy": {
        **_all("replicas mode", _TWICE),
        **_all("endpoint_mode placement restart_policy rollback_config update_config", _NOT_LOADED),
    },
    "resources": {"reservations": "use limits"},
    "limits": {"pids": "use cpus and memory"},
    "healthcheck": {"start_interval": "use interval"},
    "depends_on": {"restart": _NOT_LOADED, "required": "switch the service on by its profile instead"},
    "env_file": {"format": "lines are NAME=value"},
    "ports": _all("mode name app_protocol", _NOT_LOADED),
    "volumes": _all("bind volume consistency image", _NOT_LOADED),
    "networks": _all("ipv4_address ipv6_address link_local_ips mac_address priority", _ONE_BRIDGE),
    "secrets": _all("uid gid mode", "a secret is readable by its service, as the file is"),
    "file": _all("configs include models", "put all into the files named under stack"),
    "top volumes": _all("external driver_opts labels name", _OF_THE_RUN),
    "top networks": {
        **_all("external driver_opts ipam internal attachable enable_ipv4 enable_ipv6", _ONE_BRIDGE),
        **_all("labels name", _ONE_BRIDGE),
    },
    "top secrets": _all("external environment name content labels", "use file"),
}
"""By where the key stands, by key."""


def unsupported(loc: Loc) -> str:
    """Why the key at `loc` is refused, if it is one that Compose knows; else an empty text."""
    return REFUSED.get(_where(loc), {}).get(str(loc[-1]), "")


def _where(loc: Loc) -> str:
    above = [str(step) for step in loc[:-1]]
    if not above:
        return "file"
    if above[0] != "services":
        return f"top {above[0]}" if len(above) == 2 else ""
    if len(above) == 2:
        return "service"
    return above[-1] if above[2] == "deploy" else above[2]
