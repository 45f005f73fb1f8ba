"""The table of fixtures/zoo: what is wrong with each variant, what makes its twin right, and where it is looked for."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

TABLE = Path(__file__).parents[2] / "fixtures" / "zoo" / "zoo.yaml"


@dataclass(frozen=True)
class Variant:
    """One bug of the table.

    Attributes:
        anomaly: The class that its trials end with.
        experiment: The file that shows it.
        fixed: What the twin has in the place of the experiment's `variables` or `stack`.
        space: What else an experiment has with which it is looked for.
    """

    name: str
    anomaly: str
    experiment: Path
    fixed: Mapping[str, Any]
    space: Mapping[str, Any]

    @property
    def shown(self) -> dict[str, Any]:
        """The experiment that shows it, as it stands in its file."""
        found: dict[str, Any] = yaml.safe_load(self.experiment.read_text())
        return found

    @property
    def twin(self) -> dict[str, Any]:
        """The same experiment on the fixed twin; a mix that is thin on a slow machine says nothing against it."""
        shown = self.shown
        checks = {**shown.get("checks", {}), "require_mix": False}
        return {**shown, "variables": {}, **self.fixed, "checks": checks, "expect": "HELD"}

    @property
    def sought(self) -> dict[str, Any]:
        """The variant without its schedule, in its space."""
        bug = {key: value for key, value in self.shown.items() if key in ("stack", "variables")}
        return {"experiment": f"zoo_{self.name}", **bug, **self.space}

    @property
    def sought_in_twin(self) -> dict[str, Any]:
        """The fixed twin in the same space, where nothing may be found."""
        return {**self.sought, "experiment": f"zoo_{self.name}_fixed", "variables": {}, **self.fixed}


@contextmanager
def beside(variant: Variant, experiment: Mapping[str, Any]) -> Iterator[Path]:
    """An experiment as a file for a while, where its relative paths and its driver are found."""
    with tempfile.NamedTemporaryFile("w", dir=variant.experiment.parent, prefix=".zoo-", suffix=".yaml") as file:
        yaml.safe_dump(dict(experiment), file, sort_keys=False)
        file.flush()
        yield Path(file.name)


def table(path: Path = TABLE) -> dict[str, Variant]:
    """Every variant by its name."""
    found = yaml.safe_load(path.read_text())
    return {
        name: Variant(
            name,
            entry["class"],
            (path.parent / entry["experiment"]).resolve(),
            entry.get("fixed", {}),
            found["spaces"][entry["space"]],
        )
        for name, entry in found["variants"].items()
    }


def write(variants: Sequence[Variant], folder: Path) -> None:
    """Write each as an experiment without a schedule."""
    folder.mkdir(parents=True, exist_ok=True)
    for variant in variants:
        sought = variant.sought
        files = sought["stack"] if isinstance(sought["stack"], list) else [sought["stack"]]
        sought["stack"] = [str((variant.experiment.parent / file).resolve()) for file in files]
        (folder / f"{variant.name}.yaml").write_text(yaml.safe_dump(sought, sort_keys=False))
