"""What the page says of one arm: its numbers, its figures, its network."""

from __future__ import annotations

import base64
import json
import struct
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

from rescan.catalogue import READERS
from rescan.files import read_json, read_table
from rescan.paths import Paths
from rescan.reporting.text import words
from rescan.study import Study

Found = dict[str, Any]
CSS_PIXELS = 112  # that an inch of a figure gets on a wide screen: 11 points are then 17 pixels high
BY_LEVEL = ("accuracy", "balanced_accuracy", "macro_f1", "kappa", "sensitivity", "specificity", "auroc")
BY_RULE = ("accuracy", "kappa", "sensitivity", "specificity", "auroc")  # where studies or patients have several images
RULES = {"majority": "by majority", "consistent": "of one label only, by majority"}
MOST_ROWS = 8  # of a table that is not folded
ENDPOINT = ("auroc", "accuracy", "sensitivity", "specificity", "ppv", "npv", "f1", "macro_f1", "kappa", "mcc", "auprc")


def optional(path: str | Path) -> Any:
    """The content of a JSON or CSV file (as rows), or None if a partial run has not made it."""
    path = Path(path)
    if not path.is_file():
        return None
    return rows_of(read_table(path)) if path.suffix == ".csv" else read_json(path)


def rows_of(table: pd.DataFrame) -> list[Found]:
    """A table's rows, with None for what is missing."""
    rows: list[Found] = table.astype(object).where(table.notna(), None).to_dict("records")  # type: ignore[assignment]
    return rows


def image(path: str | Path, alt: str) -> Found | None:
    """What an <img> needs, or None if there is no such file."""
    path = Path(path)
    if not path.is_file():
        return None
    with Image.open(path) as file:
        width, height = file.size
        scale = CSS_PIXELS / file.info["dpi"][0] if "dpi" in file.info else 1
    source = f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"
    return {"src": source, "alt": alt, "width": round(width * scale), "height": round(height * scale)}


def arm_results(study: Study, arm: str) -> Found:
    """An arm's results, from metrics.json and what stands beside it."""
    paths, recipe, classes = Paths(study.scale, study.name), study.arms[arm], study.data.classes
    folder, trained = Path(paths.arm(arm)), Path(paths.arm(recipe.models or arm))
    metrics, fitted = read_json(folder / "metrics.json"), optional(folder / "posttraining.json")
    level = "image"
    test = metrics["parts"].get("test", {}).get(level, {})
    confusion = metrics["confusion"].get("test")
    captions = words.captions(study, arm, metrics["curves"]["run"], len(metrics["runs"]))
    drawn = [(image(folder / "figures" / f"{name}.png", f"{arm}: {name}"), text) for name, text in captions.items()]
    parts = {
        words.part(part, name, level): values["metrics"]
        for part, levels in metrics["parts"].items()
        for name, values in levels.items()
    }
    findings = [finding["text"] for finding in metrics["diagnosis"]]
    submission = folder / "submission.csv"
    return {
        "name": arm,
        "head": metrics["head"],
        "reads": words.reads(study, arm),
        "runs": metrics["runs"],
        "warnings": [text for text in metrics["warnings"] if text not in findings],
        "diagnosis": metrics["diagnosis"],
        "note": words.note(metrics),
        "temperature": words.temperature(fitted, metrics, level),
        "posttraining": words.posttraining(study, arm, fitted),
        "submission": submission.as_posix() if submission.is_file() else None,
        "test": test.get("metrics", {}),
        "n": test.get("n"),
        "groups": test.get("groups"),
        "unit": metrics["interval_units"],
        "out_of_fold": metrics["parts"].get("out_of_fold", {}).get(level),
        "by_level": _by_level(study, metrics["parts"]),
        "subgroups": _subgroups(study, metrics),
        "baselines": metrics.get("baselines", {}),
        "parts": parts,
        "metric_names": _ordered(study.metric, [name for values in parts.values() for name in values]),
        "one_hot": words.one_hot(test.get("metrics", {}), len(classes)),
        "heads": _by_head(metrics["heads"]),
        "endpoints": metrics["endpoints"],
        "endpoint_table": _endpoint_table(metrics["endpoints"]),
        "by_class": _by_class(test.get("metrics", {}), classes, confusion),
        "confusion": confusion,
        "classes": classes,
        "figures": [(picture, text) for picture, text in drawn if picture],
        "gradcam": _gradcam(folder / "gradcam", arm),
        "network": next((optional(file) for file in sorted(trained.glob("fold*/network.json"))), None),
        "model": next((_header(file) for file in sorted(folder.glob("fold*/model.safetensors"))), None),
    }


def _ordered(first: str, names: list[str]) -> list[str]:
    """Each name once; the first metric leads, the one that is no accuracy comes last."""
    once = dict.fromkeys([first, *names])
    return sorted((name for name in once if name in names), key=lambda name: name == "one_hot_accuracy")


def _by_level(study: Study, parts: Found) -> Found | None:
    """A row for each level of the test part, and out of fold, where patches, eyes or patients differ from samples."""
    test = parts.get("test", {})
    if len({entry["n"] for entry in test.values()}) < 2:
        return None
    ruled = any(rule in entry for entry in test.values() for rule in RULES)
    names = dict.fromkeys([study.metric, *(BY_RULE if ruled else BY_LEVEL)])
    known = [name for name in names if name in test["image"]["metrics"]]
    rows = [
        (words.part(part, "", ""), f"{level.replace('image', words.noun(study))}{said}", of["n"], of["metrics"])
        for part in (("test", "out_of_fold", "validation", "train") if ruled else ("test", "out_of_fold"))
        for level, entry in parts.get(part, {}).items()
        for said, of in _read_by(entry)
    ]
    return {
        "metrics": known,
        "ruled": ruled,
        "positive": None if study.positive is None else study.data.classes[study.positive],
        "rows": [(part, level, n, [metrics.get(name) for name in known]) for part, level, n, metrics in rows],
    }


def _read_by(entry: Found) -> list[tuple[str, Found]]:
    """A level's entry, and those of other rules, with what tells them apart."""
    ruled = [(f", {said}", entry[rule]) for rule, said in RULES.items() if rule in entry]
    if "consistent" in entry and entry["consistent"]["n"] == entry["n"]:  # all have one label
        ruled.pop()
    return [(", by mean probability" if ruled else "", entry), *ruled]


def _subgroups(study: Study, metrics: Found) -> list[Found]:
    """For the test part, and out of fold: a row for each subgroup, after that of all; how scans were taken apart."""
    found = []
    for part, key, level in (
        ("test", "subgroups", "image"),
        ("test", "subgroups_of_studies", "study"),
        ("out_of_fold", "subgroups_out_of_fold", "image"),
    ):
        columns = metrics.get(key, {})
        for taken in (True, False):
            names = [name for name in columns if words.is_of_acquisition(name) == taken]
            if names:
                whole = metrics["parts"][part][level]
                rows = _subgroup_rows(study, {name: columns[name] for name in names}, whole)
                by = words.listed([words.known_column(name) for name in names])
                title = f"By {by}, {words.part(part, level, 'image')}"
                found.append({"title": title, "folded": not taken or len(rows["rows"]) > MOST_ROWS, **rows})
    return found


def _subgroup_rows(study: Study, columns: Found, whole: Found) -> Found:
    """Rows of the subgroups of some columns: column (where it starts), value, n, and the known metrics' entries."""
    shown = [("All", "", whole)]
    for name, values in columns.items():
        heads = [words.column(name), *[""] * (len(values) - 1)]
        shown += [(head, value, entry) for head, (value, entry) in zip(heads, values.items())]
    measured = {name for _, _, entry in shown[1:] for name in entry["metrics"]}
    known = [name for name in dict.fromkeys([study.metric, *BY_LEVEL]) if name in measured]
    rows = [(name, value, entry["n"], [entry["metrics"].get(one) for one in known]) for name, value, entry in shown]
    return {"metrics": known, "rows": rows}


def _by_head(heads: Found) -> Found | None:
    """A row for each part and head: how the same networks score when another head is read."""
    shown = [(part, head) for part in ("test", "validation") for head in heads if part in heads[head]]
    if not shown:
        return None
    names = list(heads[shown[0][1]][shown[0][0]]["metrics"])
    rows = [
        (part, READERS[head].title, number == 0, [heads[head][part]["metrics"].get(name) for name in names])
        for part in ("test", "validation")
        for number, head in enumerate(heads)
        if (part, head) in shown
    ]
    return {"metrics": names, "rows": rows}


def _endpoint_table(endpoints: Found) -> Found | None:
    """A column for each endpoint, part and level, a row for each metric."""
    columns: list[tuple[str, str, str, Found]] = []
    for name, endpoint in endpoints.items():
        for part in ("test", "validation"):
            for level, entry in endpoint["parts"].get(part, {}).items():
                if part == "test" or level == "image":
                    metrics = dict(entry["metrics"])
                    metrics["f1"] = (metrics.get("macro_f1", {}).get("classes") or {}).get(name)
                    columns.append((name, endpoint["lowest"], words.part(part, level, "image"), {**entry, **metrics}))
    if not columns:
        return None
    known = [name for name in ENDPOINT if any(column[3].get(name) for column in columns)]
    heads = [(words.spaced(name), lowest, where, entry["n"]) for name, lowest, where, entry in columns]
    rows = [
        (words.ENDPOINT.get(name, words.metric(name)), [column[3].get(name) for column in columns]) for name in known
    ]
    return {"columns": heads, "rows": rows}


def _by_class(metrics: Found, classes: list[str], confusion: list[list[float]] | None) -> Found | None:
    """A row for each class: its items and those metrics that have a value a class."""
    known = [name for name, metric in metrics.items() if metric.get("classes")]
    if not known:
        return None
    items = [round(sum(row)) for row in confusion] if confusion else [None] * len(classes)
    rows = [
        (name, n, [metrics[metric]["classes"].get(name, {}) for metric in known]) for name, n in zip(classes, items)
    ]
    return {"metrics": known, "rows": rows}


def _gradcam(folder: Path, arm: str) -> Found | None:
    summary = optional(folder / "summary.json")
    browser = optional(folder / "browser.json")
    return summary and {**summary, "sheet": image(folder / "sheet.png", f"{arm}: Grad-CAM"), "browser": browser}


def _header(model: Path) -> Found:
    """What the model file says of itself, read without torch: an 8-byte length, then JSON (the safetensors format)."""
    with model.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        content = json.loads(stream.read(length))
    found: Found = json.loads(content["__metadata__"]["rescan"])
    return found
