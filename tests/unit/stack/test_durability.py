"""Settings that switch durability off are warned of, each where it stands; what only looks like one is not."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from chaos.stack.compose import load_stack


def warned(folder: Path, service: dict[str, object], *, chaos: str = "", more: str = "", **files: str) -> list[str]:
    """What is said of a service `db`, its file's name for its path."""
    for name, text in files.items():
        (folder / name.replace("_", ".")).write_text(text)
    given = {"services": {"db": {"ports": ["1"], **service}}}
    (folder / "compose.yaml").write_text(f"x-chaos: {{front_door: 'db:1'{chaos}}}\n{yaml.safe_dump(given)}{more}")
    notes = load_stack([folder / "compose.yaml"], {}, [], {}).unsafe
    return [note.replace(f"{folder}/", "") for note in notes]


def settings(notes: list[str]) -> list[str]:
    """Of each warning the setting alone."""
    return [note.partition(" has ")[2].partition(":")[0] for note in notes]


POSTGRES: dict[str, object] = {"image": "postgres:16"}
MYSQL: dict[str, object] = {"image": "mysql:8"}
MARIADB: dict[str, object] = {"image": "mariadb:11"}
REDIS: dict[str, object] = {"image": "redis:7", "command": "redis-server --appendonly yes --appendfsync always"}
ETCD: dict[str, object] = {"image": "quay.io/coreos/etcd:v3.5.9"}
MONGO: dict[str, object] = {"image": "mongo:7"}
ELASTIC: dict[str, object] = {"image": "docker.elastic.co/elasticsearch/elasticsearch:8.11.1"}

SWITCHED_OFF: dict[str, tuple[dict[str, object], str]] = {
    "fsync": ({**POSTGRES, "command": ["postgres", "-c", "fsync=off"]}, "fsync=off"),
    "fsync in a text": ({**POSTGRES, "command": "postgres -c max_connections=9 -c fsync=off"}, "fsync=off"),
    "fsync with a flag": ({**POSTGRES, "command": "-F"}, "fsync=off"),
    "fsync without a space": ({**POSTGRES, "command": ["-cfsync=no"]}, "fsync=no"),
    "fsync as a long option": ({**POSTGRES, "command": ["--fsync=0"]}, "fsync=0"),
    "fsync by a shell": ({**POSTGRES, "entrypoint": ["sh", "-c", "sleep 1; exec postgres -c fsync=off"]}, "fsync=off"),
    "fsync at initialisation": ({**POSTGRES, "environment": {"POSTGRES_INITDB_ARGS": "-c fsync=off"}}, "fsync=off"),
    "synchronous_commit": ({**POSTGRES, "command": "-c synchronous_commit=off"}, "synchronous_commit=off"),
    "full_page_writes": ({**POSTGRES, "command": "-c full_page_writes=false"}, "full_page_writes=false"),
    "flush_log 2": (
        {**MARIADB, "command": "--innodb-flush-log-at-trx-commit=2"},
        "innodb_flush_log_at_trx_commit=2",
    ),
    "flush_log 0": ({**MYSQL, "command": "--innodb_flush_log_at_trx_commit 0"}, "innodb_flush_log_at_trx_commit=0"),
    "sync_binlog": ({**MYSQL, "command": ["mysqld", "--sync-binlog=0"]}, "sync_binlog=0"),
    "sync_binlog of MariaDB": ({**MARIADB, "command": ["--log-bin", "--sync-binlog=0"]}, "sync_binlog=0"),
    "doublewrite": ({**MYSQL, "command": ["--innodb-doublewrite=OFF"]}, "innodb_doublewrite=OFF"),
    "skip doublewrite": ({**MARIADB, "command": ["--skip-innodb-doublewrite"]}, "innodb_doublewrite=0"),
    "appendonly": ({"image": "redis", "command": "redis-server --appendonly no"}, "appendonly=no"),
    "appendonly by default": ({"image": "valkey/valkey:8"}, "appendonly=no, which is Redis's default"),
    "appendfsync": (
        {"image": "redis", "command": "redis-server --appendonly yes --appendfsync everysec"},
        "appendfsync=everysec",
    ),
    "appendfsync by default": (
        {"image": "redis", "command": "redis-server --appendonly yes"},
        "appendfsync=everysec, which is Redis's default",
    ),
    "unsafe-no-fsync": ({**ETCD, "command": ["etcd", "--unsafe-no-fsync"]}, "unsafe_no_fsync"),
    "unsafe-no-fsync by its variable": (
        {**ETCD, "environment": ["ETCD_UNSAFE_NO_FSYNC=true"]},
        "unsafe_no_fsync=true",
    ),
    "nojournal": ({**MONGO, "command": "mongod --nojournal"}, "nojournal"),
    "translog": (
        {**ELASTIC, "environment": {"index.translog.durability": "async"}},
        "index.translog.durability=async",
    ),
    "tmpfs": ({**POSTGRES, "tmpfs": "/var/lib/postgresql/data"}, "the data of PostgreSQL in memory (tmpfs)"),
    "tmpfs above": ({**MYSQL, "tmpfs": ["/var/lib"]}, "the data of MySQL in memory (tmpfs)"),
    "tmpfs as a volume": (
        {**MONGO, "volumes": [{"type": "tmpfs", "target": "/data/db"}]},
        "the data of MongoDB in memory (tmpfs)",
    ),
    "memory by a variable": (
        {**POSTGRES, "environment": {"PGDATA": "/dev/shm/pg"}},
        "the data of PostgreSQL in memory (tmpfs)",
    ),
}

SAFE: dict[str, dict[str, object]] = {
    "nothing is said": POSTGRES,
    "fsync is on": {**POSTGRES, "command": ["postgres", "-c", "fsync=on", "-c", "synchronous_commit=remote_write"]},
    "the last one counts": {**POSTGRES, "command": "-c fsync=off -c fsync=on"},
    "fsync is off for another server": {**MYSQL, "command": ["-c", "fsync=off"]},
    "a service of one's own": {"image": "shop/api", "command": "serve -c fsync=off --appendonly=no --unsafe-no-fsync"},
    "a variable of that name": {**POSTGRES, "environment": {"fsync": "off", "NOTE": "-c fsync=off"}},
    "a flag of another program": {**POSTGRES, "entrypoint": ["sh", "-c", "grep -F x /y; exec postgres"]},
    "a statement": {**POSTGRES, "entrypoint": ["sh", "-c", "psql -c 'set synchronous_commit=off'"]},
    "an exporter": {"image": "prom/redis-exporter"},
    "the safe value": {
        **MYSQL,
        "command": "--innodb-flush-log-at-trx-commit=1 --sync-binlog=1 --innodb-doublewrite=ON",
    },
    "no binary log": {**MARIADB, "command": "--sync-binlog=0"},
    "no binary log in MySQL": {**MYSQL, "command": "--skip-log-bin --sync-binlog=0"},
    "always": REDIS,
    "an image of one's own": {"build": {"dockerfile_inline": "FROM redis:7\nCOPY redis.conf /\n"}},
    "a file within the image": {"image": "redis", "command": "redis-server /etc/redis.conf"},
    "a packager's own default": {"image": "bitnami/redis:7", "environment": {"ALLOW_EMPTY_PASSWORD": "yes"}},
    "fsync as it should be": {**ETCD, "command": ["etcd", "--unsafe-no-fsync=false"]},
    "a variable that says no": {**ETCD, "environment": {"ETCD_UNSAFE_NO_FSYNC": "false"}},
    "with a journal": {**MONGO, "command": "mongod --journal"},
    "by request": {**ELASTIC, "environment": {"index.translog.durability": "request"}},
    "memory elsewhere": {**POSTGRES, "tmpfs": ["/run", "/var/lib/postgresql/data/pg_stat_tmp"]},
    "a volume in memory": {**POSTGRES, "tmpfs": "/var/lib", "volumes": ["/var/lib/postgresql/data"]},
    "memory of another service": {"image": "shop/api", "tmpfs": "/var/lib/postgresql/data"},
}


@pytest.mark.parametrize("name", SWITCHED_OFF)
def test_what_switches_durability_off_is_warned_of_once(name: str, tmp_path: Path) -> None:
    service, setting = SWITCHED_OFF[name]
    assert settings(warned(tmp_path, service)) == [setting]


@pytest.mark.parametrize("name", SAFE)
def test_what_leaves_it_on_is_not(name: str, tmp_path: Path) -> None:
    assert warned(tmp_path, SAFE[name]) == []


def test_a_warning_says_where_what_and_what_it_means(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text(
        "services:\n  db:\n    image: postgres\n    ports: ['5432']\n"
        "    command:\n      - -c\n      - fsync=${F:-off}\n"
        "x-chaos: {front_door: db:5432}\n"
    )
    (said,) = load_stack([tmp_path / "compose.yaml"], {}, [], {}).unsafe
    assert said == (
        f"{tmp_path}/compose.yaml:7: db has fsync=off: a power cut loses acknowledged commits, or the whole database; "
        "a trial of this proves nothing about a production that has it on"
    )
    assert not load_stack([tmp_path / "compose.yaml"], {"F": "on"}, [], {}).unsafe


FILES: dict[str, tuple[dict[str, object], str, str, int]] = {
    "pg_conf": (POSTGRES, "# fsync = off\nport = 5432\nfsync = off  # quick\n", "fsync=off", 3),
    "my_cnf": (MYSQL, "[client]\nsync_binlog=0\n[mysqld]\nskip-innodb-doublewrite\n", "innodb_doublewrite=0", 4),
    "redis_conf": ({"image": "redis"}, "appendonly yes\nappendfsync no\n", "appendfsync=no", 2),
    "etcd_yml": (ETCD, "name: a\nunsafe-no-fsync: true\n", "unsafe_no_fsync=true", 2),
    "mongod_conf": (MONGO, "storage:\n  journal: {enabled: false}\n", "storage.journal.enabled=false", 2),
    "elasticsearch_yml": (
        ELASTIC,
        "index.translog.durability: async\n",
        "index.translog.durability=async",
        1,
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_a_mounted_file_is_read(name: str, tmp_path: Path) -> None:
    service, text, setting, line = FILES[name]
    file = name.replace("_", ".")
    said = warned(tmp_path, {**service, "volumes": [f"./{file}:/etc/some/{file}:ro"]}, **{name: text})
    assert settings(said) == [setting]
    assert said[0].startswith(f"{file}:{line}: db has ")


def test_comments_and_other_sections_of_a_mounted_file_are_passed_over(tmp_path: Path) -> None:
    for service, name, text in (
        (POSTGRES, "pg_conf", "#fsync = off\n fsync = on # off\n"),
        (MYSQL, "my_cnf", "[mysqldump]\ninnodb_flush_log_at_trx_commit=2\n;sync_binlog=0\n"),
        (MYSQL, "notes_txt", "[mysqld]\nsync_binlog=0\n"),
        ({"image": "redis"}, "redis_conf", "# appendonly no\nappendonly yes\nappendfsync always\n"),
    ):
        file = name.replace("_", ".")
        assert warned(tmp_path, {**service, "volumes": [f"./{file}:/etc/{file}:ro"]}, **{name: text}) == []


def test_a_folder_of_settings_and_a_config_of_the_compose_file_are_read_too(tmp_path: Path) -> None:
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "quick.cnf").write_text("[mysqld]\ninnodb-flush-log-at-trx-commit = 0\n")
    said = warned(tmp_path, {**MYSQL, "volumes": ["./conf.d:/etc/mysql/conf.d:ro"]})
    assert settings(said) == ["innodb_flush_log_at_trx_commit=0"]
    use: dict[str, object] = {**POSTGRES, "configs": [{"source": "quick", "target": "/etc/postgresql/postgresql.conf"}]}
    said = warned(tmp_path, use, more="configs: {quick: {content: 'fsync = off'}}\n")
    assert settings(said) == ["fsync=off"]


def test_the_command_line_goes_before_a_file(tmp_path: Path) -> None:
    service: dict[str, object] = {**POSTGRES, "command": "-c fsync=on", "volumes": ["./pg.conf:/etc/pg.conf:ro"]}
    assert warned(tmp_path, service, pg_conf="fsync = off\n") == []


def test_whoever_says_that_the_data_may_be_lost_is_not_warned(tmp_path: Path) -> None:
    assert len(warned(tmp_path, {"image": "redis"})) == 1
    assert warned(tmp_path, {"image": "redis"}, chaos=", may_lose: ['db:/data']") == []


def test_a_library_that_makes_nothing_of_fsync_is_seen_in_any_service(tmp_path: Path) -> None:
    (said,) = warned(tmp_path, {"image": "shop/api", "command": ["eatmydata", "serve"]})
    assert "nothing that it writes is flushed" in said
    assert len(warned(tmp_path, {"image": "shop", "environment": {"LD_PRELOAD": "/usr/lib/libeatmydata.so"}})) == 1
    assert warned(tmp_path, {"image": "shop/api", "command": ["serve", "--eatmydata=no"]}) == []


@pytest.mark.parametrize("option", ["nobarrier", "barrier=0"])
def test_a_lun_that_is_mounted_without_barriers_is_warned_of(tmp_path: Path, option: str) -> None:
    volume: dict[str, object] = {"image": "shop/api", "volumes": ["data:/data"]}

    def options(*given: str) -> list[str]:
        lun = f"data: {{size: 64M, mount_options: [{', '.join(given)}]}}"
        return warned(tmp_path, volume, chaos=f", arrays: {{core: {{luns: {{{lun}}}}}}}", more="volumes: {data: }")

    assert options("noatime", "commit=60", "data=writeback", "barrier=1") == []
    (said,) = options("noatime", option)
    assert said == (
        f"compose.yaml:1: LUN data is mounted with {option}: fsync sends the disk no flush, and a power cut loses what "
        "was acknowledged; a trial of this proves nothing about a production that has barriers"
    )
