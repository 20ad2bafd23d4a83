"""The one page of all studies: a single HTML file with its figures inside; needs no network and no script."""

from __future__ import annotations

import base64
import json
import platform
import re
import shlex
import struct
from importlib import metadata
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image

from rescan import __version__
from rescan.files import read_json, read_table, writing
from rescan.log import logger
from rescan.paths import Paths
from rescan.reporting import figures, words
from rescan.study import Study

Found = dict[str, Any]
PARTS = figures.PARTS
LIBRARIES = ("numpy", "pandas", "scipy", "scikit-learn", "matplotlib")
CSS_PIXELS = 112  # that an inch of a figure gets on a wide screen: 11 points are then 17 pixels high


def report(studies: list[Study]) -> None:
    """Write the page of a scale, results/<scale>/index.html; an arm that is not scored is listed as not run.

    Args:
        studies: The resolved studies, all of one scale, in the page's order.
    """
    scale = studies[0].scale
    found = [_study(study) for study in studies]
    environment = Environment(
        loader=PackageLoader("rescan.reporting", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        number=words.number, interval=words.interval, percent=words.percent, spaced=words.spaced, metric=words.metric
    )
    environment.globals.update(parts=PARTS, maps=words.MAPS)
    page = environment.get_template("page.html").render(scale=scale, studies=found, versions=_versions())
    out = Paths(scale, "").page
    with writing(out) as temporary:
        temporary.write_text(page, "utf-8")
    logger.info("the page: %s (%.1f MB)", out, Path(out).stat().st_size / 1e6)


def _optional(path: str | Path) -> Any:
    """The content of a JSON or CSV file (as rows), or None if a partial run has not made it."""
    path = Path(path)
    if not path.is_file():
        return None
    return _rows(read_table(path)) if path.suffix == ".csv" else read_json(path)


def _rows(table: pd.DataFrame) -> list[Found]:
    rows: list[Found] = table.astype(object).where(table.notna(), None).to_dict("records")  # type: ignore[assignment]
    return rows


def _image(path: str | Path, alt: str) -> Found | None:
    """What an <img> needs, or None if there is no such file."""
    path = Path(path)
    if not path.is_file():
        return None
    with Image.open(path) as image:
        width, height = image.size
        scale = CSS_PIXELS / image.info["dpi"][0] if "dpi" in image.info else 1
    source = f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"
    return {"src": source, "alt": alt, "width": round(width * scale), "height": round(height * scale)}


def _study(study: Study) -> Found:
    """All that the page says of one study. What a partial run has not made is None or empty."""
    paths = Paths(study.scale, study.name)
    source = _optional(paths.source)
    shown = [arm for arm in study.arms if study.is_scored(arm)]
    results = [{**_arm(study, arm), "id": f"{study.name}-arm-{number}"} for number, arm in enumerate(shown)]
    comparison = _optional(paths.comparison) or []
    phantom = source["kind"] == "phantom" if source else study.data.phantom is not None
    explored = (
        ("class_distribution", "Samples of each class in each part of the split."),
        ("samples_raw", "Raw images, drawn at random."),
        ("samples_prepared", "The same images before and after the preparation."),
        ("augmented", "One image of each class and augmented versions of it."),
        ("groups", "Groups of near-duplicates: mixed labels first, then the largest."),
        ("tsne", "t-SNE of the prepared images (gray vectors, 50 principal components)."),
    )
    published = (
        _published(study, [row for row in comparison if row["kind"] == "published"], shown)
        if study.scale == "full"
        else []
    )
    recipes = {arm: words.recipe(study, arm) for arm in study.arms}
    first = next(iter(recipes))
    counts = _counts(study)
    return {
        "study": study,
        "phantom": phantom,
        "source": source,
        "arms": results,
        "missing": [arm for arm in study.arms if arm not in shown],
        "answer": words.answer(study, phantom, results, published),
        "warnings": _shared_warnings(results),
        "published": published,
        "forest": _forest(study, results, published),
        "audit": _optional(paths.audit),
        "counts": counts,
        "left_out": _left_out(study),
        "samples": sum(sum(row.values()) for row in counts.values()),
        "explored": [
            (image, text) for name, text in explored if (image := _image(f"{paths.explore}/{name}.png", text))
        ],
        "recipe": recipes[first],
        "first_arm": first,
        "differences": {
            arm: {topic: sentence for topic, sentence in said.items() if recipes[first].get(topic) != sentence}
            for arm, said in recipes.items()
            if arm != first
        },
        "paired": [row for row in comparison if row["kind"] != "published"],
        "command": _command(study),
    }


def _left_out(study: Study) -> list[Found]:
    """Readable samples that a preparation could not prepare."""
    paths, audit = Paths(study.scale, study.name), _optional(Paths(study.scale, study.name).audit) or {}
    unreadable = {entry["sample"] for entry in audit.get("unreadable", [])}
    stores = {recipe.preparation for recipe in study.arms.values()}
    found = [_optional(f"{paths.store(name)}/preparation.json") or {} for name in sorted(stores)]
    left_out = [entry for about in found for entry in about.get("left_out", [])]
    return [entry for entry in left_out if entry["sample"] not in unreadable]


def _published(study: Study, compared: list[Found], shown: list[str]) -> list[Found]:
    """A row for each published number of the study file, with its comparison or, without one, "not run"."""
    known = {(row["arm"], row["metric"], row["who"]): row for row in compared}
    blank = dict.fromkeys(("value", "low", "high", "difference", "difference_low", "difference_high"))
    rows = []
    for entry in study.published:
        own = {"arm": entry.arm, "metric": entry.metric, "who": entry.who, "margin": entry.margin}
        numbers = {"published": entry.value, "published_n": entry.n}
        reason = "not compared yet" if entry.arm in shown else "this arm has no results"
        row = known.get((entry.arm, entry.metric, entry.who), {})
        rows.append({**blank, **own, **numbers, "verdict": "not run", "reason": reason, **row})
    return rows


def _shared_warnings(results: list[Found]) -> list[tuple[str, list[str]]]:
    """Each warning that qualifies the headline numbers once, with the arms that it holds for."""
    holds: dict[str, list[str]] = {}
    for arm in results:
        for text in arm["warnings"]:
            if re.match(r"\w+, \w+: ", text):  # of one part and level; said in the arm's own section
                continue
            holds.setdefault(text, []).append(arm["name"])
    return list(holds.items())


def _forest(study: Study, results: list[Found], published: list[Found]) -> Found | None:
    if not results:
        return None
    rows = [
        {
            "arm": arm["name"],
            **{key: arm["test"].get("accuracy", {}).get(key) for key in ("value", "low", "high")},
            "published": [
                row["published"] for row in published if (row["arm"], row["metric"]) == (arm["name"], "accuracy")
            ],
        }
        for arm in results
    ]
    out = f"{Paths(study.scale, study.name).results}/forest.png"
    constant = words.constant_answer(results)
    figures.forest(rows, "test accuracy", out, (f"always “{constant[0]}”", constant[1]) if constant else None)
    return _image(out, "Test accuracy of each arm with its 95 % interval.")


def _counts(study: Study) -> dict[str, dict[str, int]]:
    """Class → part → samples, of fold 0."""
    path = Path(Paths(study.scale, study.name).splits)
    if not path.is_file():
        return {}
    splits = read_table(path)
    table = splits[splits["fold"] == 0].groupby(["label", "part"]).size()
    return {name: {part: int(table.get((name, part), 0)) for part in PARTS} for name in study.data.classes}


def _arm(study: Study, arm: str) -> Found:
    """An arm's results: its numbers, and the figures that stand beside its metrics.json."""
    paths = Paths(study.scale, study.name)
    folder = Path(paths.arm(arm))
    metrics = read_json(folder / "metrics.json")
    by_level = metrics["parts"].get("test", {})
    level = next(iter(by_level), "image")
    test = by_level.get(level, {})
    confusion = metrics["confusion"].get("test")
    captions = words.captions(metrics["curves"]["run"], len(metrics["runs"]))
    drawn = [(_image(folder / f"{name}.png", f"{arm}: {name}"), text) for name, text in captions.items()]
    parts = {
        part if name == level else f"{part}, a {name}": values["metrics"]
        for part, levels in metrics["parts"].items()
        for name, values in levels.items()
    }
    findings = [finding["text"] for finding in metrics["diagnosis"]]
    return {
        "name": arm,
        "runs": metrics["runs"],
        "warnings": [text for text in metrics["warnings"] if text not in findings],
        "diagnosis": metrics["diagnosis"],
        "note": words.note(metrics),
        "temperature": words.temperature(_optional(folder / "posttraining.json"), metrics, level),
        "level": level,
        "test": test.get("metrics", {}),
        "n": test.get("n"),
        "groups": test.get("groups"),
        "unit": metrics["interval_units"],
        "parts": parts,
        "metric_names": list(dict.fromkeys(name for values in parts.values() for name in values)),
        "by_class": _by_class(test.get("metrics", {}), study.data.classes, confusion),
        "confusion": confusion,
        "classes": study.data.classes,
        "figures": [(image, text) for image, text in drawn if image],
        "gradcam": _gradcam(folder / "gradcam", arm),
        "network": next((_optional(file) for file in sorted(folder.glob("fold*/network.json"))), None),
        "model": next((_header(file) for file in sorted(folder.glob("fold*/model.safetensors"))), None),
    }


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
    summary = _optional(folder / "summary.json")
    return summary and {**summary, "sheet": _image(folder / "sheet.png", f"{arm}: Grad-CAM")}


def _header(model: Path) -> Found:
    """What the model file says of itself, read without torch: an 8-byte length, then JSON (the safetensors format)."""
    with model.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        content = json.loads(stream.read(length))
    found: Found = json.loads(content["__metadata__"]["rescan"])
    return found


def _versions() -> dict[str, str]:
    """The software that made the page; what trained a model stands in the model's header."""
    libraries = {library: metadata.version(library) for library in LIBRARIES}
    return {"Python": platform.python_version(), "rescan": __version__, **libraries}


def _command(study: Study) -> str:
    """The command that makes this study's results again."""
    named = study.name if Path(study.file).parent.name == "studies" else study.file
    config = [f"scale={study.scale}", f"studies=[{named}]", f"seeds={study.split.seeds}"]
    if study.data.source.path is not None:
        config.append(f"sources={{{study.name}: {study.data.source.path}}}")
    if all(recipe.network.weights == "none" for recipe in study.arms.values()):
        config.append("weights=none")
    return f"snakemake --cores 2 --config {' '.join(shlex.quote(entry) for entry in config)}"
