"""An arm that tests share."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_readouts import write_arm

from rescan.arm_models import Arm, load_arm
from rescan.results.posttraining import FittedPoint


@pytest.fixture(scope="session")
def arm_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_arm(tmp_path_factory.mktemp("arms") / "arm")


@pytest.fixture(scope="session")
def arm(arm_folder: Path) -> Arm:
    return load_arm(arm_folder)


@pytest.fixture(scope="session")
def point(arm: Arm) -> FittedPoint:
    return arm.posttraining.points[0]
