"""Where the voxels of a file lie in the world, and how its array is turned into a volume, (depth, height, width).

World coordinates are millimeters to the patient's left-right, front-back, down-up: x to the left is negative, y to the
back is negative, z is up (RAS+, as in NIfTI).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from rescan.data.images import Unreadable

# Of depth, height, width: the world axis that each runs along, and which way: up, to the back, to the left.
WANTED = ((2, 1), (1, -1), (0, -1))
SHEAR = 0.005  # cosine between two axes; over 200 voxels that is a shift by one


class Turn(NamedTuple):
    """Which of a file's axes become depth, height and width, and which of these three then run backward."""

    axes: tuple[int, ...]
    flips: tuple[bool, ...]


class Source(NamedTuple):
    """A volume's file or folder, its headers read and its voxels not yet.

    Attributes:
        kind: `stack`, `nifti` or `dicom`.
        shape: Of its own array.
        affine: (4, 4) float64, from the indices of its own array to world millimeters.
        turn: Brings its own array to (depth, height, width).
        dtype: Of the voxels as they are given.
        planes: Gives its own array plane by plane along the last axis; raises `Unreadable`.
    """

    kind: str
    shape: tuple[int, int, int]
    affine: np.ndarray
    turn: Turn
    dtype: np.dtype
    planes: Callable[[], Iterator[np.ndarray]]


def checked(affine: np.ndarray) -> np.ndarray:
    """Give back an affine, (4, 4) float64, whose axes are at right angles.

    Raises:
        Unreadable: It is singular, not finite, or sheared.
    """
    matrix = affine[:3, :3]
    lengths = np.linalg.norm(matrix, axis=0)
    if not np.isfinite(affine).all() or lengths.min() <= 0 or abs(np.linalg.det(matrix / lengths)) < 1e-6:
        raise Unreadable("singular affine: it does not say where the voxels lie; mend the header")
    cosines = (matrix / lengths).T @ (matrix / lengths)
    if abs(cosines[np.triu_indices(3, 1)]).max() > SHEAR:
        raise Unreadable("sheared affine: the axes are not at right angles; resample the volume")
    return affine


def turn_of(affine: np.ndarray) -> Turn:
    """The turn, without any resampling, that brings a file's axes nearest to those wanted."""
    directions = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)

    def nearness(axes: tuple[int, ...]) -> float:
        return sum(abs(directions[world, axis]) for (world, _), axis in zip(WANTED, axes))

    axes = max(itertools.permutations(range(3)), key=nearness)
    return Turn(axes, tuple(bool(directions[world, axis] * way < 0) for (world, way), axis in zip(WANTED, axes)))


def turned(shape: tuple[int, ...], affine: np.ndarray, turn: Turn) -> tuple[tuple[int, int, int], np.ndarray]:
    """The shape and the affine of an array after a turn."""
    depth, height, width = (shape[axis] for axis in turn.axes)
    affine = affine[:, [*turn.axes, 3]]
    for axis, size in enumerate((depth, height, width)):
        if turn.flips[axis]:
            affine[:, 3] += affine[:, axis] * (size - 1)
            affine[:, axis] *= -1
    return (depth, height, width), affine


def own_view(volume: np.ndarray, turn: Turn) -> np.ndarray:
    """A view of a volume, (depth, height, width), in the order of its file."""
    flipped = volume[tuple(slice(None, None, -1 if flip else 1) for flip in turn.flips)]
    return flipped.transpose(np.argsort(turn.axes))


def scaled_type(stored: np.dtype, slopes: set[float], intercepts: set[float]) -> np.dtype:
    """The type of stored values once they are multiplied by a slope and an intercept is added.

    Their own where nothing changes; the smallest integer that holds them all where whole numbers are added to whole
    numbers; else float32.
    """
    if slopes == {1} and intercepts == {0}:
        return stored.newbyteorder("=")
    if stored.kind in "iu" and slopes == {1} and all(float(value).is_integer() for value in intercepts):
        limits = np.iinfo(stored)
        low, high = limits.min + min(intercepts), limits.max + max(intercepts)
        for name in ("uint8", "int16", "uint16", "int32"):
            if np.iinfo(name).min <= low and high <= np.iinfo(name).max:
                return np.dtype(name)
    return np.dtype(np.float32)


def scaled(plane: np.ndarray, slope: float, intercept: float) -> np.ndarray:
    """`plane · slope + intercept`, in float64 unless nothing changes."""
    return plane if (slope, intercept) == (1, 0) else plane * np.float64(slope) + intercept
