"""What a run answers to the items of reporting checklists: each a function of what was run; "" if it does not know."""

from __future__ import annotations

from rescan.catalogue import CAM_METHODS
from rescan.reporting.text import arm_words, preparation_words, recipe_words, words
from rescan.reporting.text.methods import came_from, counted, past
from rescan.reporting.text.run_facts import RunFacts
from rescan.reporting.text.words import capitalized, interval, listed, number, several


def technology(facts: RunFacts) -> str:
    """The kind of model."""
    dimensions = sorted({store.dimensions for store in facts.stores.values()})
    kinds = listed([f"{count}D" for count in dimensions])
    return f"Deep learning: {kinds} neural networks that classify whole {words.noun(facts.study)}s." if kinds else ""


def goal(facts: RunFacts) -> str:
    """What the study is for."""
    title = f"To repeat a published study: {facts.study.title}."
    return title + (
        " This run is on phantoms: it shows that the pipeline works, and nothing about patients." * _demo(facts)
    )


def _demo(facts: RunFacts) -> bool:
    return facts.is_phantom


def sources(facts: RunFacts) -> str:
    """Where the data came from."""
    return f"{capitalized(came_from(facts.study.data, facts.is_phantom))}."


def eligibility(facts: RunFacts) -> str:
    """Which samples were taken."""
    classes = f"Samples of the classes {listed(facts.study.data.classes)}"
    if facts.audit is None:
        return f"{classes}."
    dropped = ", ".join(f"{label} {count:,}" for label, count in facts.audit.dropped.items() if count)
    unread = len(facts.audit.unreadable)
    return f"{classes}; left out: other labels ({dropped or 'none'}), {several(unread, 'unreadable file')}."


def preprocessing(facts: RunFacts) -> str:
    """How samples became inputs."""
    names = facts.stores or {}
    return " ".join(f"{name}: {past(preparation_words.sentence(facts.study.preparations[name]))}." for name in names)


def subsets(facts: RunFacts) -> str:
    """What else of the data was selected, or not used."""
    extra = list(facts.study.data.extra)
    own = "All samples of the classes were used"
    return f"{own}; for training only, also {listed(extra)}." if extra else f"{own}."


def deidentification(facts: RunFacts) -> str:
    """How identities were protected."""
    if facts.is_phantom:
        return "No patient's data: phantoms."
    shown = "keyed hashes" if facts.study.data.patients == "hashed" else "as the data set has them"
    return f"Names and birth dates of headers are never read into results; ids of patients are shown as {shown}."


def missing(facts: RunFacts) -> str:
    """What happened to samples without a label, or without an input."""
    if facts.audit is None:
        return ""
    without = sum(len(store.left_out) for store in facts.stores.values())
    return (
        f"Samples without a label: {facts.audit.unlabeled:,}, neither trained on nor scored; unreadable files: "
        f"{len(facts.audit.unreadable):,}, left out; inputs that could not be prepared: {without:,}. "
        "Nothing was imputed."
    )


def reference_variability(facts: RunFacts) -> str:
    """How well labels of the same image agree."""
    if facts.audit is None or not facts.audit.identical.pairs:
        return ""
    identical = facts.audit.identical
    return (
        f"Of {several(identical.pairs, 'pair')} of identical images, {identical.conflicting_pairs:,} had different "
        "labels; raters are not known to the run."
    )


def partitions(facts: RunFacts) -> str:
    """How samples came to their part."""
    parts = [f"{part}: {counted(facts, part)}" for part in facts.parts]
    return " ".join([past(words.split(facts.study.split)), *([f"{capitalized('; '.join(parts))}."] if parts else [])])


def disjoint(facts: RunFacts) -> str:
    """At which level parts have nothing in common."""
    by = listed([words.spaced(name) for name in facts.study.split.group_by])
    known = "Patients are known." if facts.unit == "patient" else "Patients are unknown."
    published = ""
    if facts.study.split.test == "published" and facts.audit and facts.audit.linked_test:
        share = words.percent(facts.audit.linked_test.any_orientation)
        published = f" The published test part stayed as it is: {share} of it has a near-duplicate in training."
    return f"By {by}: what belongs together is never on both sides of a split that was made here. {known}{published}"


def architecture(facts: RunFacts) -> str:
    """The networks."""
    return " ".join(
        f"{arm}: {_topic(facts, arm, 'Network')}"
        + (f" {several(facts.networks[arm].total, 'parameter')}." if arm in facts.networks else "")
        for arm in facts.trained
    )


def _topic(facts: RunFacts, arm: str, topic: str) -> str:
    return past(recipe_words.sentences(facts.study, arm).get(topic, "none."))


def software(facts: RunFacts) -> str:
    """What trained the networks."""
    used = sorted({f"Rescan {model.version} with PyTorch {model.torch}" for model in facts.models.values()})
    return f"{listed(used)}; further versions stand at the end of the methods." if used else ""


def initialization(facts: RunFacts) -> str:
    """Where the weights came from."""
    files = {arm: model.start.words for arm, model in facts.models.items() if model.start}
    networks = {arm: facts.study.arms[arm].network for arm in facts.trained}
    starts = [f"{arm}: {recipe_words.start(network, files.get(arm, ''))}" for arm, network in networks.items()]
    return "; ".join(starts) + ("." if starts else "")


def training(facts: RunFacts) -> str:
    """How the networks were trained."""
    texts = []
    for arm in facts.trained:
        topics = recipe_words.sentences(facts.study, arm)
        own = [
            f"{text}" for topic, text in topics.items() if topic.startswith("Training") and topic != "Training samples"
        ]
        texts.append(f"{arm}: {past(' '.join(own))} Augmentation: {past(topics.get('Augmentation', 'none.')).lower()}")
    runs = sum(len(facts.study.runs(arm)) for arm in facts.trained)
    return " ".join([*texts, f"{several(runs, 'network')} in all."]) if texts else ""


def model_selection(facts: RunFacts) -> str:
    """Which epoch was kept, and that arms were not chosen by test."""
    kept = {arm: _topic(facts, arm, "Kept model") for arm in facts.trained}
    return " ".join(f"{arm}: {text}" for arm, text in kept.items())


def ensembling(facts: RunFacts) -> str:
    """How outputs of several networks were put together."""
    ensembles = [arm for arm in facts.names if facts.study.arms[arm].ensemble]
    return "; ".join(arm_words.reads(facts.study, arm) for arm in ensembles) + "." if ensembles else "None."


def metrics(facts: RunFacts) -> str:
    """What was measured."""
    test = next((scores for arm in facts.arms if (scores := arm.scores())), None)
    names = [words.metric(name) for name in test.metrics] if test else []
    return f"First {words.metric(facts.study.metric)}; also {listed(names)}." if names else ""


def uncertainty(facts: RunFacts) -> str:
    """How intervals were made."""
    units = "patients" if facts.unit == "patient" else "groups of near-duplicates, as patients are unknown"
    return f"95 % intervals over {units}; arms by paired differences; the spread over seeds stands apart."


def robustness(facts: RunFacts) -> str:
    """What was varied."""
    varied = [f"{several(len(facts.study.split.seeds), 'seed')}", f"{several(facts.study.split.fold_count, 'fold')}"]
    asked = [ablation.question for ablation in facts.study.ablations.values()]
    groups = sorted({words.known_column(name) for arm in facts.arms for name in arm.subgroups})
    more = [f"ablations ({'; '.join(asked)})"] if asked else []
    more += [f"subgroups by {listed(groups)}"] if groups else []
    return f"{capitalized(listed([*varied, *more]))}."


def explainability(facts: RunFacts) -> str:
    """The maps, and what they were checked against."""
    if not facts.maps:
        return ""
    methods = listed(sorted({CAM_METHODS[maps.method].sentence for maps in facts.maps.values()}))
    text = f"{methods} of {listed(list(facts.maps))}; deletion and insertion, random weights, other seeds"
    if any(maps.n for maps in facts.maps.values()):
        text += "; energy inside known lesions, beside a flat map, a centered Gaussian and networks of random weights"
    return f"{text}."


def internal_testing(facts: RunFacts) -> str:
    """What the test part has."""
    return _scores(facts, "test")


def _scores(facts: RunFacts, part: str) -> str:
    texts = []
    for arm in facts.arms:
        scores = arm.scores(part)
        metric = scores.metrics.get(facts.study.metric) if scores else None
        if scores and metric:
            value = f"{number(metric.value)} {interval(metric)}".rstrip()
            texts.append(f"{arm.arm} {value} on {several(scores.n, words.noun(facts.study))}")
    return f"{capitalized(words.metric(facts.study.metric))}: {'; '.join(texts)}." if texts else ""


def accuracy(facts: RunFacts) -> str:
    """Sensitivity and specificity of the test part where there are two classes, else the AUROC."""
    names = ("sensitivity", "specificity", "auroc") if facts.study.positive is not None else ("auroc",)
    texts = []
    for arm in facts.arms:
        found = [(name, metric) for name in names if (metric := arm.estimate(name)) and metric.value is not None]
        values = [f"{words.metric(name)} {number(metric.value)} {interval(metric)}".rstrip() for name, metric in found]
        texts += [f"{arm.arm} {', '.join(values)}"] if values else []
    return f"{'; '.join(texts)}." if texts else ""


def clusters(facts: RunFacts) -> str:
    """Whether scores were taken apart by site or device, or on external data."""
    known = {name for arm in facts.arms for name in arm.subgroups} & {"site", "device"}
    how = [f"scores by {listed([words.known_column(name) for name in sorted(known)])}"] if known else []
    how += ["external data scored by themselves"] if facts.study.data.external else []
    return f"{capitalized(listed(how))}." if how else ""


def external_testing(facts: RunFacts) -> str:
    """What external data have."""
    texts = [f"{name}: {text}" for name in facts.study.data.external if (text := _scores(facts, f"external/{name}"))]
    return " ".join(texts) or "None in this run."


def flow(facts: RunFacts) -> str:
    """How many samples came in, and where they went."""
    if not facts.parts:
        return ""
    parts = [f"{part} {counted(facts, part)}" for part in facts.parts]
    return f"{capitalized('; '.join(parts))}. {eligibility(facts)}"


def characteristics(facts: RunFacts) -> str:
    """What is known of the samples beside their class."""
    if facts.audit is None or not facts.audit.subgroups:
        return ""
    known = [words.known_column(name) for name in facts.audit.subgroups]
    return f"Classes of each part; also by {listed(known)}."


def failures(facts: RunFacts) -> str:
    """What the page shows of errors."""
    notes = [f"{arm.arm}: {note}" for arm in facts.arms if (note := arm_words.note(arm))]
    found = f" Trainings that failed: {'; '.join(notes)}." if notes else ""
    return f"Confusion matrices; wrong test samples under their maps.{found}"


def imbalance(facts: RunFacts) -> str:
    """Whether classes were weighted or drawn equally often."""
    used = []
    for arm in facts.trained:
        for stage in facts.study.arms[arm].stages.values():
            used += [f"{arm}: class weights"] if stage.class_weights not in (None, "none") else []
            used += [f"{arm}: classes drawn equally often"] if stage.sampling == "balanced" else []
    return f"{'; '.join(dict.fromkeys(used))}." if used else "No method against class imbalance was used."


def output(facts: RunFacts) -> str:
    """What the model gives, and how it becomes a class."""
    return " ".join(f"{arm}: {_topic(facts, arm, 'Read from')}" for arm in facts.names)


def specification(facts: RunFacts) -> str:
    """Where the whole model is."""
    if not facts.models:
        return ""
    return "An arm's folder holds its weights, recipe, preparation and post-training; `rescan predict` applies it."


def code(_: RunFacts) -> str:
    """Where the code is."""
    return "Rescan (Apache-2.0), with the study file; the command and version stand on the page."


def updating(facts: RunFacts) -> str:
    """What was fitted after the training."""
    if not any(fitted.temperatures for fitted in facts.fitted.values()):
        return ""
    texts = {arm: arm_words.posttraining(facts.study, arm, fitted) for arm, fitted in facts.fitted.items()}
    others = [f"{arm}: {text}" for arm, of_arm in texts.items() for text in of_arm]
    return " ".join(["One temperature per head, fitted on predictions of the validation part.", *others])


def poor_input(_: RunFacts) -> str:
    """What happens to input that is no image, or cannot be prepared."""
    return "Files that cannot be read or prepared are named and get no prediction; image quality is not judged."


def interaction(_: RunFacts) -> str:
    """What a user has to do."""
    return "None with the input: `rescan predict` takes files as they are; reading the result needs an expert."
