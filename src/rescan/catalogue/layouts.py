"""Layouts: how a data set lies on disk."""

from __future__ import annotations

from dataclasses import dataclass

from rescan.catalogue.columns import KNOWN_COLUMNS, TABLE_COLUMNS
from rescan.catalogue.record import Option, Record, by_name, suggest
from rescan.patterns import compiled


@dataclass(frozen=True)
class Layout(Record):
    """A reader of a native data set: `(root, data, **options)` gives a table with one row per sample.

    Attributes:
        tables: The tables that it reads beside images and masks, options as fields, * for any name: a changed
            label then changes the checksum of the source.
        megapixels: Of a typical sample; of volumes millions of voxels.
        samples: Of the data set that has this layout, outside of its own test part and in it; (0, 0) if many have it.
    """

    kind = "layout"
    tables: tuple[str, ...] = ()
    megapixels: float = 1.0
    samples: tuple[int, int] = (0, 0)


def _fault_of_columns(columns: dict[str, str]) -> str:
    known = [*TABLE_COLUMNS, *KNOWN_COLUMNS]
    wrong = [name for name in columns if name not in known and not name.startswith("path_")]
    return f"no column {wrong[0]!r}{suggest(wrong[0], known)}" if wrong else ""


def _fault_of_pattern(pattern: str) -> str:
    try:
        groups = compiled(pattern).groups
    except ValueError as error:
        return str(error)
    remedy = "put the patient's part of a file's name into ( ), as in sub-([a-z0-9]+)_"
    return f"{pattern!r} has {groups} groups; {remedy}" if pattern and groups != 1 else ""


COLUMNS = Option({}, "what the table calls them: `{path: filename, patient: subject}`", fault=_fault_of_columns)
PATIENT = Option(
    "", "a regular expression of files' names, or paths, whose group is the patient", fault=_fault_of_pattern
)
SAMPLE = Option(
    "file", "what one sample is", choices={"file": "each file", "folder": "each folder of slices or B-scans"}
)

LAYOUTS = by_name(
    Layout(
        "class_folders",
        "rescan.data.layouts.class_folders:class_folders",
        about="one folder per class; above it folders of parts (`train`, `val`, `test`, …) or of patients, below it of "
        "patients and their studies",
        options={"patient": PATIENT, "sample": SAMPLE},
        megapixels=0.3,
    ),
    Layout(
        "table",
        "rescan.data.layouts.table:table",
        about="one table (CSV, TSV, XLSX) with one row per sample: `path`, `label` and what else is known of it "
        "(or a column of 0 and 1 per class; with `multilabel` also labels joined by `|`); or, without "
        "`path`, one row per patient, whose files are found by the name of a folder, or by `patient`",
        options={
            "file": Option("samples.csv", "in the data's folder, or beside the study file"),
            "columns": COLUMNS,
            "patient": PATIENT,
            "files": Option("", "of a row per patient: which files are read, as in `*/anat/*_T1w.nii.gz`"),
            "sample": SAMPLE,
            "uncertain": Option(
                "absent",
                "of several labels, a column each: what −1 counts as",
                choices={"absent": "absent", "present": "present"},
            ),
            "sheet": Option("", "of a workbook, where several have such columns"),
        },
        tables=("{file}",),
    ),
    Layout(
        "bids",
        "rescan.data.layouts.bids:bids",
        about="BIDS: `participants.tsv`, tables of sessions if there are any, and "
        "`sub-*/[ses-*/]<datatype>/*_<suffix>.nii.gz`",
        options={
            "file": Option("participants.tsv", "in the data's folder, or beside the study file"),
            "columns": COLUMNS,
            "datatype": Option("", "`anat`, `func`, …; all, if not given"),
            "suffix": Option("", "`T1w`, `bold`, …; all, if not given"),
            "session": Option("", "one of several; all, if not given"),
        },
        tables=("{file}", "sessions.tsv", "sub-*/sub-*_sessions.tsv"),
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
