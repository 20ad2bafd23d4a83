"""Layouts: how a data set lies on disk."""

from __future__ import annotations

from dataclasses import dataclass

from rescan.catalogue.record import Option, Record, by_name


@dataclass(frozen=True)
class Layout(Record):
    """A reader of a native data set: `(root, data, **options)` gives a table with one row per sample.

    Attributes:
        tables: The tables that it reads beside images and masks, options as fields: a changed label then changes the
            checksum of the source.
        megapixels: Of a typical sample; of volumes millions of voxels.
        samples: Of the data set that has this layout, outside of its own test part and in it; (0, 0) if many have it.
    """

    kind = "layout"
    tables: tuple[str, ...] = ()
    megapixels: float = 1.0
    samples: tuple[int, int] = (0, 0)


LAYOUTS = by_name(
    Layout(
        "class_folders",
        "rescan.data.layouts.class_folders:class_folders",
        about="one folder per class, also inside `Training` and `Testing`",
        megapixels=0.3,
    ),
    Layout(
        "table",
        "rescan.data.layouts.table:table",
        about="one CSV with one row per sample: `path`, `label` and what else is known of it",
        options={
            "file": Option("samples.csv"),
            "label": Option("label", "what this column is called"),
            "patient": Option("patient", "what this column is called"),
        },
        tables=("{file}",),
    ),
    Layout(
        "aptos",
        "rescan.data.layouts.aptos:aptos",
        about="`train.csv`, `train_images/`, unlabeled `test.csv`, `test_images/`",
        tables=("train.csv", "test.csv"),
        megapixels=5.0,
        samples=(3662, 0),
    ),
    Layout(
        "eyepacs",
        "rescan.data.layouts.eyepacs:eyepacs",
        about="`trainLabels.csv`, `train/`",
        tables=("trainLabels.csv",),
        megapixels=10.0,
        samples=(35126, 0),
    ),
    Layout(
        "octa500",
        "rescan.data.layouts.octa500:octa500",
        about="`OCTA_3mm`, `OCTA_6mm` with one folder of B-scans per volume, projection maps, `Text labels.xlsx`, "
        "`GT_Layers`, these two also in a folder `Label`",
        options={"modality": Option("octa", choices={"octa": "OCTA", "oct": "OCT"})},
        tables=tuple(
            f"{folder}{label}Text labels.xlsx"
            for folder in ("", "OCTA_3M/", "OCTA_3mm/", "OCTA_6M/", "OCTA_6mm/")
            for label in ("", "Label/")
        ),
        megapixels=100.0,
        samples=(500, 0),
    ),
    Layout(
        "mura",
        "rescan.data.layouts.mura:mura",
        about="`train/`, `valid/`, which is the test part, and their four CSVs",
        tables=tuple(
            f"{part}_{table}.csv" for part in ("train", "valid") for table in ("image_paths", "labeled_studies")
        ),
        megapixels=0.2,
        samples=(36808, 3197),
    ),
)
