"""The model card of a bundle, by the fields of Mitchell et al. 2019, "Model Cards for Model Reporting"."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from rescan.reporting.tables.decision_exports import decision_tables
from rescan.reporting.tables.export_table import ExportTable, escaped_markdown, to_markdown
from rescan.reporting.tables.score_exports import score_tables
from rescan.reporting.text import calibration_words, preparation_words, recipe_words
from rescan.reporting.text.citations import rescan_citation
from rescan.reporting.text.words import capitalized, listed, several, spaced
from rescan.results.bundle_file import Bundle, DataPart
from rescan.results.metrics_file import Metrics
from rescan.results.posttraining import Posttraining
from rescan.results.trained_model import ModelHeader

NOT_A_DEVICE = (
    "**Not a medical device.** Nobody has shown that it is safe or of use in care: it must not decide on the diagnosis "
    "or treatment of a person."
)
UNKNOWN = "Not stated by who made this bundle."
PHANTOMS = (
    "It was trained on phantoms, which Rescan draws, and knows nothing of images of patients: it shows how things work."
)
SHOWN = ("scores", "classes", "endpoints", "subgroups", "external", "operating_points", "calibration")  # tables
USE = """```python
import rescan

model = rescan.load("model.rescan.zip")
table = model.predict(["image.png"])
```

or, in a shell, `rescan predict model.rescan.zip image.png`."""


def model_card(bundle: Bundle, header: ModelHeader, posttraining: Posttraining, metrics: Metrics | None) -> str:
    """The card as Markdown. It holds counts and scores, and no sample, patient or path.

    Args:
        bundle: What is bundled.
        header: Of the first network.
        posttraining: What was fitted on the arm's predictions.
        metrics: Its scores, if they are known.
    """
    tables = {} if metrics is None else {table.name: table for table in _tables(metrics)}
    sections: Mapping[str, Iterator[str]] = {
        "Model details": _details(bundle, header),
        "Intended use": _use(bundle, header),
        "Factors": _factors(bundle, tables),
        "Metrics": _measures(metrics, posttraining),
        "Evaluation data": _evaluated(bundle),
        "Training data": _trained(bundle, header),
        "Quantitative analyses": _scores(metrics, tables),
        "Ethical considerations": _ethics(),
        "Caveats and recommendations": _caveats(bundle, metrics),
    }
    lines = [f"# {_text(bundle.title or bundle.study)}: {_text(bundle.arm)}", NOT_A_DEVICE]
    for heading, texts in sections.items():
        lines += [f"## {heading}", *texts]
    return "\n\n".join(lines) + "\n"


def _text(text: str) -> str:
    """A text of people's as one line of Markdown that says what it said."""
    return escaped_markdown(" ".join(text.split()))


def _bullets(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _details(bundle: Bundle, header: ModelHeader) -> Iterator[str]:
    words = recipe_words.training(header.preparation, header.recipe, len(bundle.classes))
    runs = [f"{_text(own.arm)} (fold {own.fold}, seed {own.seed})" for own in bundle.networks]
    facts = {
        "Study": f"{_text(bundle.study)}, at scale {bundle.scale}",
        "Arm": _text(bundle.arm),
        "Networks": f"{several(len(runs), 'network')}, whose outputs are averaged: {listed(runs)}",
        "Classes": _text(listed(bundle.classes)),
        **{topic: _text(sentence) for topic, sentence in words.items()},
        **({"Started from": _text(header.start.words)} if header.start else {}),
        "Trained with": f"Rescan {_text(header.version)}, PyTorch {_text(header.torch)}"
        + "".join(f"; code {_text(code.words)}" for code in header.code),
        "Reproduces": _text(bundle.cite) or UNKNOWN,
        "License": _text(bundle.license) or f"{UNKNOWN} Ask them, and mind the terms of the training data.",
        "Cite": _text(rescan_citation().text),
    }
    yield _bullets([f"{name}: {fact}" for name, fact in facts.items()])
    if len({own.arm for own in bundle.networks}) > 1:
        yield "Preparation, network and training are those of the first network."


def _use(bundle: Bundle, header: ModelHeader) -> Iterator[str]:
    noun = preparation_words.item(header.preparation)
    reads = "volumes" if header.preparation.reads == "volume" else "images"
    if bundle.intended_use:
        yield _text(bundle.intended_use)
    else:
        yield f"Research: to read {reads} as those of the study are read, and to compare with it."
    yield "Out of scope: care of patients, screening, and images of other kinds, devices or people than those below."
    yield f"It takes {reads}, and prepares each {noun} itself:"
    yield USE


def _factors(bundle: Bundle, tables: Mapping[str, ExportTable]) -> Iterator[str]:
    values = bundle.data.values if bundle.data else {}
    known = [f"{spaced(name)} ({several(count, 'value')})" for name, count in values.items()]
    yield f"Known of how training images were taken: {listed(known) or 'nothing'}."
    columns = list(dict.fromkeys(str(row[0]) for row in tables["subgroups"].rows)) if "subgroups" in tables else []
    yield f"Scores by subgroup are given for: {listed([spaced(name) for name in columns]) or 'none'}."


def _measures(metrics: Metrics | None, posttraining: Posttraining) -> Iterator[str]:
    if metrics is None:
        yield "Not evaluated: the bundle holds no scores."
        return
    head = "neuron on all heads" if metrics.head == "linear" else f"{metrics.head} head"
    yield f"The metric that stands first is {spaced(metrics.metric)}; predictions are read from the {head}."
    units = f"{metrics.interval_units}s"
    yield f"Values are means over {several(len(metrics.runs), 'run')}, with 95 % intervals over {units}."
    per_head = "One temperature per head was fitted on validation." if posttraining.temperatures else ""
    yield calibration_words.temperature(metrics, posttraining) or per_head or "No temperature was fitted."


def _counted(name: str, part: DataPart) -> str:
    patients = "patients unknown" if part.patients is None else several(part.patients, "patient")
    classes = ", ".join(f"{_text(of)} {count:,}" for of, count in part.classes.items())
    return (
        f"{spaced(name)}: {several(part.samples, 'sample')} in {several(part.groups, 'group')}, {patients} ({classes})"
    )


def _evaluated(bundle: Bundle) -> Iterator[str]:
    parts = {name: part for name, part in bundle.data.parts.items() if name != "train"} if bundle.data else {}
    yield _bullets([_counted(name, part) for name, part in parts.items()]) or UNKNOWN


def _trained(bundle: Bundle, header: ModelHeader) -> Iterator[str]:
    data = bundle.data
    if data is None:
        yield UNKNOWN
        return
    lines = [f"From {_text(data.origin)}."] + [_counted("train", data.parts["train"])] * ("train" in data.parts)
    lines += [f"{_text(name)}: {several(count, 'sample')}" for name, count in data.extra.items()]
    yield _bullets(lines)
    if data.folds > 1:
        yield f"Of {data.folds} folds, these are the numbers of fold {header.fold}."
    yield f"Preparation: {_text(preparation_words.sentence(header.preparation))}."


def _tables(metrics: Metrics) -> Iterator[ExportTable]:
    """The tables of scores, without the arm, on what it was not trained on; on validation where there is no other."""
    seen = {"train"} if set(metrics.parts) <= {"train", "validation"} else {"train", "validation"}
    for table in (*score_tables([metrics]), *decision_tables([metrics])):
        if table.name in SHOWN:
            part = table.columns.index("part") if "part" in table.columns else None
            rows = [row[1:] for row in table.rows if part is None or row[part] not in seen]
            if rows:
                yield replace(table, columns=table.columns[1:], rows=rows)


def _scores(metrics: Metrics | None, tables: Mapping[str, ExportTable]) -> Iterator[str]:
    for name, table in tables.items():
        yield f"### {capitalized(spaced(name))}"
        yield to_markdown(table).partition("\n\n")[2].strip()  # without a caption, which speaks of several arms
        if name == "calibration":
            yield calibration_words.TABLE
    if metrics is None:
        yield "None: the arm was not evaluated."
    elif "calibration" not in tables:
        yield calibration_words.without_probabilities(metrics.head)


def _ethics() -> Iterator[str]:
    yield NOT_A_DEVICE
    yield (
        "The bundle holds no image, no name, no id of a patient or sample. Networks can still remember something of "
        "what they were trained on: who may not see the training data should not be given the networks either, "
        "unless the terms of the data allow it."
    )


def _caveats(bundle: Bundle, metrics: Metrics | None) -> Iterator[str]:
    limits = [PHANTOMS] if bundle.data and bundle.data.kind == "phantom" else []
    limits += [_text(warning) for warning in dict.fromkeys(metrics.warnings)] if metrics else []
    limits += [
        f"{_text(point.name)} of {_text(point.of)}: {_text(point.problem)}"
        for point in (metrics.decisions.points if metrics else [])
        if point.problem
    ]
    limits.append("Scores elsewhere can differ: test it on labeled images of your own (`rescan evaluate-on`).")
    yield _bullets(limits)
