"""Where the phones knock, guessed: the service that is nearest to the users, and its port."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from chaos.stack.images.dockerfile import read_dockerfile
from chaos.stack.servers.known import PROXIES, TOOLS
from chaos.stack.servers.recognise import Recognised, dockerfile_of, image_name
from chaos.stack.spec import Service, Stack

_PLAIN = (80, 8080, 8000, 3000, 5000)
_UNKNOWN_PORT = 8080
_PORT_ASKED = re.compile(r"(?:localhost|127\.0\.0\.1|\[?::1\]?):(\d{2,5})")


@dataclass(frozen=True)
class Front:
    """The front door.

    Attributes:
        why: Why this one, to follow "since".
        doubt: What may be wrong with it; empty for nothing.
        is_published: Whether the Compose file publishes the port.
    """

    service: str
    port: int
    why: str
    doubt: str = ""
    is_published: bool = True


def front_of(stack: Stack, servers: Mapping[str, Recognised]) -> Front:
    """The front door of a stack that has at least one service."""
    own = [each for each in stack.services.values() if _is_own(each, stack, servers)]
    reached = [each for each in own if each.ports]
    if reached:
        return _among(reached, stack, servers)
    if servers:
        return _of_server(stack, servers)
    return _unpublished((own or [*stack.services.values()])[0])


def _is_own(service: Service, stack: Stack, servers: Mapping[str, Recognised]) -> bool:
    """Whether the service is neither a known server, nor a tool, nor a job."""
    is_tool = re.fullmatch(TOOLS, image_name(service.image)) is not None
    return service.name not in servers and not is_tool and not stack.is_job(service.name)


def _among(services: Sequence[Service], stack: Stack, servers: Mapping[str, Recognised]) -> Front:
    if proxy := next((each for each in services if re.fullmatch(PROXIES, image_name(each.image))), None):
        chosen, why = proxy, f"{image_name(proxy.image)} stands before the others"
    elif direct := [each for each in services if servers.keys() & each.depends_on.keys()]:
        chosen = direct[0]
        databases = [other for other in chosen.depends_on if other in servers]
        why = f"it publishes a port and depends on {' and '.join(databases)}"
    elif above := [each for each in services if servers.keys() & _below(each.name, stack)]:
        chosen = max(above, key=lambda each: len(_below(each.name, stack)))
        why = f"it publishes a port and stands above {len(_below(chosen.name, stack))} others"
    else:
        chosen, why = services[0], "it publishes a port"
    others = [each.name for each in services if each is not chosen]
    doubt = f"or is it {' or '.join(others)}? they publish ports, too" if others else ""
    port = _port(chosen)
    if len(chosen.ports) > 1:
        given = ", ".join(str(each.container_port) for each in chosen.ports)
        doubt = "; ".join(filter(None, [doubt, f"it publishes {given}, of which {port} looks most like it"]))
    return Front(chosen.name, port, why, doubt)


def _below(name: str, stack: Stack) -> set[str]:
    """What a service depends on, and what that depends on."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        more = set(stack.services[waiting.pop()].depends_on) - found
        found |= more
        waiting += more
    return found


def _port(service: Service, usual: int = 0) -> int:
    ports = [each.container_port for each in service.ports]
    return next((each for each in (usual, *_PLAIN) if each in ports), ports[0])


def _of_server(stack: Stack, servers: Mapping[str, Recognised]) -> Front:
    """Nothing of the user's own has a port: the phones speak to a server itself."""
    published = [name for name in servers if stack.services[name].ports] or [*servers]
    order = sorted(
        published, key=lambda name: (not servers[name].server.driver, servers[name].server.role != "database")
    )
    name, server = order[0], servers[order[0]].server
    service = stack.services[name]
    port = _port(service, server.port) if service.ports else server.port
    lonely = len(stack.services) == 1
    why = "it is the only service" if lonely else "no service of your own publishes a port"
    others = [each for each in order[1:] if each != name]
    doubt = f"or is it {' or '.join(others)}?" if others else ""
    return Front(name, port, why, doubt, is_published=bool(service.ports))


def _unpublished(service: Service) -> Front:
    """No service publishes a port that could be it."""
    if service.ports:
        return Front(service.name, _port(service), "it publishes a port", "nothing says that records come in there")
    check = " ".join(service.healthcheck.test) if service.healthcheck else ""
    if asked := _PORT_ASKED.search(check):
        return Front(service.name, int(asked[1]), f"its health check asks port {asked[1]}", is_published=False)
    if exposed := _exposed(service):
        return Front(service.name, exposed, f"its Dockerfile exposes port {exposed}", is_published=False)
    if (given := service.environment.get("PORT", "")).isdecimal() and 0 < int(given) < 65536:
        return Front(service.name, int(given), f"its variable PORT is {given}", is_published=False)
    doubt = f"no service publishes a port, and nothing says on which one {service.name} listens: put it in"
    return Front(service.name, _UNKNOWN_PORT, "it is the first service", doubt, is_published=False)


def _exposed(service: Service) -> int:
    if service.build is None:
        return 0
    words = [
        word.partition("/")[0]
        for each in read_dockerfile(dockerfile_of(service.build)).instructions
        if each.keyword == "EXPOSE"
        for word in each.words
    ]
    return next((int(word) for word in words if word.isdecimal() and 0 < int(word) < 65536), 0)
