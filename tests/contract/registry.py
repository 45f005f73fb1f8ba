"""A registry of one image on 127.0.0.1, for who knows a name and a password."""

from __future__ import annotations

import base64
import hashlib
import http.server
import io
import json
import platform
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_CONFIG = "application/vnd.docker.container.image.v1+json"
_LAYER = "application/vnd.docker.image.rootfs.diff.tar"
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass
class Registry:
    """Where it is and who may pull; `refused` are the paths that were asked for without a login."""

    address: str
    username: str
    password: str
    refused: list[str] = field(default_factory=list)

    @property
    def image(self) -> str:
        """The name of its one image, which has one file, /from-registry."""
        return f"{self.address}/private/one:1"


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def contents(own: str) -> dict[str, tuple[str, bytes]]:
    """What it serves, by the last part of the path: (media type, bytes)."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        member = tarfile.TarInfo("from-registry")
        member.size = len(own)
        archive.addfile(member, io.BytesIO(own.encode()))
    layer = packed.getvalue()
    config = json.dumps(
        {
            "architecture": _MACHINES.get(platform.machine(), platform.machine()),
            "os": "linux",
            "config": {"Labels": {"holdfast.contract": own}},
            "rootfs": {"type": "layers", "diff_ids": [digest_of(layer)]},
        }
    ).encode()
    parts = [
        {"mediaType": kind, "size": len(content), "digest": digest_of(content)}
        for kind, content in ((_CONFIG, config), (_LAYER, layer))
    ]
    manifest = json.dumps(
        {"schemaVersion": 2, "mediaType": _MANIFEST, "config": parts[0], "layers": parts[1:]}
    ).encode()
    return {
        "1": (_MANIFEST, manifest),
        digest_of(manifest): (_MANIFEST, manifest),
        digest_of(config): ("application/octet-stream", config),
        digest_of(layer): ("application/octet-stream", layer),
    }


@contextmanager
def registry(own: str) -> Iterator[Registry]:
    """Serve an image whose file and label say `own`."""
    served = contents(own)

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if self.headers.get("Authorization") != expected:
                made.refused.append(self.path)
                self._answer(401, "application/json", b"{}")
            elif self.path == "/v2/":
                self._answer(200, "application/json", b"{}")
            elif (name := self.path.rpartition("/")[2]) in served:
                self._answer(200, *served[name])
            else:
                self._answer(404, "application/json", b"{}")

        do_HEAD = do_GET  # noqa: N815 - the server asks for it by this name

        def _answer(self, status: int, kind: str, content: bytes) -> None:
            self.send_response(status)
            self.send_header("Docker-Distribution-Api-Version", "registry/2.0")
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Docker-Content-Digest", digest_of(content))
            if status == 401:
                self.send_header("WWW-Authenticate", 'Basic realm="contract"')
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        made = Registry(f"127.0.0.1:{server.server_address[1]}", "ada", f"pass-{own}")
        expected = f"Basic {base64.b64encode(f'{made.username}:{made.password}'.encode()).decode()}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield made
        finally:
            server.shutdown()
            thread.join()
