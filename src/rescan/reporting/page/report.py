"""The one page of all studies: a single HTML file with its figures inside; needs no network.

Its only script leafs through the slices of volumes, where there are any; all else is there without it.
"""

from __future__ import annotations

import platform
import re
import shlex
from importlib import metadata
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from rescan import __version__
from rescan.catalogue import READERS
from rescan.files import writing
from rescan.log import logger
from rescan.paths import Paths
from rescan.reporting.figures.embedding import PARTS
from rescan.reporting.page.ablation_results import ablations
from rescan.reporting.page.arm_results import arm_results, image, optional
from rescan.reporting.page.autoencoder_results import autoencoders
from rescan.reporting.text import answer, recipe_words, words
from rescan.results.agreement import read_splits
from rescan.results.audit_report import AuditReport
from rescan.results.metrics_file import is_scored
from rescan.results.parts import EXTRA, UNLABELED
from rescan.results.source import SourceReport
from rescan.study import Study

Found = dict[str, Any]
LIBRARIES = ("numpy", "pandas", "scipy", "scikit-learn", "matplotlib")
EXPLORED = (
    ("class_distribution", "Samples of each class in each part of the split."),
    ("samples_raw", "Raw images, drawn at random."),
    ("samples_prepared", "Images raw, and after those steps of the preparation that change their look."),
    ("augmented", "One image of each class and augmented versions of it."),
    ("augmentations", "Each augmentation of the arms by itself; of 16 draws the one that changes the image most."),
    ("groups", "Groups of duplicates: mixed labels first, then the largest."),
    ("tsne", "t-SNE of the prepared images as gray vectors."),
)
EXPLORED_VOLUMES = {
    "samples_raw": "Raw volumes, drawn at random: the mean along the depth, and a slice (of stacks, a B-scan), each in "
    "a gray scale of its own.",
    "samples_prepared": "A slice of volumes raw, and after those steps of the preparation that change their look.",
    "augmented": "One volume of each class and augmented versions of it: the mean along the depth, and a slice.",
    "tsne": "t-SNE of projections of the prepared volumes as gray vectors.",
}


def report(studies: list[Study]) -> None:
    """Write the page of a scale, results/<scale>/index.html; an arm that is not scored is listed as not run.

    Args:
        studies: The resolved studies, all of one scale, in the page's order.
    """
    scale = studies[0].scale
    found = [_study(study) for study in studies]
    environment = Environment(
        loader=PackageLoader("rescan.reporting.page", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    said = ("number", "interval", "percent", "spaced", "metric", "title", "listed", "column", "capitalized")
    environment.filters.update({name: getattr(words, name) for name in said})
    heads = {name: record.title for name, record in READERS.items()}
    environment.globals.update(maps=words.MAPS, heads=heads, landis_koch=words.landis_koch)
    page = environment.get_template("page.html").render(scale=scale, studies=found, versions=_versions())
    out = Paths(scale, "").page
    with writing(out) as temporary:
        temporary.write_text(page, "utf-8")
    logger.info("the page: %s (%.1f MB)", out, Path(out).stat().st_size / 1e6)


def _study(study: Study) -> Found:
    """All that the page says of one study. What a partial run has not made is None or empty."""
    paths = Paths(study.scale, study.name)
    source, audit = SourceReport.read_if_there(paths.source), AuditReport.read_if_there(paths.audit)
    shown = [arm for arm in study.arms if is_scored(study, arm)]
    missing = [arm for arm in study.arms if arm not in shown]
    results = [{**arm_results(study, arm), "id": f"{study.name}-arm-{number}"} for number, arm in enumerate(shown)]
    shared = _shared_warnings(results)
    everywhere = [text for text, arms in shared if len(arms) == len(results) > 1]  # said above, not again of each arm
    comparison = optional(paths.comparison) or []
    phantom = source.kind == "phantom" if source else study.data.phantom is not None
    compared = [row for row in comparison if row["kind"] == "published"]
    published = _published(study, compared, shown) if study.scale == "full" else []
    claims = _claims(study, comparison)
    first = study.first_arm
    return {
        "study": study,
        "phantom": phantom,
        "source": source,
        "arms": [{**arm, "warnings": [text for text in arm["warnings"] if text not in everywhere]} for arm in results],
        "missing": missing,
        "noun": words.noun(study),
        "answer": answer.sentences(study, results, published, claims, audit, phantom=phantom),
        "table": answer.table(study, results, missing, audit),
        "warnings": shared,
        "published": published,
        "claims": claims,
        "autoencoders": autoencoders(study),
        "forest": _forest(study),
        "audit": audit,
        "counts": _counts(study),
        "left_out": _left_out(study, audit),
        "explored": [
            (file, text) for name, text in _explored(study) if (file := image(f"{paths.explore}/{name}.png", text))
        ],
        "recipe": recipe_words.recipe(study, first),
        "first_arm": first,
        "differences": [(arm, *_difference(study, arm)) for arm in study.arms if arm != first],
        "ablations": ablations(study, comparison) if shown else [],
        "costs": answer.costs(study, comparison),
        "paired": [row for row in comparison if row["kind"] not in ("published", "claim", "ablation")],
        "command": _command(study),
    }


def _explored(study: Study) -> list[tuple[str, str]]:
    """The figures of the data, and what they show: of the first arm's preparation."""
    preparation = study.preparations[study.arms[study.first_arm].preparation]
    others = EXPLORED_VOLUMES if preparation.reads == "volume" else {}
    return [(name, others.get(name, text)) for name, text in EXPLORED]


def _difference(study: Study, arm: str) -> tuple[str | None, dict[str, str]]:
    """The arm that a recipe is best told as a difference from, and its other topics; None: it is told whole."""
    said, base = recipe_words.recipe(study, arm), study.base(arm)
    if study.arms[arm].ensemble or base is None:
        return None, said
    others = recipe_words.recipe(study, base)
    changed = {topic: sentence for topic, sentence in said.items() if others.get(topic) != sentence}
    return base, {**changed, **{topic: "None." for topic in others if topic not in said}}


def _left_out(study: Study, audit: AuditReport | None) -> list[Found]:
    """Readable samples that a preparation could not prepare."""
    paths = Paths(study.scale, study.name)
    unreadable = {entry.sample for entry in audit.unreadable} if audit else set()
    stores = {recipe.preparation for recipe in study.arms.values()}
    found = [optional(f"{paths.store(name)}/preparation.json") or {} for name in sorted(stores)]
    left_out = [entry for about in found for entry in about.get("left_out", [])]
    return [entry for entry in left_out if entry["sample"] not in unreadable]


def _published(study: Study, compared: list[Found], shown: list[str]) -> list[Found]:
    """A row for each published number of the study file, with its comparison or, without one, "not run"."""
    keys = ("arm", "endpoint", "metric", "level", "who")
    known = {tuple(row.get(key) or None for key in keys): row for row in compared}
    blank = dict.fromkeys(("value", "low", "high", "difference", "difference_low", "difference_high"))
    rows = []
    for entry in study.published:
        own = {**{key: getattr(entry, key) for key in keys}, "margin": entry.margin}
        numbers = {"published": entry.value, "published_n": entry.n}
        reason = "not compared yet" if entry.arm in shown else "this arm has no results"
        row = known.get(tuple(own[key] for key in keys), {})
        rows.append({**blank, **own, **numbers, "verdict": "not run", "reason": reason, **row})
    return rows


def _claims(study: Study, comparison: list[Found]) -> list[Found]:
    """The rows of each published claim; without any, one that says that it is not judged yet."""
    blank = dict.fromkeys(("value", "low", "high", "difference", "difference_low", "difference_high"))
    rows = []
    for claim in study.claims:
        own = {"arm": claim.better, "against": claim.than, "metric": claim.metric, "who": claim.who}
        judged = [row for row in comparison if row["kind"] == "claim" and own.items() <= row.items()]
        rows += judged or [{**blank, **own, "part": "test", "verdict": "not run", "reason": "not compared yet"}]
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


def _forest(study: Study) -> Found | None:
    """The plot of the arms' first metric."""
    out = f"{Paths(study.scale, study.name).comparison_figures}/forest.png"
    return image(out, f"Test {words.metric(study.metric)} of each arm with its 95 % interval.")


def _counts(study: Study) -> Found | None:
    """Samples of fold 0 a class, and all: by part and extra source; and how many have no label."""
    if not Path(Paths(study.scale, study.name).splits).is_file():
        return None
    splits = read_splits(study)
    splits = splits[splits["fold"] == 0]
    columns = {part: splits["part"] == part for part in PARTS}
    for name in sorted({*splits.loc[splits["part"] == EXTRA, "origin"]}):
        columns[name] = (splits["part"] == EXTRA) & (splits["origin"] == name)
    rows = {
        label: {name: int((here & (splits["label"] == label)).sum()) for name, here in columns.items()}
        for label in study.data.classes
    }
    totals = {name: sum(row[name] for row in rows.values()) for name in columns}
    return {
        "rows": [*rows.items(), ("all", totals)],
        "parts": PARTS,
        "extra": [name for name in columns if name not in PARTS],
        "unlabeled": int((splits["part"] == UNLABELED).sum()),
    }


def _versions() -> dict[str, str]:
    """The software that made the page; what trained a model stands in the model's header."""
    libraries = {library: metadata.version(library) for library in LIBRARIES}
    return {"Python": platform.python_version(), "rescan": __version__, **libraries}


def _command(study: Study) -> str:
    """The command that makes this study's results again."""
    named = study.name if Path(study.file).parent.name == "studies" else study.file
    config = [f"scale={study.scale}", f"studies=[{named}]", f"seeds={study.split.seeds}"]
    config += [f"folds={study.split.folds}", f"arms={{{study.name}: [{', '.join(study.arms)}]}}"]
    local = {study.name: study.data.source.path} if study.data.phantom is None else {}
    local |= {f"{study.name}.{name}": of.source.path for name, of in study.data.extra.items() if of.phantom is None}
    named_paths = [f"{name}: {path}" for name, path in local.items() if path is not None]
    if named_paths:
        config.append(f"sources={{{', '.join(named_paths)}}}")
    if all(recipe.network.weights == "none" for recipe in study.arms.values()):
        config.append("weights=none")
    return f"snakemake --cores 2 --config {' '.join(shlex.quote(entry) for entry in config)}"
