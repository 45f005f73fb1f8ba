"""The servers that are known, in one table: a new one is an entry here."""

from __future__ import annotations

from typing import Final

from chaos.stack.servers.server import Server, Variable

_MYSQL_HEALTH: Final = (
    "sh",
    "-c",
    "if command -v mariadb-admin; then mariadb-admin ping -h 127.0.0.1; "
    "elif command -v mysqladmin; then mysqladmin ping -h 127.0.0.1; fi",
)
"""Some images have the one program, some the other, few none. It needs no login, and TCP is there when all is made."""

_DAV_WORKLOAD: Final = {
    "users": 3,
    "operations": 240,
    "rate_per_second": 12,
    "contended": 0.3,
    "photo_bytes_max": 60_000,
    "request_seconds_max": 10,
}
"""Servers that parse every item, and take seconds to start."""

KNOWN: Final[tuple[Server, ...]] = (
    Server(
        title="PostgreSQL",
        images=r"postgres|postgresql|postgis|pgvector|timescaledb(-ha)?",
        programs=("postgres",),
        port=5432,
        folders=("/var/lib/postgresql/data", "/var/lib/postgresql", "/bitnami/postgresql", "/home/postgres/pgdata"),
        folder_variable="PGDATA",
        folder_since=(18, "/var/lib/postgresql"),
        driver="postgresql",
        idempotency="keyed",
        options={
            "user": Variable(("POSTGRES_USER", "POSTGRESQL_USERNAME"), "postgres"),
            "password": Variable(("POSTGRES_PASSWORD", "POSTGRESQL_PASSWORD")),
            "database": Variable(
                ("POSTGRES_DB", "POSTGRESQL_DATABASE", "POSTGRES_USER", "POSTGRESQL_USERNAME"), "postgres"
            ),
        },
        harmless=("/run/postgresql",),
        health=("pg_isready", "-q", "-h", "127.0.0.1"),
        flags_in=("POSTGRES_INITDB_ARGS", "POSTGRESQL_EXTRA_FLAGS"),
        files=(".conf",),
    ),
    Server(
        title="MariaDB",
        images=r"mariadb",
        programs=("mariadbd", "mysqld"),
        port=3306,
        folders=("/var/lib/mysql", "/bitnami/mariadb"),
        folder_flag="datadir",
        driver="mariadb",
        idempotency="keyed",
        options={
            "user": Variable(("MARIADB_USER", "MYSQL_USER"), "root"),
            "password": Variable(
                ("MARIADB_PASSWORD", "MYSQL_PASSWORD", "MARIADB_ROOT_PASSWORD", "MYSQL_ROOT_PASSWORD")
            ),
            "database": Variable(("MARIADB_DATABASE", "MYSQL_DATABASE"), "mysql"),
        },
        harmless=("/run/mysqld",),
        health=_MYSQL_HEALTH,
        flags_in=("MARIADB_EXTRA_FLAGS",),
        files=(".cnf",),
        syntax="sections",
        sections=("mysqld", "mariadb", "mariadbd", "server", "galera"),
    ),
    Server(
        title="MySQL",
        images=r"mysql|mysql-server|percona|percona-server",
        programs=("mysqld",),
        port=3306,
        folders=("/var/lib/mysql", "/bitnami/mysql"),
        folder_flag="datadir",
        driver="mariadb",
        idempotency="keyed",
        options={
            "user": Variable(("MYSQL_USER",), "root"),
            "password": Variable(("MYSQL_PASSWORD", "MYSQL_ROOT_PASSWORD")),
            "database": Variable(("MYSQL_DATABASE",), "mysql"),
        },
        harmless=("/run/mysqld", "/var/lib/mysql-files"),
        health=_MYSQL_HEALTH,
        flags_in=("MYSQL_EXTRA_FLAGS",),
        files=(".cnf",),
        syntax="sections",
        sections=("mysqld", "server", "mysqld-5.7", "mysqld-8.0", "mysqld-8.4"),
    ),
    Server(
        title="Redis",
        images=r"redis|valkey|keydb|redis-stack(-server)?",
        programs=("redis-server", "valkey-server", "keydb-server"),
        port=6379,
        folders=("/data", "/bitnami/redis/data", "/bitnami/valkey/data"),
        folder_flag="dir",
        role="cache",
        driver="redis",
        options={
            "password": Variable(("REDIS_PASSWORD", "VALKEY_PASSWORD")),
        },
        password_flag="requirepass",
        settings_in={"REDIS_AOF_ENABLED": "appendonly", "VALKEY_AOF_ENABLED": "appendonly"},
        flags_in=("REDIS_ARGS", "REDIS_EXTRA_FLAGS", "VALKEY_EXTRA_FLAGS"),
        files=(".conf",),
        syntax="words",
    ),
    Server(
        title="etcd",
        images=r"etcd",
        programs=("etcd",),
        port=2379,
        folders=("/etcd-data", "/var/lib/etcd", "/bitnami/etcd/data", "/default.etcd"),
        folder_variable="ETCD_DATA_DIR",
        folder_flag="data-dir",
        role="coordination",
        driver="etcd",
        workload={"photo_bytes_max": 200_000},
        settings_in={"ETCD_UNSAFE_NO_FSYNC": "unsafe_no_fsync"},
        files=(".yml", ".yaml"),
        syntax="yaml",
    ),
    Server(
        title="Radicale",
        is_http=True,
        images=r"radicale|docker-radicale",
        programs=("radicale",),
        port=5232,
        folders=("/var/lib/radicale/collections", "/var/lib/radicale", "/data"),
        driver="webdav",
        workload=_DAV_WORKLOAD,
    ),
    Server(
        title="Xandikos",
        is_http=True,
        images=r"xandikos",
        programs=("xandikos",),
        port=8000,
        folders=("/data",),
        is_telling=False,
        driver="webdav",
        workload=_DAV_WORKLOAD,
    ),
    Server(
        title="MongoDB",
        images=r"mongo|mongodb|mongodb-community-server|percona-server-mongodb",
        programs=("mongod",),
        port=27017,
        folders=("/data/db", "/bitnami/mongodb"),
        folder_flag="dbpath",
        files=(".conf", ".yml", ".yaml"),
        syntax="yaml",
    ),
    Server(
        title="Elasticsearch",
        is_http=True,
        images=r"elasticsearch(-oss)?|opensearch",
        port=9200,
        folders=("/usr/share/elasticsearch/data", "/usr/share/opensearch/data", "/bitnami/elasticsearch/data"),
        settings_in={"index.translog.durability": "index.translog.durability"},
        files=("elasticsearch.yml", "opensearch.yml"),
        syntax="yaml",
    ),
    Server(
        title="MinIO",
        is_http=True,
        images=r"minio",
        programs=("minio",),
        port=9000,
        folders=("/data", "/bitnami/minio/data"),
        is_telling=False,
        role="blobs",
    ),
    Server(
        title="RabbitMQ",
        images=r"rabbitmq",
        programs=("rabbitmq-server",),
        port=5672,
        folders=("/var/lib/rabbitmq",),
        role="queue",
    ),
    Server(title="CouchDB", images=r"couchdb", port=5984, folders=("/opt/couchdb/data",), is_http=True),
    Server(title="Cassandra", images=r"cassandra", port=9042, folders=("/var/lib/cassandra",)),
    Server(
        title="ClickHouse", images=r"clickhouse(-server)?", port=8123, folders=("/var/lib/clickhouse",), is_http=True
    ),
    Server(
        title="InfluxDB",
        images=r"influxdb",
        port=8086,
        folders=("/var/lib/influxdb2", "/var/lib/influxdb"),
        is_http=True,
    ),
)

TOOLS: Final = (
    r"adminer|phpmyadmin|pgadmin4?|mongo-express|redis-?commander|redisinsight|portainer|grafana|prometheus|jaeger|"
    r"all-in-one|zipkin|mailhog|mailpit|mailcatcher|maildev|loki|promtail|cadvisor|watchtower|swagger-ui|kibana|"
    r"opensearch-dashboards|.*-exporter|node-exporter|alertmanager|pgbouncer|memcached"
)
"""Images of programs that stand beside a service, as one regular expression: nobody's records come in by them."""
CLIENTS: Final = (
    r"psql|pg_(dump|dumpall|basebackup|restore|isready)|createdb|mysql|mariadb|(mysql|mariadb-)dump|(redis|valkey)-(cli|sentinel)|"
    r"etcdctl|mongo|mongosh|mongodump|mc"
)
"""Programs of the same images that are no server, as one regular expression: a job dumps or migrates by them."""
PROXIES: Final = r"nginx|traefik|caddy|haproxy|envoy|httpd|apache|kong|nginx-proxy"
"""Images of programs that stand before a service, as one regular expression."""
