"""The items of CLAIM, 2024 update, in our own words, and what of them a run knows."""

from __future__ import annotations

from rescan.reporting.checklists import checklist_answers as answers
from rescan.reporting.checklists.items import Checklist, Item

DATA, METHODS, RECIPE, ARMS = "Data and audit", "Methods", "Recipe", "Arms"
ANSWER, COMPARISON, RERUN = "Answer", "Comparison of arms", "Versions, running it again"

CLAIM = Checklist(
    "checklist_claim_2024",
    "CLAIM, 2024 update",
    "Tejani et al., Radiology: Artificial Intelligence 2024;6(4):e240300",
    (
        Item("1", "title: the kind of AI", answers.technology, RECIPE),
        Item("2", "structured abstract"),
        Item("3", "background and role of the AI"),
        Item("4", "aims and hypotheses"),
        Item("5", "prospective or retrospective"),
        Item("6", "goal of the study", answers.goal, ANSWER),
        Item("7", "sources of the data", answers.sources, DATA),
        Item("8", "inclusion and exclusion", answers.eligibility, DATA),
        Item("9", "preprocessing", answers.preprocessing, METHODS),
        Item("10", "selection of subsets", answers.subsets, DATA),
        Item("11", "de-identification", answers.deidentification, DATA),
        Item("12", "missing data", answers.missing, DATA),
        Item("13", "image acquisition"),
        Item("14", "reference standard: definition"),
        Item("15", "reference standard: why this one"),
        Item("16", "reference standard: who annotated"),
        Item("17", "reference standard: annotation of the test part"),
        Item("18", "variability of raters", answers.reference_variability, DATA),
        Item("19", "assignment to partitions", answers.partitions, DATA),
        Item("20", "level at which partitions are disjoint", answers.disjoint, DATA),
        Item("21", "intended size of the test part"),
        Item("22", "model in full", answers.architecture, RECIPE),
        Item("23", "software and versions", answers.software, RERUN),
        Item("24", "initial weights", answers.initialization, RECIPE),
        Item("25", "training, augmentation, hyperparameters", answers.training, RECIPE),
        Item("26", "how the final model was chosen", answers.model_selection, RECIPE),
        Item("27", "ensembles", answers.ensembling, RECIPE),
        Item("28", "metrics", answers.metrics, ARMS),
        Item("29", "significance and uncertainty", answers.uncertainty, METHODS),
        Item("30", "robustness or sensitivity analysis", answers.robustness, ARMS),
        Item("31", "explainability", answers.explainability, ARMS),
        Item("32", "internal testing", answers.internal_testing, ANSWER),
        Item("33", "external testing", answers.external_testing, "External validation"),
        Item("34", "trial registration"),
        Item("35", "numbers included and excluded", answers.flow, DATA),
        Item("36", "characteristics of each partition", answers.characteristics, DATA),
        Item("37", "performance with uncertainty", answers.internal_testing, ANSWER),
        Item("38", "diagnostic accuracy with precision", answers.accuracy, ARMS),
        Item("39", "analysis of failures", answers.failures, ARMS),
        Item("40", "limitations"),
        Item("41", "implications for practice"),
        Item("42", "full protocol", answers.code, RERUN),
        Item("43", "availability of software, model, data", answers.specification, RERUN),
        Item("44", "funding"),
    ),
)
