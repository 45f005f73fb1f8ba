"""The engines that can be had beside the host's own one."""

from __future__ import annotations

import json
import resource

from tests.engines.place import Kind, Suite

_PODMAN = ("podman", "runc", "netavark", "aardvark-dns", "catatonit")
BOOKWORM = Suite("bookworm", _PODMAN)
TESTING = Suite("testing", (*_PODMAN, "docker.io"))

_CGROUP = "holdfast-engines"
_FILES_MAX = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
_BOUNDED = f"""#!/bin/sh
# runc where limits cannot be raised: Podman asks for a million files and processes, in builds and execs too
before= file=
for argument; do
    case $before in
        -b | --bundle) file=$argument/config.json ;;
        -p | --process) file=$argument ;;
    esac
    before=$argument
done
[ -z "$file" ] || sed -E -i 's/"(hard|soft)": ?[0-9]{{7,}}/"\\1":{_FILES_MAX}/g' "$file"
exec runc "$@"
"""


def _docker(name: str, suite: Suite, **features: bool) -> Kind:
    settings = {
        "bip": "198.19.255.1/24",
        "default-address-pools": [{"base": "198.19.0.0/17", "size": 24}],
        "cgroup-parent": f"/{_CGROUP}",
        "features": features,
    }
    return Kind(
        name=name,
        suite=suite,
        command=(
            *("dockerd", "--config-file", "FOLDER/daemon.json", "--host", "unix://FOLDER/engine.sock"),
            *("--data-root", "FOLDER/data", "--exec-root", "/run/docker", "--pidfile", "/run/docker.pid"),
        ),
        files={"daemon.json": json.dumps(settings, indent=2)},
        cgroup=_CGROUP,
        environment={},
    )


def _podman(name: str, suite: Suite) -> Kind:
    settings = (
        '[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\nruntime = "bounded"\n'
        '[engine.runtimes]\nbounded = ["FOLDER/bounded"]\n'
        '[network]\nnetwork_backend = "netavark"\ndefault_subnet = "198.19.254.0/24"\n'
    )
    return Kind(
        name=name,
        suite=suite,
        command=(
            *("podman", "--root", "FOLDER/data", "--runroot", "/run/podman-root"),
            *("system", "service", "--time=0", "unix://FOLDER/engine.sock"),
        ),
        files={"containers.conf": settings, "bounded": _BOUNDED},
        cgroup="libpod_parent",
        environment={"CONTAINERS_CONF": "FOLDER/containers.conf", "PODMAN_IGNORE_CGROUPSV1_WARNING": "1"},
    )


KINDS = {
    kind.name: kind
    for kind in (
        _docker("docker-28", TESTING),
        _docker("docker-28-containerd", TESTING, **{"containerd-snapshotter": True}),
        _podman("podman-4", BOOKWORM),
        _podman("podman-5", TESTING),
    )
}

NOT_TO_BE_HAD = {
    "Docker 29": "no suite of Debian has a package of it",
    "Podman 6": "it needs cgroup version 2, and Debian has it in experimental only",
}
"""Engines that people have and that cannot be tried so, and why."""
