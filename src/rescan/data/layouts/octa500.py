"""The layout of OCTA-500: OCT and OCTA volumes of one eye of each of 500 patients, in one of two fields of view.

A volume is a folder of B-scans; these are not listed. Warnings name what some samples lack.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

import pandas as pd

from rescan.catalogue import LAYOUTS
from rescan.data.layouts.folders import COLUMNS, top_of
from rescan.data.readers.images import SUFFIXES
from rescan.data.readers.tables import first_faults, label_faults, pick, raise_all, read_table
from rescan.errors import RescanError
from rescan.log import logger
from rescan.study import Data
from rescan.walk import entries_of

# Each field of view: its folder's name in two releases, and the millimeters of a scan along depth, height and width.
FIELDS = {"3mm": (("OCTA_3M", "OCTA_3mm"), "2 3 3"), "6mm": (("OCTA_6M", "OCTA_6mm"), "2 6 6")}
EXCLUDED = {"10035", "10057", "10114", "10219", "10220"}  # as in the published study
VOLUMES = {"path_oct": "OCT", "path_octa": "OCTA"}
PROJECTIONS = {
    "path_enface_all": "Projection Maps/OCTA(FULL)",
    "path_enface_superficial": "Projection Maps/OCTA(ILM_OPL)",
    "path_enface_deep": "Projection Maps/OCTA(OPL_BM)",
}
LAYERS = ("GT_Layers", "Label/GT_Layers")
TABLES = LAYOUTS["octa500"].tables  # of labels
# The manifest's columns, and what these may be called in the table of labels.
LABELS = {
    "patient": ("ID", "Patient ID", "Subject ID", "Subject", "Case ID"),
    "sex": ("Sex", "Gender"),
    "eye": ("OS/OD", "OD/OS", "Eye", "Side", "Laterality"),
    "age": ("Age", "Age (years)"),
    "label": ("Disease", "Diagnosis", "Label", "Class"),
}
SEXES = {"f": "F", "female": "F", "m": "M", "male": "M"}
EYES = {"os": "left", "l": "left", "left": "left", "od": "right", "r": "right", "right": "right"}
OLDEST = 130  # years
EXAMPLES = 3  # in a message


def octa500(root: Path, data: Data, modality: str = "octa") -> pd.DataFrame:
    """Read `OCTA_3M|OCTA_3mm|OCTA_6M|OCTA_6mm` and `Text labels.xlsx`; either field of view may be missing.

    A field of view's folder holds `OCT/<id>/` and `OCTA/<id>/` (one file per B-scan), and, if known, `Projection
    Maps/OCTA(FULL|ILM_OPL|OPL_BM)/<id>.bmp` and `GT_Layers/<id>.mat`. Labels and layers may also lie beside these
    folders, or in a folder `Label`; all may lie in a single top folder. The lesion mask of a volume is the folder
    `masks/<folder of the field of view>/<id>`, if there is one.

    Args:
        root: The data set's folder.
        data: For the classes and labels.
        modality: Whose volume is the sample's own: octa or oct.

    Returns:
        The manifest, with fov, age, sex, extent, layers, path_oct, path_octa and path_enface_all|superficial|deep; a
        sample is `<fov>/<id>`, its patient `<id>`. No part is published. Volumes without a label, or without the
        modality, are left out with a warning, as are labels without a volume.

    Raises:
        RescanError: One line per fault.
    """
    top = _top(root)
    scans = _scans(root, top)
    labels = _labels(top, set(scans["patient"]), data)
    own = f"path_{modality}"
    if (scans[own] == "").all():
        other = "oct" if modality == "octa" else "octa"
        raise RescanError(
            f"{top}: no {VOLUMES[own]} volume ({VOLUMES[own]}/<id>/ in each field of view's folder); "
            f"add them, or set modality: {other} in data.layout"
        )
    unlabeled = ~scans["patient"].isin(labels.index)
    _warn(top, set(labels.index) - set(scans["patient"]), "labels have no volume")
    _warn(top, scans.loc[unlabeled, "sample"], "volumes have no label and are left out")
    _warn(top, scans.loc[scans[own] == "", "sample"], f"volumes have nothing in {VOLUMES[own]} and are left out")
    scans = scans[~unlabeled & (scans[own] != "")]
    if scans.empty:
        raise RescanError(f"{top}: no volume has a label; its folder must bear the ID of {TABLES[0]!r}")
    for column, folder in {**VOLUMES, **PROJECTIONS, "layers": LAYERS[0]}.items():
        lacking = scans.loc[scans[column] == "", "sample"]
        if len(lacking) < len(scans):
            _warn(top, lacking, f"volumes have nothing in {folder}")
    manifest = scans.assign(path=scans[own]).join(labels, on="patient")
    columns = [*COLUMNS, "fov", "age", "sex", "extent", "layers", *VOLUMES, *PROJECTIONS]
    return manifest.reindex(columns=columns, fill_value="")


def _top(root: Path) -> Path:
    """The folder that holds those of the fields of view."""
    expected = [name for folders, _ in FIELDS.values() for name in folders]
    for name in expected:
        if (top_of(root, name) / name).is_dir():
            return top_of(root, name)
    raise RescanError(f"{root}: no folder {' or '.join(expected)}; give the folder that holds them")


def _scans(root: Path, top: Path) -> pd.DataFrame:
    """One row per volume: `sample`, `patient`, `fov`, `extent`, and paths from root, "" where there is none."""
    rows = []
    for fov, (folders, extent) in FIELDS.items():
        there = [top / name for name in folders if (top / name).is_dir()]
        if len(there) > 1:
            raise RescanError(f"{there[1]}: a second folder of this field of view; merge it with {there[0].name}")
        for folder in there:
            files = {column: _by_id(folder / name) for column, name in VOLUMES.items()}
            ids = sorted({number for volumes in files.values() for number in volumes})
            for column, name in PROJECTIONS.items():
                files[column] = _by_id(folder / name, SUFFIXES)
            places = [above / name for above in (top, folder) for name in LAYERS]
            files["layers"] = {number: file for place in places for number, file in _by_id(place, {".mat"}).items()}
            files["mask"] = _by_id(top / "masks" / folder.name)
            for number in ids:
                own = {column: by_id[number] for column, by_id in files.items() if number in by_id}
                paths = {column: path.relative_to(root).as_posix() for column, path in own.items()}
                rows.append({"sample": f"{fov}/{number}", "patient": number, "fov": fov, "extent": extent, **paths})
    columns = ["sample", "patient", "fov", "extent", "layers", "mask", *VOLUMES, *PROJECTIONS]
    scans = pd.DataFrame(rows).reindex(columns=columns, fill_value="").fillna("")
    excluded = scans["patient"].isin(EXCLUDED)
    if excluded.any():
        message = "%s: %d volumes are not read, which the published study excludes: %s"
        logger.info(message, top, excluded.sum(), ", ".join(scans.loc[excluded, "patient"]))
    if excluded.all():
        raise RescanError(f"{top}: no volume; this layout expects OCT/<id>/ and OCTA/<id>/ in OCTA_3M or OCTA_6M")
    return scans[~excluded]


def _by_id(folder: Path, suffixes: Collection[str] = ()) -> dict[str, Path]:
    """The folders in a folder by name, or its files with one of these suffixes; nothing without the folder."""
    if not folder.is_dir():
        return {}
    if suffixes:
        return {
            entry.stem: entry for entry in entries_of(folder) if entry.suffix.lower() in suffixes and not entry.is_dir()
        }
    return {entry.name: entry for entry in entries_of(folder) if entry.is_dir()}


def _labels(top: Path, ids: Collection[str], data: Data) -> pd.DataFrame:
    """`sex`, `eye`, `age` and `label` by id, of all tables of labels; only the labels of `ids` need be right."""
    files = [top / name for name in TABLES if (top / name).is_file()]
    if not files:
        raise RescanError(f"{top}: no {TABLES[0]!r}, here or in a field of view's folder; add it")
    faults: list[str] = []
    by_id: dict[str, tuple[list[str], str]] = {}  # values, and where they stand
    for file in files:
        names = [name for spellings in LABELS.values() for name in spellings]
        rows = pick(file, read_table(file, "add it", names), LABELS, remedy="rename the right one, or add an empty one")
        faults += label_faults(file, rows.loc[rows["patient"].isin(ids), "label"], data)
        for column, read in (("sex", _sex), ("eye", _eye), ("age", _age)):
            rows[column] = _cleaned(file, rows[column], read)
        if repeated := int(rows.duplicated().sum()):
            logger.warning("%s: %d rows repeat an earlier one", file, repeated)
        wrong = []
        for line, number, *values in rows[list(LABELS)].itertuples():
            place = f"{file}: line {line}"
            if not number:
                wrong.append(f"{place}: no {LABELS['patient'][0]}; fill it in")
            elif number not in EXCLUDED and by_id.setdefault(number, (values, place))[0] != values:
                wrong.append(f"{place}: {number} is in {by_id[number][1]} too, with other values; keep one of them")
        faults += first_faults(file, wrong)
    raise_all(faults)
    columns = [name for name in LABELS if name != "patient"]
    return pd.DataFrame.from_dict({number: values for number, (values, _) in by_id.items()}, "index", columns=columns)


def _cleaned(file: Path, values: pd.Series[str], read: Callable[[str], str]) -> pd.Series[str]:
    """Values as the manifest has them; a value that is not understood becomes "", with a warning."""
    cleaned = values.map(read)
    odd = values[(cleaned == "") & (values != "")]
    if len(odd):
        message = "%s: column %s: %d values are not understood and left out, such as %r in line %d"
        logger.warning(message, file, LABELS[str(values.name)][0], len(odd), odd.iloc[0], odd.index[0])
    return cleaned


def _sex(text: str) -> str:
    return SEXES.get(text.casefold(), "")


def _eye(text: str) -> str:
    return EYES.get(text.casefold(), "")


def _age(text: str) -> str:
    try:
        years = float(text)
    except ValueError:
        return ""
    return f"{years:g}" if 0 <= years <= OLDEST else ""


def _warn(top: Path, names: Collection[str], what: str) -> None:
    """Warn of something that concerns some names, if there are any."""
    if len(names):
        some = ", ".join(sorted(names)[:EXAMPLES]) + (" …" if len(names) > EXAMPLES else "")
        logger.warning("%s: %d %s (%s)", top, len(names), what, some)
