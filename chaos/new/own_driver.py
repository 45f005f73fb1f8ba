"""The text of a driver that is to be filled in, for a service that no driver speaks to."""

from __future__ import annotations

from typing import Final

from chaos.new.guess import Guess

NAME: Final = "experiments/driver.py"

_HEAD: Final = '''\
"""How a phone speaks to {service}. Fill in what is marked TODO, then: holdfast driver-test {experiment}

What the verdict rests on:

- A call makes one attempt, and no retry: the phone itself tries again.
- To return means acknowledged.
- `Refused` means definitely not applied, now or later. `NotNow` means the same, and that it may be tried again.
- Whatever else is raised, and a call that takes too long, means that nobody knows. When in doubt, let it through.
"""

from __future__ import annotations

'''

_METHODS: Final = '''
    async def put(self, record: Record, base: WriteId | None, key: str) -> Ack:
        """Create or update the record `record.name` of `self.user`."""
        # TODO: store record.type, record.write and all of record.fields as they are, such as
        #     {put}
        #     return Ack()
        # Under `conflict: reject` in holdfast.yaml only if {service} still has the write `base` (None: no record).
        raise NotImplementedError("TODO: put")

    async def delete(self, name: str, base: WriteId | None, key: str) -> Ack:
        """Delete the record of this name."""
        # TODO: such as
        #     {delete}
        #     return Ack()
        raise NotImplementedError("TODO: delete")

    async def everything(self) -> Sequence[Record]:
        """All records of `self.user` that are there, asked of the service each time."""
        # TODO: such as
        #     {read}
        #     return [Record(self.user, n["name"], n["type"], n["write"], n["fields"]) for n in found]
        # A damaged record is returned as it is: it is a finding, and no error.
        raise NotImplementedError("TODO: everything")
'''

_HTTP_BEGIN: Final = '''\
from collections.abc import Sequence
from typing import Any

import aiohttp

from chaos import Ack, ConnectedSession, NotNow, Record, Refused, WriteId, send_once


class Phone(ConnectedSession[aiohttp.ClientSession]):
    """One phone of one user: `self.user` is whose, `self.device` what it is called."""

    async def connect(self) -> aiohttp.ClientSession:
        """A client that sends every request once."""
        address = f"http://{{self.front_door.host}}:{{self.front_door.port}}"
        # TODO: where {service} wants users to log in, do it here, such as by headers={{"Authorization": ...}}.
        return aiohttp.ClientSession(address, middlewares=(send_once,))

    async def disconnect(self, link: aiohttp.ClientSession) -> None:
        """Close its connections."""
        await link.close()
'''

_HTTP_END: Final = '''
    async def _ask(self, method: str, path: str, **more: Any) -> Any:
        """Send a request; what it answers as JSON, None for an empty answer."""
        async with self.connected() as link:
            try:
                async with link.request(method, path, **more) as answer:
                    # TODO: by which statuses does {service} say that it applied nothing?
                    if answer.status in (400, 401, 403, 404, 405, 409, 412, 422):
                        raise Refused(f"{{method}} {{path}}: {{answer.status}}")
                    if answer.status in (429, 503):
                        raise NotNow(f"{{method}} {{path}}: {{answer.status}}")
                    answer.raise_for_status()
                    return await answer.json() if await answer.read() else None
            except aiohttp.ClientConnectorError as error:
                raise NotNow(str(error)) from error
'''

_PLAIN_BEGIN: Final = '''\
from collections.abc import Sequence

from chaos import Ack, PlainSession, Record, WriteId


class Phone(PlainSession):
    """One phone of one user: `self.user` is whose, `self.device` what it is called.

    TODO: connect to self.front_door.host, self.front_door.port in each call, with retries and pools of the client's
    library switched off; or derive from `ConnectedSession`, which keeps a connection.
    """
'''

_HTTP_SAMPLES: Final = {
    "put": 'await self._ask("PUT", f"/notes/{self.user}/{record.name}", json={"type": record.type, ...})',
    "delete": 'await self._ask("DELETE", f"/notes/{self.user}/{name}")',
    "read": 'found = await self._ask("GET", f"/notes/{self.user}")',
}
_PLAIN_SAMPLES: Final = {
    "put": "await client.store(self.user, record.name, record.type, record.write, record.fields)",
    "delete": "await client.delete(self.user, name)",
    "read": "found = await client.all_of(self.user)",
}


def own_driver(guess: Guess, experiment: str) -> str:
    """The whole module; `experiment` is one by which it can be tried."""
    parts, samples = [_HEAD, _PLAIN_BEGIN, _METHODS], _PLAIN_SAMPLES
    if guess.speaks_http:
        parts, samples = [_HEAD, _HTTP_BEGIN, _METHODS, _HTTP_END], _HTTP_SAMPLES
    names = {"service": guess.front.service, "experiment": experiment, **samples}
    return "".join(part.format(**names) for part in parts)
