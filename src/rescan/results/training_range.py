"""`training_range.safetensors` of a run: what images its network was trained on; no names, no ids."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, NamedTuple, Optional

import numpy as np
from pydantic import Field, ValidationError, model_validator
from typing_extensions import Self

from rescan import touched
from rescan.files import write_tensors
from rescan.results.arrays import CHECKSUM, checksum, read_metadata
from rescan.results.damage import damaged
from rescan.results.json_result import Count, Part, fault_in

STEP = "infer"
LEVELS = (0.0, 0.001, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 0.999, 1.0)  # of all quantiles in the file
SIZES = ("depth", "height", "width")
DISTANCES = ("features", "picture")
FLOAT = "torch.float32"  # of the tensors, in their checksum

Quantiles = Annotated[list[float], Field(min_length=len(LEVELS), max_length=len(LEVELS))]


class Spread(Part):
    """A quantity's quantiles at LEVELS, on training images and on images that the network did not see in training.

    Attributes:
        training: On training images.
        held_out: On the run's validation part; of an arm that validates on the test part, on that.
    """

    training: Quantiles
    held_out: Quantiles

    @model_validator(mode="after")
    def _rises(self) -> Self:
        if any(sorted(values) != values for values in (self.training, self.held_out)):
            raise ValueError("quantiles must not fall")
        return self

    def at(self, level: float) -> tuple[float, float]:
        """The quantiles at one of LEVELS: of training, and of the images held out."""
        place = LEVELS.index(level)
        return self.training[place], self.held_out[place]


class Measured(Spread):
    """A distance from the training images' distribution, a Gaussian.

    Attributes:
        limit: The distance above which an image is unlike them (`feature_distance.limit_of`).
        noise: The variance that each direction has beside that of the Gaussian's components.
    """

    limit: Annotated[float, Field(ge=0)]
    noise: Annotated[float, Field(gt=0)]


class RangeHeader(Part):
    """What is known of a run's training images.

    Attributes:
        version: Of Rescan.
        study: The study.
        arm: The arm.
        fold: The fold.
        seed: The seed.
        model: The checksum of its model file, if that has one.
        images: How many training images were looked at, drawn from all.
        held_out: How many of the images held out.
        features: The distance in feature space, of what the heads take; None where that is no numbers.
        picture: The distance by gray levels, contrast and detail of the prepared image (`gray_statistics`); None with
            one training image.
        gray: These by name, in gray levels of [0, 255].
        sizes: The smallest and the largest depth, height and width of the source files, in pixels; without those that
            are unknown.
        extents: Of prepared volumes the least and the greatest depth, height and width in millimeters (of files that do
            not say it, in their voxels).
        devices: The devices of the training images, as their headers or the data set's table say; only those of so many
            images that they tell of nobody.
        other_devices: How many training images are of other devices.
    """

    version: str
    study: str
    arm: str
    fold: int
    seed: int
    model: Optional[str]
    images: Count
    held_out: Count
    features: Optional[Measured]
    picture: Optional[Measured]
    gray: dict[str, Spread]
    sizes: dict[str, tuple[Count, Count]]
    extents: dict[str, tuple[float, float]]
    devices: list[str]
    other_devices: Count


class Gaussian(NamedTuple):
    """The distribution of vectors of a run's training images (`rescan.metrics.feature_distance`).

    Attributes:
        center: (D,) float32.
        components: (k, D) float32, orthonormal rows.
        variances: (k,) float32, along the components.
    """

    center: np.ndarray
    components: np.ndarray
    variances: np.ndarray


class TrainingRange(NamedTuple):
    """The file.

    Attributes:
        header: Its header.
        gaussians: By distance: features, picture; those that the header has.
        file: Where it was read.
    """

    header: RangeHeader
    gaussians: dict[str, Gaussian]
    file: str = ""


def extent_of(affines: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """What volumes of (D, H, W) voxels measure along these axes, (n, 3), by their affines (n, 4, 4)."""
    lengths: np.ndarray = np.linalg.norm(affines[:, :3, :3], axis=1) * np.array(shape)
    return lengths


def write_range(path: str | Path, training: TrainingRange) -> None:
    """Write the file; equal contents make equal bytes.

    Raises:
        OSError: The file cannot be written.
    """
    from safetensors.numpy import save_file

    tensors = {
        f"{name}.{field}": np.ascontiguousarray(values, np.float32)
        for name, gaussian in training.gaussians.items()
        for field, values in gaussian._asdict().items()
    }
    content = training.header.model_dump(mode="json")
    content[CHECKSUM] = _checksum(tensors, content)
    write_tensors(path, save_file, tensors, {"rescan": json.dumps(content, ensure_ascii=False)})


def read_range(path: str | Path) -> TrainingRange:
    """Read the file.

    Raises:
        RescanError: It is missing or damaged, or none of this kind; or holds values that are no numbers.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    touched.read(path)
    text = read_metadata(path, STEP).get("rescan", "")
    try:
        tensors = load_file(str(path))
        content = dict(json.loads(text))
        expected = content.pop(CHECKSUM, None)
        header = RangeHeader.model_validate_json(json.dumps(content), strict=True)
    except ValidationError as error:
        raise damaged(path, STEP, f"its header is not that of a training range ({fault_in(error)})") from None
    except (SafetensorError, OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise damaged(path, STEP, f"not a training range ({error})") from None
    if expected != _checksum(tensors, content):
        raise damaged(path, STEP, "its numbers or its header are not as they were written")
    measured = [name for name in DISTANCES if getattr(header, name) is not None]
    if set(tensors) != {f"{name}.{field}" for name in measured for field in Gaussian._fields}:
        raise damaged(path, STEP, "its header and its numbers do not belong together")
    return TrainingRange(header, {name: _gaussian(path, name, tensors) for name in measured}, str(path))


def _gaussian(path: str | Path, name: str, tensors: dict[str, np.ndarray]) -> Gaussian:
    gaussian = Gaussian(*(tensors[f"{name}.{field}"] for field in Gaussian._fields))
    count, size = len(gaussian.variances), gaussian.center.size
    if gaussian.center.ndim != 1 or gaussian.components.shape != (count, size) or gaussian.variances.ndim != 1:
        raise damaged(path, STEP, "the shapes of its numbers do not fit each other")
    if not all(values.dtype == np.float32 and np.isfinite(values).all() for values in gaussian):
        raise damaged(path, STEP, "holds values that are no finite numbers")
    if (gaussian.variances < 0).any():
        raise damaged(path, STEP, "holds a negative variance")
    return gaussian


def _checksum(tensors: dict[str, np.ndarray], header: dict[str, Any]) -> str:
    return checksum({name: (FLOAT, values.shape, values.tobytes()) for name, values in tensors.items()}, header)
