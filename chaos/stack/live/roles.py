"""Who has a role: said by the Compose file, or, of a role that moves, asked of the services themselves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from chaos.agent.wire import Ask, Question
from chaos.stack.agent.link import Agent
from chaos.stack.spec import Stack

ASK_SECONDS_MAX = 1.0
_WATCH_SECONDS = 1.0


class Roles:
    """The roles of a running stack."""

    def __init__(self, stack: Stack, agent: Agent) -> None:
        """Nobody is asked yet."""
        self._stack = stack
        self._agent = agent

    async def holders(self, roles: Iterable[str]) -> dict[str, tuple[str, ...]]:
        """The services that have each of these roles now, in the order of the file; none is an answer too.

        A service that says nothing within a second does not have it.

        Raises:
            AgentError: The agent is gone.
        """
        roles = list(roles)
        asked = [
            (role, service) for role in roles if role in self._stack.role_checks for service in self._stack.roles[role]
        ]
        questions = tuple(Question(service, **vars(self._stack.role_checks[role])) for role, service in asked)
        answers: tuple[bool, ...] = ()
        if questions:
            answers = (await self._agent.call(Ask(questions, ASK_SECONDS_MAX))).agreed
        have = {pair for pair, agrees in zip(asked, answers, strict=True) if agrees}
        return {
            role: tuple(
                service
                for service in self._stack.roles.get(role, ())
                if role not in self._stack.role_checks or (role, service) in have
            )
            for role in roles
        }

    async def watch(self, changed: Callable[[str, tuple[str, ...]], None]) -> None:
        """Ask about once a second, until cancelled, and tell of each role that moves who has it whenever that changes.

        Raises:
            AgentError: The agent is gone.
        """
        known: dict[str, tuple[str, ...]] = {}
        while self._stack.role_checks:
            for role, services in (await self.holders(self._stack.role_checks)).items():
                if known.get(role) != services:
                    known[role] = services
                    changed(role, services)
            await asyncio.sleep(_WATCH_SECONDS)
