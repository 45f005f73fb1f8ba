"""A plan on its stack in plain lines: what would be touched, all that was drawn, and what to be wary of."""

from __future__ import annotations

from collections.abc import Mapping

from chaos.experiment.plan import Plan, ScheduledFault, Trigger, Workload
from chaos.stack.spec import ANY, LOCAL, Service, Stack
from chaos.stack.targets import luns_struck, services_struck
from chaos.stack.warnings import disk_warnings, not_covered, topology_warnings

MIX_MIN: Mapping[str, float] = {
    "updates": 0.25,
    "deletes": 0.05,
    "contended": 0.10,
    "photos": 0.05,
    "resets": 1,
}
"""Below this a trial that requires the mix cannot be HELD."""


def preview(plan: Plan, stack: Stack) -> list[str]:
    """All of it, as `holdfast validate` prints it."""
    lines = [f"{plan.experiment} · seed {plan.seed} · expects {plan.expect}"]
    lines += [f"  {line}" for line in touched(stack)]
    lines += [f"  {line}" for line in drawn(plan, stack)]
    return lines + [f"  warning: {line}" for line in warnings(plan, stack)]


def touched(stack: Stack) -> list[str]:
    """The containers, LUNs, volumes and ports that a run would make. Never a value of an environment."""
    lines = [f"stack {stack.name}, from {stack.source}"]
    lines += [_service(service, stack) for service in stack.services.values()]
    for array, luns in stack.arrays.items():
        sizes = [f"{name} {stack.luns[name].size_bytes >> 20} MiB {stack.luns[name].filesystem}" for name in luns]
        lines.append(f"{'local disks' if array == LOCAL else f'array {array}'}: {', '.join(sizes)}")
    name, port = stack.front_door
    if stack.carrier:
        lines.append(f"carrier: a Toxiproxy between the phones and {name}:{port}, on 2 ports of 127.0.0.1")
    lines.append(f"front door {name}:{port} by driver {stack.driver}, {stack.policy}, {stack.idempotency}")
    return lines


def drawn(plan: Plan, stack: Stack) -> list[str]:
    """Every drawn parameter of the plan."""
    lines = [f"workload: {_values(vars(plan.workload))}"]
    for i, fault in enumerate(plan.schedule, start=1):
        lines.append(f"fault {i}: {_fault(fault, stack)}")
    lines += [f"checks: {_values(vars(plan.checks))}", f"limits: {_values(vars(plan.limits))}"]
    if plan.variables:
        lines.append(f"variables: {_values(plan.variables)}")
    if plan.profiles:
        lines.append(f"profiles: {', '.join(plan.profiles)}")
    if plan.driver:
        lines.append(f"driver: {plan.driver}")
    return lines


def warnings(plan: Plan, stack: Stack) -> list[str]:
    """What may make the verdict thinner, or the loss wider, than meant."""
    found = topology_warnings(stack) + disk_warnings(stack)
    found += [f"{path} is a file on no LUN: what is written to it is not covered" for path in not_covered(stack)]
    if plan.checks.require_mix and (thin := _thin(plan.workload)):
        found.append(f"the mix is too thin for HELD: {', '.join(thin)}")
    return found


def _service(service: Service, stack: Stack) -> str:
    image = service.image or (f"built from {service.build.context}" if service.build else "")
    parts = [f"service {service.name}: {image}"]
    for mount in service.mounts:
        source = f"{'copy of ' if mount.kind == 'file' else ''}{mount.kind} {mount.source}".rstrip()
        contents = stack.luns[mount.source].contents if mount.kind == "lun" else ""
        source += f" with a copy of {contents}" if contents else ""
        parts.append(f"{source} at {mount.target}{' read-only' if mount.read_only else ''}")
    parts += [f"port 127.0.0.1:{port.host_port or '*'} to {port.container_port}" for port in service.ports]
    return ", ".join(parts)


def _fault(fault: ScheduledFault, stack: Stack) -> str:
    text = f"{fault.fault} {fault.target} at {_when(fault.at)}"
    if fault.for_seconds is not None:
        text += f" for {fault.for_seconds:g} s"
    if fault.parameters:
        text += f", {_values(fault.parameters)}"
    if fault.target.carrier:
        return f"{text} (strikes every phone's path to the front door)"
    luns = luns_struck(fault.target, stack)
    strikes = [f"LUNs {', '.join(luns)}"] if luns else []
    strikes.append(f"services {', '.join(services_struck(fault.target, stack)) or 'none'}")
    moving = [name for name in fault.target.named if name.removeprefix(ANY) in stack.role_checks]
    if moving:
        strikes.append(f"of these whoever is {', '.join(moving)} then")
    return f"{text} (strikes {'; '.join(strikes)})"


def _when(at: Trigger) -> str:
    if at.acknowledged is not None:
        return f"ack {at.acknowledged:,}"
    return f"{at.seconds:g} s" if at.seconds is not None else f"the begin of {at.phase}"


def _values(values: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())


def _thin(workload: Workload) -> list[str]:
    given: Mapping[str, float] = vars(workload)
    return [f"{name} {given[name]:g} is below {least:g}" for name, least in MIX_MIN.items() if given[name] < least]
