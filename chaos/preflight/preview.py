"""What `holdfast validate` prints: what a run would touch, everything that was drawn, and warnings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from chaos.experiment.mix import too_thin
from chaos.experiment.plan import Plan, ScheduledFault
from chaos.faults import known_faults
from chaos.preflight.warnings import disk_warnings, not_covered, topology_warnings
from chaos.stack.patience import patience_warnings
from chaos.stack.spec import LOCAL, NOCOPY, Lun, Service, Stack


def preview(plans: Sequence[Plan], stack: Stack, before: Sequence[str] = ()) -> list[str]:
    """All of it, as `holdfast validate` prints it; `before` are warnings that come before those of plan and stack."""
    plan = plans[0]
    lines = [f"{plan.experiment} · seed {plan.seed} · expects {plan.expect}"]
    lines += [f"  {line}" for line in touched(stack)]
    lines += [f"  {line}" for line in drawn(plan, stack)]
    for number, later in enumerate(plans[1:], start=2):
        lines.append(f"trial {number} of {len(plans)} · seed {later.seed}")
        lines += [f"  fault {i}: {_fault(fault, stack)}" for i, fault in enumerate(later.schedule, start=1)]
    return lines + [f"  warning: {line}" for line in (*before, *warnings(plan, stack))]


def touched(stack: Stack) -> list[str]:
    """The containers, LUNs, volumes and ports that a run would make. Never a value of an environment."""
    lines = [f"stack {stack.name}, from {stack.source}"]
    lines += [_service(service, stack) for service in stack.services.values()]
    for array, luns in stack.arrays.items():
        sizes = [_disk(stack.luns[name]) for name in luns]
        lines.append(f"{'local disks' if array == LOCAL else f'array {array}'}: {', '.join(sizes)}")
    name, port = stack.front_door
    if stack.carrier:
        lines.append(f"carrier: a Toxiproxy between the phones and {name}:{port}, on 2 ports of 127.0.0.1")
    lines.append(f"front door {name}:{port} by driver {stack.driver}, {stack.policy}, {stack.idempotency}")
    return lines


def drawn(plan: Plan, stack: Stack) -> list[str]:
    """Every drawn parameter of the plan."""
    lines = [f"workload: {_values(plan.workload.settings)}"]
    for i, fault in enumerate(plan.schedule, start=1):
        lines.append(f"fault {i}: {_fault(fault, stack)}")
    lines += [f"checks: {_values(vars(plan.checks))}", f"limits: {_values(plan.limits.seconds)}"]
    if plan.variables:
        lines.append(f"variables: {_values(plan.variables)}")
    if plan.profiles:
        lines.append(f"profiles: {', '.join(plan.profiles)}")
    if plan.images:
        lines.append(f"images: {_values(plan.images)}")
    if plan.driver:
        lines.append(f"driver: {plan.driver}")
    return lines


def warnings(plan: Plan, stack: Stack) -> list[str]:
    """Warnings: what may make the trial INCONCLUSIVE, or a fault take more than meant."""
    found = [*stack.unset, *stack.unsafe, *stack.notes, *topology_warnings(stack), *disk_warnings(stack)]
    found += [f"{path} is a file on no LUN: what is written to it is not covered" for path in not_covered(stack)]
    found += patience_warnings(plan.limits, stack)
    if plan.checks.require_mix and (thin := too_thin(plan.workload)):
        found.append(f"the mix is too thin for HELD: {', '.join(thin)}")
    return found


def _disk(lun: Lun) -> str:
    options = f" ({', '.join(lun.mount_options)})" if lun.mount_options else ""
    return f"{lun.name} {lun.size_bytes >> 20} MiB {lun.filesystem}{options}"


def _service(service: Service, stack: Stack) -> str:
    image = service.image or (f"built from {service.build.context}" if service.build else "")
    parts = [f"service {service.name}: {image}"]
    for mount in service.mounts:
        contents = stack.luns[mount.source].contents if mount.kind == "lun" else ""
        blank = mount.kind == "lun" and NOCOPY in mount.options and not contents
        before = "copy of " if mount.kind == "file" else "blank " if blank else ""
        source = f"{before}{mount.kind} {mount.source}".rstrip()
        source += f" with a copy of {contents}" if contents else ""
        parts.append(f"{source} at {mount.target}{' read-only' if mount.read_only else ''}")
    parts += [f"port 127.0.0.1:{port.host_port or '*'} to {port.container_port}" for port in service.ports]
    return ", ".join(parts)


def _fault(fault: ScheduledFault, stack: Stack) -> str:
    text = f"{fault.fault} {fault.target} {fault.at}"
    if fault.for_seconds is not None:
        text += f" for {fault.for_seconds:g} s"
    if fault.parameters:
        text += f", {_values(fault.parameters)}"
    return f"{text} (strikes {known_faults()[fault.fault].medium.strikes(fault.target, stack)})"


def _values(values: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())
