"""Normalizations: what a network is fed, (x · scale − mean) / std for x in [0, 1]."""

from __future__ import annotations

from dataclasses import dataclass

from rescan.catalogue.record import FAULT, Record, by_name

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Normalization(Record):
    """Its constants.

    Attributes:
        scale: A factor.
        mean: Per channel: red, green, blue.
        std: As the mean.
    """

    kind = "normalization"
    scale: float = 1.0
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)


NORMALIZATIONS = by_name(
    Normalization(
        "imagenet",
        about="less ImageNet's mean, over its standard deviation",
        sentence="pixels / 255, less ImageNet's mean, over its standard deviation",
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
    ),
    Normalization("unit", about="[0, 1]", sentence="pixels / 255"),
    Normalization(
        "centered",
        about="[-1, 1]",
        sentence="pixels / 255, scaled to [−1, 1]",
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
    ),
    Normalization(
        "clip",
        about="as CLIP's weights expect it",
        sentence="pixels / 255, less CLIP's mean, over its standard deviation",
        mean=(0.48145466, 0.4578275, 0.40821073),
        std=(0.26862954, 0.26130258, 0.27577711),
    ),
    Normalization(
        "dpn",
        about="as the weights of dual-path networks expect it",
        sentence="pixels / 255, less ImageNet's mean, over one standard deviation",
        mean=(124 / 255, 117 / 255, 104 / 255),
        std=(1 / (0.0167 * 255),) * 3,
    ),
    Normalization(
        "satellite",
        about="as DINOv3's weights from satellite images expect it",
        sentence="pixels / 255, less the mean of satellite images, over their standard deviation",
        mean=(0.430, 0.411, 0.296),
        std=(0.213, 0.156, 0.143),
    ),
    Normalization(
        "caffe_fed_unit",
        about="a known mistake, for `*_as_run` arms: [0, 1] fed to weights that expect about ±128",
        sentence=f"the [0, 1] range fed to weights that expect about ±128 ({FAULT})",
        scale=1 / 255,
        std=IMAGENET_STD,
    ),
    Normalization(
        "rescaled_twice",
        about="a known mistake, for `*_as_run` arms: [0, 1] fed to a network that divides by 255 once more",
        sentence=f"the [0, 1] range fed to a network that divides by 255 once more ({FAULT})",
        scale=1 / 255,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
    ),
)
