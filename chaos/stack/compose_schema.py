"""The part of the Compose specification that Holdfast loads, in canonical form, and `x-chaos`.

Strict: what is not here is refused by name, and `compose_refused` gives the reason or the remedy for what
Compose has and Holdfast does not load. `docs/compose.md` is the same as a table.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from chaos.experiment.explain import fail
from chaos.experiment.schema import driver_form
from chaos.experiment.source import did_you_mean
from chaos.stack.compose_values import Duration, Flag, Number, RestartPolicy, Size, Texts, Whole, Words

Name = Annotated[str, Field(pattern=r"^[a-zA-Z0-9][a-zA-Z0-9_.-]*$", max_length=63)]
InContainer = Annotated[str, Field(pattern=r"^/", max_length=1000)]
PortNumber = Annotated[Whole, Field(ge=1, le=65535)]

LUN_BYTES_MIN = 16 * 1024**2
LUN_BYTES_MAX = 64 * 1024**3
LUN_BLOCK_BYTES = 4096
"""Of a LUN in the agent (`chaos.agent.lun`), and of the file system on it."""


class Strict(BaseModel):
    """No unknown keys, no conversions but our own."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class BuildModel(Strict):
    """`build`."""

    context: str
    dockerfile: str = "Dockerfile"
    args: dict[str, str | None] = {}
    target: str = ""


class HealthcheckModel(Strict):
    """`healthcheck`. Without `test` the image's own would be half overridden: refused by a check."""

    test: Annotated[list[str] | None, BeforeValidator(lambda v: ["CMD-SHELL", v] if isinstance(v, str) else v)] = None
    interval: Duration = 30.0
    timeout: Duration = 30.0
    retries: Annotated[Whole, Field(ge=1, le=100_000)] = 3
    start_period: Duration = 0.0
    disable: Flag = False


class VolumeOptions(Strict):
    """`volume`, `bind` and `tmpfs` of a long volume: only what changes nothing, or a size."""

    size: Size | None = None


class VolumeModel(Strict):
    """One of `volumes`, long."""

    type: Literal["volume", "bind", "tmpfs"]
    source: str = ""
    target: InContainer
    read_only: Flag = False
    tmpfs: VolumeOptions | None = None


def _host(value: object) -> object:
    if isinstance(value, str) and value not in ("127.0.0.1", "0.0.0.0"):
        fail("a port can be published on 127.0.0.1 only", "leave the address out")
    return value


class PortModel(Strict):
    """One of `ports`, long."""

    target: PortNumber
    published: PortNumber | None = None
    host_ip: Annotated[str, BeforeValidator(_host)] = "127.0.0.1"
    protocol: Literal["tcp"] = "tcp"


class EnvFileModel(Strict):
    """One of `env_file`."""

    path: str
    required: Flag = True


class DependModel(Strict):
    """One of `depends_on`."""

    condition: Literal["service_started", "service_healthy", "service_completed_successfully"] = "service_started"


class NetworkUse(Strict):
    """One of a service's `networks`."""

    aliases: list[Name] = []


class SecretUse(Strict):
    """One of a service's `secrets`."""

    source: Name
    target: Annotated[str, Field(pattern=r"^[^/]*$", max_length=255)] = ""


class LimitsModel(Strict):
    """`deploy.resources.limits`."""

    cpus: Annotated[Number, Field(gt=0, le=1024)] | None = None
    memory: Size | None = None


class ResourcesModel(Strict):
    """`deploy.resources`."""

    limits: LimitsModel = LimitsModel()


class DeployModel(Strict):
    """`deploy`."""

    resources: ResourcesModel = ResourcesModel()


class ServiceModel(Strict):
    """One of `services`."""

    image: str = ""
    build: BuildModel | None = None
    command: Words | None = None
    entrypoint: Words | None = None
    environment: dict[str, str | None] = {}
    env_file: list[EnvFileModel] = []
    ports: list[PortModel] = []
    expose: Texts = ()
    volumes: list[VolumeModel] = []
    networks: dict[str, NetworkUse | None] = {}
    depends_on: dict[str, DependModel] = {}
    healthcheck: HealthcheckModel | None = None
    restart: RestartPolicy = "no"
    user: str = ""
    working_dir: str = ""
    hostname: str = ""
    init: Flag = False
    cap_add: list[Annotated[str, Field(pattern=r"^[A-Z_]+$")]] = []
    tmpfs: Texts = ()
    secrets: list[SecretUse] = []
    profiles: list[Name] = []
    deploy: DeployModel = DeployModel()
    shm_size: Size = 0
    stop_grace_period: Duration = 10.0


class NamedVolume(Strict):
    """One of the top-level `volumes`."""

    driver: Literal["local"] = "local"


class NamedNetwork(Strict):
    """One of the top-level `networks`."""

    driver: Literal["bridge"] = "bridge"


class SecretModel(Strict):
    """One of the top-level `secrets`."""

    file: str


class LunModel(Strict):
    """One LUN of an array."""

    size: Annotated[Size, Field(ge=LUN_BYTES_MIN, le=LUN_BYTES_MAX), AfterValidator(lambda value: _blocks(value))]
    filesystem: Annotated[Literal["ext4"], BeforeValidator(lambda value: _ext4(value))] = "ext4"


def _blocks(value: int) -> int:
    if value % LUN_BLOCK_BYTES:
        near = -(-value // LUN_BLOCK_BYTES) * LUN_BLOCK_BYTES
        fail(f"the size of a LUN should be whole blocks of {LUN_BLOCK_BYTES} bytes", f"such as {near}")
    return value


def _ext4(value: object) -> object:
    if isinstance(value, str) and value != "ext4":
        fail(f"filesystem: {value[:40]} is not in this version; use ext4", "change it")
    return value


class ArrayModel(Strict):
    """One of `x-chaos.arrays`."""

    luns: Annotated[dict[Name, LunModel], Field(min_length=1)]


class RestoreModel(Strict):
    """How to restore: a command inside a service."""

    service: Name
    run: Annotated[Words, Field(min_length=1)]


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
    front_door: Annotated[tuple[str, int], _address("front_door")]
    driver: Annotated[str, BeforeValidator(driver_form)] = "http"
    conflict: Annotated[Literal["reject", "last-writer-wins"], BeforeValidator(_policy)] = "reject"
    idempotency: Literal["keyed", "none"] = "keyed"
    roles: dict[Name, list[str] | RoleModel] = {}
    copies: dict[Name, list[str]] = {}
    may_lose: list[str] = []
    steady: dict[Name, Annotated[Words, Field(min_length=1)]] = {}
    doors: dict[Name, list[Annotated[tuple[str, int], _address("a door")]]] = {}
    carrier: Annotated[Literal["toxiproxy", "none"], BeforeValidator(_carrier)] = "none"
    recovery: list[StepModel] = []


class ComposeModel(Strict):
    """A whole Compose file, merged and in canonical form."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=63)] = ""
    version: str = ""
    services: Annotated[dict[Name, ServiceModel], Field(min_length=1)]
    volumes: dict[Name, NamedVolume | None] = {}
    networks: dict[Name, NamedNetwork | None] = {}
    secrets: dict[Name, SecretModel] = {}
    chaos: ChaosModel = Field(alias="x-chaos")
