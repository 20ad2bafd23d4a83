"""The paragraph of methods: what was really run, in the past tense, for a paper."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from rescan.catalogue import CAM_METHODS
from rescan.reporting.text import arm_words, preparation_words, recipe_words, words
from rescan.reporting.text.run_facts import RunFacts
from rescan.reporting.text.words import capitalized, listed, percent, several
from rescan.results.audit_report import AuditReport
from rescan.study import DataSet

PAST = {
    "is": "was",
    "are": "were",
    "stays": "stayed",
    "stay": "stayed",
    "learn": "learned",
    "ends": "ended",
    "starts": "started",
    "holds": "held",
    "may": "could",
    "become": "became",
    "exceeds": "exceeded",
    "lack": "lacked",
    "has": "had",
    "shares": "shared",
    "conflict": "conflicted",
    "keeps": "kept",
    "weighs": "weighed",
    "does": "did",
}
INTERVALS = {
    "wilson": "Wilson intervals of an effective number of cases, between that of the bootstrap's variance (2,000 draws "
    "of whole {units}) and that of the {units} behind the score",
    "log t": "Student's t on the logarithm, with the bootstrap's variance",
}
TESTS = {  # by how their names in comparison.csv begin
    "McNemar": "McNemar's exact test",
    "DeLong": "the test of DeLong et al.",
    "bootstrap": "the bootstrap",
}
DEVICES = {"cpu": "a CPU", "cuda": "a GPU (CUDA)"}


def methods(facts: RunFacts, versions: Mapping[str, str]) -> list[str]:
    """The paragraphs: data, preparation, networks and training, evaluation, maps, software. Only what was run.

    Args:
        facts: What was run.
        versions: The software that evaluated: name → version.
    """
    if not facts.arms:
        return ["No arm has been run yet."]
    topics = (_data, _preparation, _training, _evaluation, _maps)
    paragraphs = [" ".join(topic(facts)) for topic in topics]
    return [text for text in [*paragraphs, " ".join(_software(facts, versions))] if text]


def past(sentence: str) -> str:
    """A sentence of Rescan's own about a recipe in the past tense."""
    return re.sub(r"\b[a-z]+\b", lambda word: PAST.get(word[0], word[0]), sentence)


def lowered(sentence: str) -> str:
    """A sentence within another: a small first letter, unless an abbreviation begins it."""
    return sentence[:1].lower() + sentence[1:] if sentence[1:2].islower() or sentence[1:2] == " " else sentence


def came_from(data: DataSet, phantom: bool) -> str:
    """Where data came from, without the path on this machine."""
    if phantom and data.phantom:
        return f"phantoms that Rescan drew (generator {data.phantom['name']}), not images of patients"
    source = data.source
    if source.kaggle_dataset or source.kaggle_competition:
        return f"the Kaggle {'data set' if source.kaggle_dataset else 'competition'} " + str(
            source.kaggle_dataset or source.kaggle_competition
        )
    return source.url or "a local copy of the data set"


def counted(facts: RunFacts, part: str) -> str:
    """A part in numbers, such as "378 images of 120 patients (normal 220, abnormal 158)"."""
    own, unit = facts.parts[part], facts.unit
    classes = ", ".join(f"{name} {count:,}" for name, count in own.classes.items())
    of = "of" if unit == "patient" else "in"
    return f"{several(own.samples, words.noun(facts.study))} {of} {several(own.units, unit)} ({classes})"


def _data(facts: RunFacts) -> list[str]:
    study, audit = facts.study, facts.audit
    sentences = [f"The data were {came_from(study.data, facts.is_phantom)}."]
    others: dict[str, Mapping[str, DataSet]] = {"Training": study.data.extra, "External testing": study.data.external}
    for use, data_sets in others.items():
        sentences += [f"{use} also used {name}: {came_from(of, facts.is_phantom)}." for name, of in data_sets.items()]
    sentences.append(past(words.split(study.split)))
    parts = [f"the {'training' if part == 'train' else part} part had {counted(facts, part)}" for part in facts.parts]
    if parts:
        fold = "In the first fold, " if study.split.fold_count > 1 else ""
        sentences.append(capitalized(f"{fold}{listed(parts)}."))
    if facts.unit == "group":
        sentences.append("Patients were unknown; groups of near-duplicates stood for them.")
    if audit:
        sentences.append(f"An audit before the split found {listed(_found(audit)) or 'no copies'}.")
        if dropped := sum(audit.dropped.values()):
            sentences.append(f"{several(dropped, 'sample')} with labels outside the classes had been left out.")
        if audit.linked_test and audit.linked_test.any_orientation:
            share = percent(audit.linked_test.any_orientation)
            sentences.append(f"Of the published test part, {share} had a near-duplicate in training.")
    return sentences


def _found(audit: AuditReport) -> list[str]:
    """What the audit found of copies and of files that cannot be read."""
    pairs, conflicts = audit.identical.pairs, audit.identical.conflicting_pairs
    found = [f"{several(pairs, 'pair')} of identical images ({conflicts:,} with different labels)"] if pairs else []
    found += [f"{several(audit.near_duplicates.pairs, 'pair')} of near-duplicates"] * bool(audit.near_duplicates.pairs)
    return found + [several(len(audit.unreadable), "unreadable file")] * bool(audit.unreadable)


def _preparation(facts: RunFacts) -> list[str]:
    sentences = []
    for name, store in facts.stores.items():
        *spatial, channels = store.shape[1:]
        size = " × ".join(map(str, spatial)) + ("" if channels == 1 else f" × {channels}")
        per = f", {store.patches} from each sample" if store.patches > 1 else ""
        how = past(preparation_words.sentence(facts.study.preparations[name]))
        of = f" ({name})" if len(facts.stores) > 1 else ""
        sentences.append(f"Preparation{of}: {how}; {several(store.items, 'input')} of {size}{per}.")
        if store.left_out:
            sentences.append(f"{several(len(store.left_out), 'sample')} could not be prepared and had none.")
    return sentences


def _training(facts: RunFacts) -> list[str]:
    study, sentences = facts.study, []
    if len(facts.names) > 1:
        sentences.append(f"{len(facts.names)} arms were run: {listed(facts.names)}.")
    for arm in facts.names:
        base, topics = recipe_words.differences(study, arm)
        if base is not None and base not in facts.names:
            base, topics = None, recipe_words.sentences(study, arm)
        own = {topic: text for topic, text in topics.items() if topic not in ("Preparation", "Runs")}
        texts = [f"{lowered(topic)}: {lowered(past(text)).rstrip('.')}" for topic, text in own.items()]
        differs = f"Arm {arm} differed from {base} in" if base else f"Arm {arm} was built and trained as follows:"
        sentences.append(f"{differs} {'; '.join(texts) or 'nothing'}.")
        if arm in facts.networks:
            network = facts.networks[arm]
            last = "" if network.trainable == network.total else f", {network.trainable:,} trained in the last stage"
            sentences.append(f"Its network had {several(network.total, 'parameter')}{last}.")
    sentences += [f"Arm {arm.arm} {failures}." for arm in facts.arms if (failures := arm_words.note(arm))]
    folds, seeds = study.split.fold_count, study.split.seeds
    runs = f"{several(folds, 'fold')} and {several(len(seeds), 'seed')} ({', '.join(map(str, seeds))})"
    return [*sentences, f"Each arm was run once per fold and seed: {runs}, unless stated otherwise."]


def _evaluation(facts: RunFacts) -> list[str]:
    study = facts.study
    sentences = [f"The main metric was {words.metric(study.metric)} on the test part; scores were means over runs."]
    if study.positive is not None:
        sentences.append(f"The positive class was “{study.data.classes[study.positive]}”.")
    units = "patients" if facts.unit == "patient" else "groups"
    kinds = {metric.method for arm in facts.arms if (test := arm.scores()) for metric in test.metrics.values()}
    used = [text.format(units=units) for kind, text in INTERVALS.items() if kind in kinds]
    if used:
        sentences.append(f"95 % intervals were over {units}: {'; for the loss '.join(used)}.")
    if any(fitted.temperatures for fitted in facts.fitted.values()):
        sentences.append("One temperature per head was fitted on predictions of the validation part.")
    for arm, fitted in facts.fitted.items():
        sentences += [f"Arm {arm}: {past(text)}" for text in arm_words.posttraining(study, arm, fitted)]
    if len(facts.arms) > 1:
        sentences.append(f"Arms were compared by paired differences, resampling the same {units} and seeds for both.")
        if used := [text for test, text in TESTS.items() if any(name.startswith(test) for name in facts.tests)]:
            sentences.append(
                f"Their p were those of {listed(used)}; Holm's method adjusted those of arms against their references "
                f"in {words.metric(study.metric)}."
            )
    if study.data.external:
        sentences.append("On external data nothing was trained, chosen or fitted.")
    return sentences


def _maps(facts: RunFacts) -> list[str]:
    sentences = []
    for arm, maps in facts.maps.items():
        cells = " × ".join(map(str, maps.cells))
        own = f"{maps.layer}, {cells} cells; fold {maps.run.fold}, seed {maps.run.seed}, {maps.head} head"
        scored = ""
        if maps.n:
            noun = several(maps.n, maps.kind.rstrip("s"))
            scored = f"; their energy inside known lesions was measured on {noun} of the test part"
        method = CAM_METHODS[maps.method].sentence
        sentences.append(f"{method} maps of arm {arm} were computed ({own}){scored}.")
    if facts.maps:
        checked = several(max(maps.checks.n for maps in facts.maps.values()), "test item")
        sentences.append(
            f"Maps were checked on up to {checked} per arm: by deletion and insertion of blurred blocks against random "
            "order, and by rank correlation with maps of networks with random weights and of other seeds."
        )
    return sentences


def _software(facts: RunFacts, versions: Mapping[str, str]) -> list[str]:
    trained = sorted({f"Rescan {model.version} and PyTorch {model.torch}" for model in facts.models.values()})
    where = listed([DEVICES.get(device, device) for device in facts.devices])
    threads = f" ({several(facts.threads, 'thread')})" if facts.threads else ""
    on = f" on {where}{threads}" if where else ""
    sentences = [f"Networks were trained with {listed(trained)}{on}."] if trained else []
    used = listed([f"{name} {version}" for name, version in versions.items()])
    return [*sentences, f"Results were evaluated with {used}."]


def as_text(paragraphs: Sequence[str]) -> str:
    """The paragraphs as a text file."""
    return "\n\n".join(paragraphs) + "\n"
