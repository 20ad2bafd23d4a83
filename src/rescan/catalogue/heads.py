"""Heads: how a network answers, and how its outputs are read."""

from __future__ import annotations

from dataclasses import dataclass

from rescan.catalogue.record import FAULT, Record, by_name


@dataclass(frozen=True)
class Head(Record):
    """A subclass of `rescan.heads.head.Head`.

    Attributes:
        sentence: How an arm's answer is read off it.
        title: What the page calls it.
        of_grades: Whether it is for ordered classes only, and its output rises with the grade.
        of_two: Whether it tells two classes apart, and no more.
        of_several: Whether each of its outputs is of a label of its own, of which a sample may have several.
        one_output: Whether it has one output; its column in predictions.csv then has no number.
        gives_grade: Whether that output is a grade, without probabilities, that cut points turn into a class.
        output: Its outputs as the page describes them, of `classes`, one less `thresholds`, and a `limit`, if any.
        softmax_output: The same with `link: softmax`.
        as_input: What the linear neuron on all heads is fed of it.
    """

    kind = "head"
    title: str = ""
    of_grades: bool = False
    of_two: bool = False
    of_several: bool = False
    one_output: bool = False
    gives_grade: bool = False
    output: str = "{classes} outputs"
    softmax_output: str = ""
    as_input: str = ""


HEADS = by_name(
    Head(
        "classification",
        "rescan.heads.classification_head:Classification",
        about="softmax over the classes",
        sentence="the classification head: the most probable class",
        title="classification head",
        output="{classes} classes (softmax)",
        as_input="class",
    ),
    Head(
        "binary",
        "rescan.heads.ordinal_head:Binary",
        about="of two classes: one sigmoid",
        sentence="the binary head: the second class where its probability is above a half",
        title="binary head",
        of_two=True,
        one_output=True,
        output="one output (sigmoid)",
    ),
    Head(
        "regression",
        "rescan.heads.regression_head:Regression",
        about="one grade; `limit` keeps it between 0 and the limit",
        sentence="the regression head: the nearest grade",
        title="regression head",
        of_grades=True,
        one_output=True,
        gives_grade=True,
        output="one grade{limit}",
        as_input="regression",
    ),
    Head(
        "ordinal",
        "rescan.heads.ordinal_head:Ordinal",
        about='K − 1 sigmoids of "grade > k"; `link: softmax` is a published fault',
        sentence="the ordinal head: how many thresholds are passed",
        title="ordinal head",
        of_grades=True,
        output="{thresholds} thresholds, “grade > k” (sigmoids)",
        softmax_output=f"{{classes}} outputs of one softmax ({FAULT})",
        as_input="ordinal sum",
    ),
    Head(
        "multilabel",
        "rescan.heads.multilabel_head:Multilabel",
        about="of several labels, with `multilabel` in `data`: a sigmoid each",
        sentence="the multilabel head: each label whose probability is at least a half",
        title="multilabel head",
        of_several=True,
        output="{classes} labels (sigmoids)",
    ),
)
LINEAR = Head(
    "linear",
    "rescan.heads.regression_head:Regression",
    about="a linear neuron on all heads, fitted after the training",
    sentence="a linear neuron on all heads, least squared error: the nearest grade",
    title="linear neuron on all heads",
    of_grades=True,
    one_output=True,
    gives_grade=True,
)
READERS = {**HEADS, "linear": LINEAR}  # what an arm's predictions can be read from
