"""What the page says of autoencoders: what they have seen, and what they make of validation samples."""

from __future__ import annotations

from typing import Any

from rescan.paths import Paths
from rescan.reporting.page.arm_results import image, optional
from rescan.study import Study


def autoencoders(study: Study) -> list[dict[str, Any]]:
    """For each autoencoder that an arm starts from, its first run's results; None or empty where it has not run."""
    users: dict[str, list[str]] = {}
    for arm in study.arms:
        if name := study.autoencoder(arm):
            users.setdefault(name, []).append(arm)
    found = []
    for name, arms in users.items():
        described, (fold, seed) = study.autoencoders[name], study.runs(arms[0])[0]
        folder = Paths(study.scale, study.name).autoencoder(name, fold, seed)
        history = optional(f"{folder}/history.csv") or []
        best = next((row for row in reversed(history) if row["kept"] == 1), None)
        figures = (
            (
                f"{folder}/reconstructions.png",
                "Validation samples and what the autoencoder makes of them, equally brightened.",
            ),
            (f"{folder}/curves.png", "Mean squared error of the normalized samples over the epochs."),
        )
        found.append(
            {
                "name": name,
                "arms": arms,
                "leaks": described.samples == "all",
                "run": {"fold": fold, "seed": seed},
                "epochs": len(history),
                "best": best,
                "figures": [(drawn, text) for file, text in figures if (drawn := image(file, f"{name}: {text}"))],
            }
        )
    return found
