"""Augmentations, in the order in which they apply: affine and local warps first, which are fused and sampled once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Optional

from rescan.catalogue.record import Record, by_name

FORMS = {"range": "two numbers [low, high]", "amount": "a number ≥ 0", "probability": "a number in [0, 1]"}


@dataclass(frozen=True)
class Augmentation(Record):
    """A function that draws for each image of a batch anew. A study file gives its strength.

    Attributes:
        form: What a strength is.
        below: What the numbers of a strength must be less than.
        most: What they may be at most; probabilities are at most 1.
        takes: What it is for.
        applies: What it returns: an affine warp's matrices, a local warp's displacements, or images.
        fills: Whether it is given the background to fill with.
        of_volumes: The sentence of volumes, where it is another one.
    """

    kind = "augmentation"
    form: Literal["amount", "range", "probability"] = "amount"
    below: Optional[float] = None
    most: Optional[float] = None
    takes: Literal["images", "volumes", "both"] = "images"
    applies: Literal["affine", "local", "pixels"] = "pixels"
    fills: bool = False
    of_volumes: str = ""

    def check(self, strength: Any) -> None:
        """Check the form and bounds of a strength.

        Raises:
            ValueError: It does not fit.
        """
        numbers = strength if isinstance(strength, list) else [strength]
        fits = all(isinstance(n, (int, float)) and not isinstance(n, bool) and n >= 0 for n in numbers)
        if self.form == "range":
            fits = fits and isinstance(strength, list) and len(strength) == 2 and strength[0] <= strength[1]
        else:
            fits = fits and not isinstance(strength, list) and (self.form == "amount" or strength <= 1)
        if not fits:
            raise ValueError(f"{self.name} needs {FORMS[self.form]}, not {strength!r}")
        for number in numbers:
            if self.below is not None and number >= self.below:
                raise ValueError(f"{self.name} must be below {self.below}, but is {number!r}")
            if self.most is not None and number > self.most:
                raise ValueError(f"{self.name} must be at most {self.most:g}, but is {number!r}")

    def is_for(self, dimensions: int) -> bool:
        """Whether it is for images (2) or volumes (3)."""
        return self.takes in ("both", {2: "images", 3: "volumes"}[dimensions])

    def say_strength(self, strength: Any, dimensions: int) -> str:
        """The sentence of a strength, of images (2) or volumes (3)."""
        return ((dimensions == 3 and self.of_volumes) or self.sentence).format(strength)

    def schema(self) -> dict[str, Any]:
        """The JSON Schema of a strength."""
        number: dict[str, Any] = {"type": "number", "minimum": 0}
        most = 1 if self.form == "probability" else self.most
        number.update({"maximum": most} if most is not None else {})
        number.update({"exclusiveMaximum": self.below} if self.below is not None else {})
        pair = {"type": "array", "items": number, "minItems": 2, "maxItems": 2}
        return {**(pair if self.form == "range" else number), "description": self.about}


AUGMENTATIONS = by_name(
    Augmentation(
        "rotation",
        "rescan.training.warps:rotation",
        about="largest angle, degrees; of volumes about the depth axis",
        sentence="rotation by up to ±{0}°",
        of_volumes="rotation about the depth axis by up to ±{0}°",
        takes="both",
        applies="affine",
        most=360,
    ),
    Augmentation(
        "tilt",
        "rescan.training.warps:tilt",
        about="largest angle about the two other axes of a volume, degrees",
        sentence="tilt about the two other axes by up to ±{0}°",
        below=90,
        takes="volumes",
        applies="affine",
    ),
    Augmentation(
        "shift",
        "rescan.training.warps:shift",
        about="largest share of the width and height",
        sentence="shift by up to ±{0} of the side",
        takes="both",
        applies="affine",
        most=10,
    ),
    Augmentation(
        "shear",
        "rescan.training.warps:shear",
        about="largest angle, degrees",
        sentence="shear by up to ±{0}°",
        below=90,
        applies="affine",
    ),
    Augmentation(
        "zoom",
        "rescan.training.warps:zoom",
        about="[low, high], each axis by itself; 1.2 shows 1.2 times as much, so smaller",
        sentence="zoom of each axis by {0[0]}–{0[1]} (a larger value shows more, smaller)",
        form="range",
        takes="both",
        applies="affine",
        most=100,
    ),
    Augmentation(
        "scale",
        "rescan.training.warps:scale",
        about="[low, high], both axes alike; as for `zoom`",
        sentence="scaling of both axes alike by {0[0]}–{0[1]} (a larger value shows more, smaller)",
        of_volumes="scaling of all axes alike by {0[0]}–{0[1]} (a larger value shows more, smaller)",
        form="range",
        takes="both",
        applies="affine",
        most=100,
    ),
    Augmentation(
        "crop_and_pad",
        "rescan.training.warps:crop_and_pad",
        about="largest share of the size by which each side is moved in or out",
        sentence="each side cropped or padded by up to {0} of the image's",
        below=0.5,
        applies="affine",
    ),
    Augmentation(
        "optical_distortion",
        "rescan.training.warps:optical_distortion",
        about="largest coefficient of a lens's distortion",
        sentence="optical distortion (barrel or pincushion), coefficient up to ±{0}",
        applies="local",
        most=10,
    ),
    Augmentation(
        "grid_distortion",
        "rescan.training.warps:grid_distortion",
        about="largest share of a cell by which the lines of a 5 × 5 grid move",
        sentence="grid distortion (the inner lines of a 5×5 grid moved by up to ±{0} of a cell)",
        below=0.5,
        applies="local",
    ),
    Augmentation(
        "piecewise_affine",
        "rescan.training.warps:piecewise_affine",
        about="standard deviation, as a share of the side, of 4 × 4 control points",
        sentence="piecewise affine warp (4×4 points moved, standard deviation {0} of the side)",
        applies="local",
        most=1,
    ),
    Augmentation(
        "flip_horizontal",
        "rescan.training.augment:flip_horizontal",
        about="probability",
        sentence="horizontal flip with probability {0}",
        of_volumes="flip along the width with probability {0}",
        form="probability",
        takes="both",
    ),
    Augmentation(
        "flip_vertical",
        "rescan.training.augment:flip_vertical",
        about="probability",
        sentence="vertical flip with probability {0}",
        of_volumes="flip along the height with probability {0}",
        form="probability",
        takes="both",
    ),
    Augmentation(
        "flip_depth",
        "rescan.training.augment:flip_depth",
        about="probability",
        sentence="flip along the depth with probability {0}",
        form="probability",
        takes="volumes",
    ),
    Augmentation(
        "brightness",
        "rescan.training.augment:brightness",
        about="factor [low, high]",
        sentence="brightness × {0[0]}–{0[1]}",
        form="range",
        takes="both",
        most=100,
    ),
    Augmentation(
        "contrast",
        "rescan.training.augment:contrast",
        about="factor [low, high]",
        sentence="contrast × {0[0]}–{0[1]}",
        form="range",
        takes="both",
        most=100,
    ),
    Augmentation(
        "gamma",
        "rescan.training.augment:gamma",
        about="power [low, high] of gray levels in [0, 1]",
        sentence="gamma {0[0]}–{0[1]} (above 1 darkens)",
        form="range",
        takes="both",
        most=100,
    ),
    Augmentation(
        "rgb_shift",
        "rescan.training.augment:rgb_shift",
        about="largest shift of each channel on the 0–1 scale",
        sentence="RGB shift (each channel by up to ±{0} on the [0, 1] scale)",
        most=10,
    ),
    Augmentation(
        "blur",
        "rescan.training.augment:blur",
        about="largest standard deviation, pixels",
        sentence="Gaussian blur, standard deviation up to {0} pixels",
        most=100,
    ),
    Augmentation(
        "sharpen",
        "rescan.training.augment:sharpen",
        about="largest share of the filtered image that is added",
        sentence="sharpening by a share of up to {0}",
        most=100,
    ),
    Augmentation(
        "emboss",
        "rescan.training.augment:emboss",
        about="largest share of the filtered image that is added",
        sentence="embossing by a share of up to {0}",
        most=100,
    ),
    Augmentation(
        "noise",
        "rescan.training.augment:noise",
        about="standard deviation on the 0–1 scale",
        sentence="Gaussian noise, standard deviation {0} on the [0, 1] scale",
        takes="both",
        most=10,
    ),
    Augmentation(
        "cutout",
        "rescan.training.augment:cutout",
        about="largest share of the width and height that is covered",
        sentence="cutout of a box of up to {0} of the width and height",
        fills=True,
        most=1,
    ),
)
