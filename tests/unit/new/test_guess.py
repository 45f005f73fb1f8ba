"""What `holdfast new` guesses of a Compose file, and that it says where it may be wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from chaos.experiment.drivers import known_drivers
from chaos.new.experiments import experiments
from chaos.new.guess import OWN_DRIVER, Guess
from chaos.new.overlay import overlay
from chaos.stack.servers.known import KNOWN
from chaos.stack.servers.server import Server
from chaos.workload.drivers import load_driver
from chaos.workload.drivers.options import DriverOptions
from tests.unit.new.written import ALL_DRIVERS, guessed

WEB_AND_DATABASE = """
services:
  db:
    image: postgres:16
    environment: {POSTGRES_USER: shop, POSTGRES_PASSWORD: "${DB_PASSWORD}"}
    volumes: ["pgdata:/var/lib/postgresql/data"]
  cache: {image: redis:7-alpine}
  web: {image: shop/web, ports: ["8000:8000"], depends_on: [db, cache]}
  adminer: {image: adminer, ports: ["8080:8080"]}
volumes: {pgdata: {}}
"""


def one(image: str, **service: object) -> str:
    """A Compose file with one service, `db`."""
    return yaml.safe_dump({"services": {"db": {"image": image, **service}}, "volumes": {"data": {}}})


def laid_over(guess: Guess) -> dict[str, object]:
    """The overlay as YAML."""
    text = overlay(guess, [Path("compose.yaml")])
    assert "$$" not in text or yaml.safe_load(text)
    found: dict[str, object] = yaml.safe_load(text)
    return found


def x_chaos(guess: Guess) -> dict[str, object]:
    chaos = laid_over(guess)["x-chaos"]
    assert isinstance(chaos, dict)
    return chaos


SERVERS = {
    "postgres:16": ("PostgreSQL", "postgresql", 5432, "/var/lib/postgresql/data"),
    "postgres": ("PostgreSQL", "postgresql", 5432, "/var/lib/postgresql"),
    "postgres:18-alpine": ("PostgreSQL", "postgresql", 5432, "/var/lib/postgresql"),
    "timescale/timescaledb:2.17.2-pg16": ("PostgreSQL", "postgresql", 5432, "/var/lib/postgresql/data"),
    "registry.local:5000/postgis/postgis:15-3.4": ("PostgreSQL", "postgresql", 5432, "/var/lib/postgresql/data"),
    "bitnami/postgresql:16": ("PostgreSQL", "postgresql", 5432, "/bitnami/postgresql"),
    "mariadb:11": ("MariaDB", "mariadb", 3306, "/var/lib/mysql"),
    "mysql:8.4": ("MySQL", "mariadb", 3306, "/var/lib/mysql"),
    "redis:7-alpine": ("Redis", "redis", 6379, "/data"),
    "valkey/valkey:8@sha256:0123456789012345678901234567890123456789012345678901234567890123": (
        "Redis",
        "redis",
        6379,
        "/data",
    ),
    "quay.io/coreos/etcd:v3.5.9": ("etcd", "etcd", 2379, "/etcd-data"),
    "tomsquest/docker-radicale": ("Radicale", "webdav", 5232, "/var/lib/radicale/collections"),
    "mongo:7": ("MongoDB", OWN_DRIVER, 27017, "/data/db"),
    "rabbitmq:3-management": ("RabbitMQ", OWN_DRIVER, 5672, "/var/lib/rabbitmq"),
    "minio/minio": ("MinIO", OWN_DRIVER, 9000, "/data"),
}


@pytest.mark.parametrize("image", SERVERS)
def test_a_known_image_says_port_driver_and_where_its_data_lies(image: str, tmp_path: Path) -> None:
    title, driver, port, folder = SERVERS[image]
    guess = guessed(tmp_path, one(image))
    assert guess.reasons[0] == f"db is {title}, since its image is {image}"
    assert (guess.driver, guess.front.port) == (driver, port)
    assert [disk.name for disk in guess.disks] == [f"db:{folder}"]
    assert laid_over(guess)["services"]["db"]["ports"] == [str(port)]  # type: ignore[index]


@pytest.mark.parametrize("server", KNOWN, ids=lambda server: server.title)
def test_a_driver_of_the_table_takes_the_options_that_the_table_has(server: Server) -> None:
    if server.driver not in known_drivers():
        assert server.driver in ("", *ALL_DRIVERS)
        return
    options = getattr(load_driver(server.driver), "Options", DriverOptions)
    assert {*server.options} <= {*options.model_fields}


@pytest.mark.parametrize(
    ("volume", "name"),
    [
        ("data:/var/lib/postgresql/data", "data"),
        ("data:/var/lib/postgresql", "data"),
        ("/var/lib/postgresql/data", "db:/var/lib/postgresql/data"),
        ("./not-there:/var/lib/postgresql/data", "db:/var/lib/postgresql/data"),
        ("data:/elsewhere", "data"),
    ],
)
def test_the_disk_is_whatever_is_mounted_where_the_data_lies(volume: str, name: str, tmp_path: Path) -> None:
    environment = {"PGDATA": "/elsewhere/pg"} if "elsewhere" in volume else {}
    guess = guessed(tmp_path, one("postgres:16", volumes=[volume], environment=environment))
    assert [disk.name for disk in guess.disks] == [name]


def test_a_command_may_say_where_the_data_lies(tmp_path: Path) -> None:
    for image, words, folder in (
        ("etcd:3", ["etcd", "--data-dir=/d"], "/d"),
        ("mongo", ["--dbpath", "/m"], "/m"),
        ("redis", ["redis-server", "--dir", "/r"], "/r"),
    ):
        assert [disk.name for disk in guessed(tmp_path, one(image, command=words)).disks] == [f"db:{folder}"]


def test_a_bound_folder_with_something_in_it_is_not_copied_unless_its_owner_matters(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    text = one("postgres:16", volumes=["./data:/var/lib/postgresql/data"])
    assert not guessed(tmp_path, text).disks[0].is_blank
    (tmp_path / "data" / "PG_VERSION").write_text("16\n")
    guess = guessed(tmp_path, text)
    assert x_chaos(guess)["arrays"] == {
        "db-array": {"luns": {"db:/var/lib/postgresql/data": {"size": "1G", "contents": "none"}}}
    }
    assert "db begins with an empty disk, and not with a copy of the folder that you bind" in guess.reasons
    with_user = one("postgres:16", volumes=["./data:/var/lib/postgresql/data"], user="1000")
    assert not guessed(tmp_path, with_user).disks[0].is_blank


def test_before_a_database_the_front_door_is_the_web_service_whose_driver_is_to_be_filled_in(tmp_path: Path) -> None:
    guess = guessed(tmp_path, WEB_AND_DATABASE)
    assert (guess.front.service, guess.front.port) == ("web", 8000)
    assert guess.has_own_driver
    assert guess.speaks_http
    assert "the front door is web:8000, since it publishes a port and depends on db and cache" in guess.reasons
    assert guess.doubts == ["a driver: only you know how web is spoken to; fill in experiments/driver.py"]
    assert x_chaos(guess)["roles"] == {"database": ["db"], "front": ["web"]}  # `cache` is a service's own name
    assert guess.struck == "db"
    written = experiments(guess, [Path("compose.yaml")])
    assert yaml.safe_load(written["experiments/power_cut.yaml"][1])["schedule"][0]["target"] == {"service": "db"}
    assert yaml.safe_load(written["experiments/kill.yaml"][1])["schedule"][0]["target"] == {"service": "web"}


def test_where_json_can_be_described_without_python_that_is_said(tmp_path: Path) -> None:
    (doubt,) = guessed(tmp_path, WEB_AND_DATABASE, drivers=("postgresql", "rest")).doubts
    assert doubt.endswith("or describe it for the driver rest if it speaks JSON")


def test_the_driver_has_its_options_from_the_environment_and_a_secret_by_its_variable(tmp_path: Path) -> None:
    environment = {"POSTGRES_USER": "shop", "POSTGRES_PASSWORD": "${DB_PASSWORD}"}
    guess = guessed(tmp_path, one("postgres:16", environment=environment), DB_PASSWORD="from outside")
    assert x_chaos(guess)["driver"] == {
        "postgresql": {"user": "shop", "password": "${DB_PASSWORD}", "database": "shop"}
    }
    assert "from outside" not in overlay(guess, [Path("compose.yaml")])
    assert (guess.conflict, guess.idempotency) == ("reject", "keyed")


def test_a_password_that_stands_in_the_compose_file_is_written_as_it_stands_there(tmp_path: Path) -> None:
    environment = {"MARIADB_ROOT_PASSWORD": "a$$b", "MARIADB_DATABASE": "shop$$1"}
    guess = guessed(tmp_path, one("mariadb", environment=environment))
    assert guess.options == {"user": "root", "password": "a$$b", "database": "shop$$1"}


def test_a_password_in_an_env_file_that_compose_reads_anyway_is_named_and_not_copied(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("POSTGRES_PASSWORD=hush\n")
    guess = guessed(tmp_path, one("postgres:16", env_file=".env"))
    assert guess.options["password"] == "${POSTGRES_PASSWORD}"


def test_a_password_in_a_secret_has_to_be_given(tmp_path: Path) -> None:
    guess = guessed(tmp_path, one("postgres:16", environment={"POSTGRES_PASSWORD_FILE": "/run/secrets/pw"}))
    assert guess.options["password"] == "${POSTGRES_PASSWORD:-}"
    assert [each for each in guess.doubts if each.startswith("the password of db lies in a file")]


def test_a_password_may_stand_in_the_command(tmp_path: Path) -> None:
    command = ["redis-server", "--requirepass", "${SECRET}", "--appendonly", "yes"]
    assert guessed(tmp_path, one("redis", command=command), SECRET="xyz").options == {"password": "${SECRET}"}


def test_a_driver_that_is_not_there_is_not_named(tmp_path: Path) -> None:
    guess = guessed(tmp_path, one("postgres:16"), drivers=("http",))
    assert guess.has_own_driver
    assert not guess.speaks_http
    assert "a driver: there is none for PostgreSQL; fill in experiments/driver.py" in guess.doubts


def test_who_takes_long_to_initialise_its_data_gets_a_health_check_where_it_has_none(tmp_path: Path) -> None:
    guess = guessed(tmp_path, one("postgres:16", environment={"POSTGRES_USER": "shop"}))
    assert guess.checks == {"db": ("pg_isready", "-q", "-h", "127.0.0.1", "-U", "shop")}
    assert laid_over(guess)["services"]["db"]["healthcheck"]["test"][0] == "CMD"  # type: ignore[index]
    assert not guessed(tmp_path, one("postgres:16", healthcheck={"test": "pg_isready"})).checks


def test_an_image_of_ones_own_is_known_by_what_it_is_built_from_what_it_runs_or_mounts_or_its_port(
    tmp_path: Path,
) -> None:
    for text, why in (
        ("build: {dockerfile_inline: 'FROM postgres:15'}", "its image is built from postgres:15"),
        ("{image: shop/db, command: 'postgres -c jit=off'}", "it runs postgres"),
        ("{image: shop/db, entrypoint: [sh, -c, 'exec postgres -c jit=off']}", "it runs postgres"),
        (
            "{image: shop/db, volumes: ['data:/var/lib/postgresql/data']}",
            "/var/lib/postgresql/data, where PostgreSQL has its data, is mounted there",
        ),
        ("{build: {dockerfile_inline: FROM x}, ports: ['5432']}", "5432 is the port of PostgreSQL"),
    ):
        service = f"{{{text}}}" if text.startswith("build") else text
        guess = guessed(tmp_path, f"services: {{db: {service}}}\nvolumes: {{data: {{}}}}\n")
        assert guess.reasons[0] == f"db is PostgreSQL, since {why}"


def test_of_several_stages_the_last_or_the_target_counts(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(
        "FROM mongo:7 AS base\nFROM base AS db\nFROM postgres:15\nCOPY --from=redis / /\n"
    )
    assert guessed(tmp_path, "services: {db: {build: .}}").reasons[0].startswith("db is PostgreSQL")
    built = "services: {db: {build: {context: ., target: db}}}"
    assert guessed(tmp_path, built).reasons[0].startswith("db is MongoDB")


@pytest.mark.parametrize(
    "service",
    [
        "{image: prom/mysqld-exporter, ports: ['9104']}",
        "{image: 'postgres:16', command: [pg_dump, -h, db]}",
        "{image: 'postgres:16', entrypoint: [sh, -c, 'psql -f /migrate.sql']}",
        "{image: dpage/pgadmin4, ports: ['80']}",
        "{image: 'redis:7', command: redis-sentinel /etc/sentinel.conf}",
        "{image: 'redis:7', command: [redis-server, /etc/sentinel.conf, --sentinel]}",
        "{image: backup/postgres-backup, volumes: ['data:/var/lib/postgresql/data:ro']}",
    ],
)
def test_what_only_stands_beside_a_server_is_not_taken_for_one(service: str, tmp_path: Path) -> None:
    guess = guessed(tmp_path, f"services: {{db: {{image: mongo}}, other: {service}}}\nvolumes: {{data: {{}}}}\n")
    assert list(guess.servers) == ["db"]
    assert guess.front.service == "db"


def test_a_folder_of_a_clients_name_makes_no_client_of_a_server(tmp_path: Path) -> None:
    guess = guessed(tmp_path, one("mysql:8", command=["--datadir", "/var/lib/mysql", "--init-file=/x/psql"]))
    assert guess.reasons[0] == "db is MySQL, since its image is mysql:8"
    waiting = one("postgres:16", entrypoint=["sh", "-c", "until pg_isready -h x; do sleep 1; done; exec postgres"])
    assert guessed(tmp_path, waiting).reasons[0] == "db is PostgreSQL, since its image is postgres:16"


def test_a_server_without_a_driver_is_spoken_to_over_http_where_it_speaks_that(tmp_path: Path) -> None:
    assert guessed(tmp_path, one("couchdb:3")).speaks_http
    assert not guessed(tmp_path, one("mongo:7")).speaks_http


def test_a_proxy_stands_before_the_others(tmp_path: Path) -> None:
    text = "services: {api: {image: shop/api, ports: ['3000']}, edge: {image: 'traefik:v3', ports: ['80', '443']}}"
    guess = guessed(tmp_path, text)
    assert (guess.front.service, guess.front.port) == ("edge", 80)
    assert guess.doubts[0] == (
        "the front door edge:80: or is it api? they publish ports, too; it publishes 80, 443, of which 80 looks most "
        "like it"
    )


def test_who_stands_above_the_databases_goes_before_who_does_not(tmp_path: Path) -> None:
    text = """
services:
  blobs: {image: shop/blobs, ports: ["1"]}
  edge: {image: shop/edge, ports: ["2"], depends_on: [api]}
  api: {image: shop/api, depends_on: [db]}
  db: {image: mongo}
"""
    assert guessed(tmp_path, text).front.service == "edge"


@pytest.mark.parametrize(
    ("service", "port", "why"),
    [
        ("healthcheck: {test: 'curl -f http://localhost:5000/health'}", 5000, "its health check asks port 5000"),
        ("environment: {PORT: 9000}", 9000, "its variable PORT is 9000"),
        ("build: {dockerfile_inline: 'FROM x\n\n    EXPOSE 7000/tcp'}", 7000, "its Dockerfile exposes port 7000"),
    ],
)
def test_a_port_that_is_not_published_is_seen_elsewhere_and_published_by_the_overlay(
    service: str, port: int, why: str, tmp_path: Path
) -> None:
    guess = guessed(tmp_path, f"services: {{web: {{image: shop/web, {service}}}}}\n")
    assert (guess.front.port, guess.front.why) == (port, why)
    assert laid_over(guess)["services"] == {"web": {"ports": [str(port)]}}


def test_a_port_that_cannot_be_guessed_is_asked_for(tmp_path: Path) -> None:
    guess = guessed(tmp_path, "services: {web: {image: shop/web}}")
    assert guess.front.port == 8080
    assert guess.doubts[0].endswith("nothing says on which one web listens: put it in")


def test_copies_of_a_database_lose_power_at_one_instant(tmp_path: Path) -> None:
    text = """
services:
  one: {image: "postgres:15", volumes: ["a:/var/lib/postgresql/data"]}
  two: {image: "postgres:15", volumes: ["b:/var/lib/postgresql/data"]}
volumes: {a: {}, b: {}}
"""
    guess = guessed(tmp_path, text)
    written = experiments(guess, [Path("compose.yaml")])
    assert yaml.safe_load(written["experiments/power_cut.yaml"][1])["schedule"][0]["target"] == {"role": "database"}
    assert [disk.array for disk in guess.disks] == ["one-array", "two-array"]


def test_all_members_of_what_the_phones_speak_to_are_the_database(tmp_path: Path) -> None:
    text = "services: {a: {image: 'etcd:3', volumes: ['/etcd-data']}, b: {image: 'etcd:3', volumes: ['/etcd-data']}}"
    guess = guessed(tmp_path, text)
    assert guess.roles == {"database": ("a", "b")}
    assert guess.struck == "database"
    assert guessed(tmp_path, text.replace("}}", "}, web: {image: x, ports: ['1']}}")).roles == {
        "coordination": ("a", "b"),
        "front": ("web",),
    }


def test_where_nothing_has_a_disk_another_fault_takes_the_place_of_the_power_cut(tmp_path: Path) -> None:
    guess = guessed(tmp_path, "services: {web: {image: shop/web, ports: ['80']}}")
    assert [*experiments(guess, [Path("compose.yaml")])] == [
        "experiments/steady.yaml",
        "experiments/recreate.yaml",
        "experiments/kill.yaml",
    ]
    assert guess.doubts[-1].startswith("what loses power: no service mounts anything")


def test_a_disk_of_the_users_own_service_can_lose_power(tmp_path: Path) -> None:
    guess = guessed(tmp_path, "services: {web: {image: shop/web, ports: ['80'], volumes: ['/app/data']}}")
    assert guess.struck == "web"
    assert not guess.disks


def test_data_that_nobody_knows_the_place_of_is_said(tmp_path: Path) -> None:
    guess = guessed(tmp_path, "services: {db: {image: shop/db, command: [redis-server], ports: ['6379']}}")
    assert "where db has its data: it mounts nothing at /data" in guess.doubts
    in_memory = guessed(tmp_path, one("postgres:16", tmpfs="/var/lib/postgresql"))
    assert "db has its data in memory" in in_memory.doubts
