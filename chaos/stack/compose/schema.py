"""The part of the Compose specification that Holdfast loads, in canonical form, and `x-chaos`.

Strict: what is not here is refused as a typo, since `refused` has taken out, with the reason, what Compose has and
Holdfast does not honour. `docs/compose.md` is the same as a table.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from chaos.experiment.driver_form import DriverForm
from chaos.experiment.drivers import DEFAULT
from chaos.experiment.explain import fail
from chaos.experiment.source import did_you_mean
from chaos.stack.compose.values import (
    Argv,
    Duration,
    Flag,
    Mode,
    Number,
    RestartPolicy,
    Size,
    Text,
    Texts,
    Whole,
    Words,
    size,
)
from chaos.stack.spec import Filesystem

Name = Annotated[str, Field(pattern=r"^[a-zA-Z0-9_][a-zA-Z0-9_.-]*$", max_length=63)]
InContainer = Annotated[str, Field(pattern=r"^/", max_length=1000)]
Capability = Annotated[str, BeforeValidator(lambda value: _capability(value))]
PortNumber = Annotated[Whole, Field(ge=1, le=65535)]

LUN_BYTES_MIN = 16 * 1024**2
LUN_BYTES_MAX = 64 * 1024**3
XFS_BYTES_MIN = 300 * 1024**2
"""mkfs.xfs makes no smaller ones, from xfsprogs 5.19 on."""
LUN_BLOCK_BYTES = 4096
"""Of a LUN in the agent (`chaos.agent.disk.lun`), and of the file system on it."""


class Strict(BaseModel):
    """No unknown keys, no conversions but our own."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class FileUse(Strict):
    """One of a service's or a build's `secrets`, or of a service's `configs`."""

    source: Name
    target: Annotated[Text, Field(max_length=1000)] = ""


class BuildModel(Strict):
    """`build`."""

    context: Text = "."
    dockerfile: Text = "Dockerfile"
    dockerfile_inline: Text = ""
    args: dict[str, str | None] = {}
    target: Text = ""
    secrets: list[FileUse] = []
    ssh: dict[str, str | None] = {}
    additional_contexts: dict[str, Text] = {}


def _capability(value: object) -> object:
    """As engines want it: `net_admin` and `CAP_NET_ADMIN` are one."""
    return value.upper().removeprefix("CAP_") if isinstance(value, str) else value


class HealthcheckModel(Strict):
    """`healthcheck`. What is not given is the image's own."""

    test: Annotated[list[str] | None, BeforeValidator(lambda v: ["CMD-SHELL", v] if isinstance(v, str) else v)] = None
    interval: Duration | None = None
    timeout: Duration | None = None
    retries: Annotated[Whole, Field(ge=0, le=100_000)] | None = None
    start_period: Duration | None = None
    disable: Flag = False


class BindOptions(Strict):
    """`bind` of a long volume."""

    create_host_path: Flag = True


class NamedOptions(Strict):
    """`volume` of a long volume."""

    nocopy: Flag = False
    subpath: Text = ""


class TmpfsOptions(Strict):
    """`tmpfs` of a long volume."""

    size: Size | None = None
    mode: Mode | None = None


class VolumeModel(Strict):
    """One of `volumes`, long."""

    type: Literal["volume", "bind", "tmpfs"]
    source: Text = ""
    target: InContainer
    read_only: Flag = False
    bind: BindOptions = BindOptions()
    volume: NamedOptions = NamedOptions()
    tmpfs: TmpfsOptions = TmpfsOptions()


def _published(value: object) -> object:
    if isinstance(value, str) and re.fullmatch(r"\d+-\d+", value):
        return None  # the engine takes a free one of the range: here as with none given
    return value or None


class PortModel(Strict):
    """One of `ports`, long."""

    target: PortNumber
    published: Annotated[Annotated[Whole, Field(ge=0, le=65535)] | None, BeforeValidator(_published)] = None
    host_ip: Text = ""
    protocol: Literal["tcp", "udp", "sctp"] = "tcp"


class EnvFileModel(Strict):
    """One of `env_file`."""

    path: Text
    required: Flag = True
    format: Literal["", "raw"] = ""


class DependModel(Strict):
    """One of `depends_on`."""

    condition: Literal["service_started", "service_healthy", "service_completed_successfully"]
    required: Flag = True


class NetworkUse(Strict):
    """One of a service's `networks`."""

    aliases: list[Name] = []


class LimitsModel(Strict):
    """`deploy.resources.limits`."""

    cpus: Annotated[Number, Field(ge=0, le=1024)] | None = None
    memory: Size | None = None
    pids: Whole | None = None


class ReservationsModel(Strict):
    """`deploy.resources.reservations`; all that Compose can say of it is read over, or refused."""


class ResourcesModel(Strict):
    """`deploy.resources`."""

    limits: LimitsModel = LimitsModel()
    reservations: ReservationsModel = ReservationsModel()


class RestartPolicyModel(Strict):
    """`deploy.restart_policy`."""

    condition: Literal["none", "no", "on-failure", "any", "always", "unless-stopped"] = "any"
    max_attempts: Annotated[Whole, Field(ge=0)] = 0


class DeployModel(Strict):
    """`deploy`."""

    replicas: Annotated[Whole, Field(ge=0)] = 1
    resources: ResourcesModel = ResourcesModel()
    restart_policy: RestartPolicyModel | None = None


class UlimitModel(Strict):
    """One of `ulimits`."""

    soft: Annotated[Whole, Field(ge=-1)]
    hard: Annotated[Whole, Field(ge=-1)]


class ServiceModel(Strict):
    """One of `services`."""

    image: Text = ""
    build: BuildModel | None = None
    command: Words | None = None
    entrypoint: Words | None = None
    environment: dict[str, str | None] = {}
    env_file: list[EnvFileModel] = []
    ports: list[PortModel] = []
    volumes: list[VolumeModel] = []
    volumes_from: list[Text] = []
    networks: dict[str, NetworkUse | None] = {}
    links: list[Text] = []
    extra_hosts: dict[str, list[str]] = {}
    depends_on: dict[str, DependModel] = {}
    healthcheck: HealthcheckModel | None = None
    restart: RestartPolicy = ""
    container_name: Annotated[Text, Field(pattern=r"^[a-zA-Z0-9][a-zA-Z0-9_.-]*$")] = ""
    user: Text = ""
    group_add: list[str] = []
    working_dir: Text = ""
    hostname: Text = ""
    domainname: Text = ""
    init: Flag = False
    tty: Flag = False
    stdin_open: Flag = False
    read_only: Flag = False
    stop_signal: Text = ""
    stop_grace_period: Duration = 10.0
    platform: Text = ""
    cap_add: list[Capability] = []
    cap_drop: list[Capability] = []
    security_opt: list[Text] = []
    sysctls: dict[str, str] = {}
    ulimits: dict[str, UlimitModel] = {}
    tmpfs: Texts = ()
    secrets: list[FileUse] = []
    configs: list[FileUse] = []
    profiles: list[Annotated[str, Field(pattern=r"^([a-zA-Z0-9_][a-zA-Z0-9_.-]*)?$", max_length=63)]] = []
    deploy: DeployModel | None = None
    scale: Annotated[Whole, Field(ge=0)] | None = None
    shm_size: Size = 0
    cpus: Annotated[Number, Field(ge=0, le=1024)] | None = None
    cpu_quota: Whole = 0
    cpu_period: Whole = 0
    cpu_shares: Whole = 0
    cpuset: Text = ""
    mem_limit: Size | None = None
    memswap_limit: Annotated[int, BeforeValidator(lambda value: -1 if value == "-1" else size(value))] = 0
    mem_swappiness: Annotated[Whole, Field(ge=-1, le=100)] | None = None
    pids_limit: Whole | None = None
    oom_kill_disable: Flag = False
    oom_score_adj: Annotated[Whole, Field(ge=-1000, le=1000)] = 0


class NamedVolume(Strict):
    """One of the top-level `volumes`; all that Compose can say of it is read over."""


class NamedNetwork(Strict):
    """One of the top-level `networks`; all that Compose can say of it is read over."""


class FileModel(Strict):
    """One of the top-level `secrets` or `configs`: exactly one of these."""

    file: Text | None = None
    environment: Text | None = None
    content: str | None = None
    external: object = None


class LunModel(Strict):
    """One LUN of an array. `contents`: with what is there, in the folder or the image, or with nothing."""

    size: Annotated[Size, Field(ge=LUN_BYTES_MIN, le=LUN_BYTES_MAX), AfterValidator(lambda value: _blocks(value))]
    filesystem: Annotated[Filesystem, BeforeValidator(lambda value: _filesystem(value))] = "ext4"
    mount_options: Annotated[list[Text], BeforeValidator(lambda value: _options(value))] = []
    contents: Literal["copied", "none"] = "copied"


def _blocks(value: int) -> int:
    if value % LUN_BLOCK_BYTES:
        near = -(-value // LUN_BLOCK_BYTES) * LUN_BLOCK_BYTES
        fail(f"the size of a LUN should be whole blocks of {LUN_BLOCK_BYTES} bytes", f"such as {near}")
    return value


def _filesystem(value: object) -> object:
    if isinstance(value, str) and value not in get_args(Filesystem):
        fail(f"filesystem: {value[:40]} is not in this version; use {' or '.join(get_args(Filesystem))}", "change it")
    return value


def _options(value: object) -> object:
    if isinstance(value, str):
        fail("mount_options should be a list", f"such as [{', '.join(value.split(',')) or 'noatime'}]")
    return value


class ArrayModel(Strict):
    """One of `x-chaos.arrays`."""

    luns: Annotated[dict[Annotated[str, Field(max_length=1000)], LunModel], Field(min_length=1)]


class RestoreModel(Strict):
    """How to restore: a command inside a service."""

    service: Name
    run: Annotated[Argv, Field(min_length=1)]


class PlantingModel(Strict):
    """How one record is removed behind the services' backs: a command inside a service."""

    service: Name
    run: Annotated[Argv, Field(min_length=1), AfterValidator(lambda value: _names_the_record(value))]


def _names_the_record(value: tuple[str, ...]) -> tuple[str, ...]:
    if not any("{record}" in each for each in value):
        fail("the command does not say which record it removes", "write {record}, and {owner}, where they belong")
    return value


class StepModel(Strict):
    """One of `x-chaos.recovery`: exactly one of rebuild, restore and initialise."""

    name: str = ""
    rebuild: list[Name] | None = None
    restore: RestoreModel | None = None
    initialise: Flag = False


def _address(what: str) -> BeforeValidator:
    def read(value: object) -> object:
        if isinstance(value, str):
            match = re.fullmatch(r"([a-zA-Z0-9][a-zA-Z0-9_.-]*):(\d{1,5})", value)
            if match is None or not 0 < int(match[2]) < 65536:
                fail(f"{what} should be service:port", "such as gateway:8080")
            return (match[1], int(match[2]))
        return value

    return BeforeValidator(read)


def _policy(value: object) -> object:
    if value == "keep-both":
        fail("conflict: keep-both is not in this version; use reject or last-writer-wins", "change it")
    if isinstance(value, str) and value not in ("reject", "last-writer-wins"):
        fail(f"unknown conflict policy {value[:40]!r}", did_you_mean(value, ("reject", "last-writer-wins")))
    return value


class RoleModel(Strict):
    """One of `x-chaos.roles` that moves: who may have it, and how to ask."""

    of: Annotated[list[Name], Field(min_length=1)]
    http: Annotated[tuple[int, str], BeforeValidator(lambda value: _http(value))]
    says: Annotated[str, Field(min_length=1, max_length=1000)] | None = None


def _http(value: object) -> object:
    match = re.fullmatch(r"(\d{1,5})(?:/(\S{0,1000}))?", value) if isinstance(value, str) else None
    if match is None or not 0 < int(match[1]) < 65536:
        fail("http should be PORT/PATH, of the service's own 127.0.0.1", "such as 8008/primary")
    return (int(match[1]), f"/{match[2] or ''}")


def _carrier(value: object) -> object:
    if value is None or value == {}:
        return "toxiproxy"
    if value not in ("toxiproxy", "none"):
        fail("the carrier is toxiproxy, {} for the same, or none", "change it")
    return value


class ChaosModel(Strict):
    """`x-chaos`: what Compose cannot say."""

    arrays: dict[Name, ArrayModel] = {}
    front_door: Annotated[tuple[str, int], _address("front_door")] | None = None
    driver: DriverForm = DEFAULT
    conflict: Annotated[Literal["reject", "last-writer-wins"], BeforeValidator(_policy)] = "reject"
    idempotency: Literal["keyed", "none"] = "keyed"
    roles: dict[Name, list[str] | RoleModel] = {}
    copies: dict[Name, list[str]] = {}
    may_lose: list[str] = []
    steady: dict[Name, Annotated[Argv, Field(min_length=1)]] = {}
    doors: dict[Name, list[Annotated[tuple[str, int], _address("a door")]]] = {}
    carrier: Annotated[Literal["toxiproxy", "none"], BeforeValidator(_carrier)] = "none"
    recovery: list[StepModel] = []
    plant_loss: PlantingModel | None = None
    cold_restart: Literal["in-order", "all-at-once"] = "in-order"


class ComposeModel(Strict):
    """A whole Compose file, merged and in canonical form."""

    name: Text = ""
    version: Text = ""
    services: Annotated[dict[Name, ServiceModel], Field(min_length=1)]
    volumes: dict[Name, NamedVolume | None] = {}
    networks: dict[Name, NamedNetwork | None] = {}
    secrets: dict[Name, FileModel] = {}
    configs: dict[Name, FileModel] = {}
    chaos: ChaosModel = Field(alias="x-chaos", default_factory=ChaosModel)
