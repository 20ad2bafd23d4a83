"""Phantoms: images that the project makes itself, in the native layout of the real data set."""

from __future__ import annotations

from dataclasses import dataclass

from rescan.catalogue.record import Option, Record, by_name

VERSION = 1  # raised by hand when the images of any phantom change, so that they are made again


@dataclass(frozen=True)
class Phantom(Record):
    """A function `(folder, classes, **options)` that writes a data set.

    Attributes:
        of_several: Whether its images may have several of the classes.
    """

    kind = "phantom"
    of_several: bool = False


def _options(samples: int, size: Option, duplicates: float, confound: float, **own: Option) -> dict[str, Option]:
    """The options that all phantoms have, and a phantom's own."""
    return {
        "samples": Option(samples, "how many, duplicates included", most=100_000),
        "size": size,
        "seed": Option(0, "of everything", most=2**32 - 1),
        "contrast": Option(1.0, "factor on the contrast of lesions", most=100),
        "null": Option(False, "no lesions, labels at random"),
        "confound": Option(confound, "probability that nuisances follow from the label", most=1),
        "duplicates": Option(duplicates, "share of the samples that copy another one", most=1),
        "patient_effect": Option(1.0, "factor on the differences between patients", most=100),
        "label_noise": Option(0.0, "share of the samples with a wrong label", most=1),
        **own,
    }


def _height(pixels: int) -> Option:
    return Option(pixels, "typical height in pixels", most=8192)


PHANTOMS = by_name(
    Phantom(
        "brain_mri",
        "rescan.phantoms.brain_mri.brain_mri:make",
        about="MRI slices of heads with tumors, as `class_folders`",
        options=_options(samples=320, size=_height(160), duplicates=0.06, confound=0.0),
    ),
    Phantom(
        "fundus",
        "rescan.phantoms.fundus.fundus:make",
        about="fundus photographs with diabetic retinopathy, as `aptos` or `eyepacs`",
        options=_options(
            samples=320,
            size=_height(256),
            duplicates=0.06,
            confound=0.5,
            layout=Option("aptos", "whose files it writes", choices={"aptos": "APTOS 2019", "eyepacs": "EyePACS 2015"}),
            unlabeled=Option(20, "how many images more without a grade", most=100_000),
            conflicts=Option(0.25, "share of the duplicates with another grade", most=1),
        ),
    ),
    Phantom(
        "octa",
        "rescan.phantoms.octa.octa:make",
        about="volumes of the macula, as `octa500`",
        options=_options(
            samples=160,
            size=Option((48, 40, 40), "of `octa` [depth, height, width] in voxels", above=0, most=1024),
            duplicates=0.0,
            confound=0.5,
            lesions=Option(
                "both",
                "`depth`: disease shows in depth only, `enface`: it shows in a projection as well",
                choices={"both": "both", "depth": "in depth only", "enface": "in a projection as well"},
            ),
        ),
    ),
    Phantom(
        "radiograph",
        "rescan.phantoms.radiograph.radiograph:make",
        about="radiographs of seven body parts, as `mura`",
        options=_options(
            samples=320,
            size=_height(160),
            duplicates=0.04,
            confound=0.5,
            test=Option(0.25, "share of the images in the test part", most=1),
        ),
    ),
    Phantom(
        "findings",
        "rescan.phantoms.radiograph.radiograph_findings:make",
        about="radiographs with several findings each, or none, as `table` (`multilabel`)",
        options=_options(samples=320, size=_height(160), duplicates=0.04, confound=0.0),
        of_several=True,
    ),
)
