"""What is read off a sample as a DICOM Structured Report, by the template of imaging measurements (TID 1500)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import EnhancedSRStorage

from rescan.arm_rows import NO, YES, class_columns, column_at
from rescan.readouts.arm_facts import ArmFacts
from rescan.readouts.dicom_source import (
    MAKER,
    SCHEME,
    Instance,
    Source,
    coded,
    new_file,
    own_code,
    referenced,
    uid_of,
    write,
)
from rescan.readouts.readout import Readout
from rescan.results.posttraining import FittedPoint

ENGLISH = Code("en-US", "RFC5646", "English (United States)")
ALGORITHM_MAKER = Code("122405", "DCM", "Algorithm Manufacturer")
ANSWERS = {YES: codes.SCT.Yes, NO: codes.SCT.No}
INSIDE, ABOUT, FROM = "CONTAINS", "HAS CONCEPT MOD", "HAS OBS CONTEXT"


def write_report(
    file: Path,
    source: Source,
    facts: ArmFacts,
    readout: Readout,
    points: Sequence[FittedPoint],
    *,
    multilabel: bool,
) -> None:
    """Write what is read off a sample: a measurement group of the source's images.

    It has the finding (of several labels, yes or no for each), the probability of each class or the grade, the answers
    at operating points, flags, and the algorithm that says so.

    Args:
        file: The file.
        source: What the sample was read from.
        facts: The arm.
        readout: The sample; one that could be read.
        points: The operating points whose answers its row holds.
        multilabel: Whether a sample may have several labels.
    """
    made = new_file(source, facts, "report", EnhancedSRStorage, "SR")
    made.ReferencedPerformedProcedureStepSequence, made.PerformedProcedureCodeSequence = [], []
    made.CompletionFlag, made.VerificationFlag = "COMPLETE", "UNVERIFIED"
    made.CurrentRequestedProcedureEvidenceSequence = [_evidence(source)]
    scheme = Dataset()
    scheme.CodingSchemeDesignator, scheme.CodingSchemeName = SCHEME, "Classes of studies of Rescan (private)"
    made.CodingSchemeIdentificationSequence = [scheme]
    tracking = uid_of(str(made.SeriesInstanceUID), *map(str, source.instances))
    group = [
        _text(FROM, codes.DCM.TrackingIdentifier, f"{facts.title}: whole image"),
        _item(FROM, "UIDREF", codes.DCM.TrackingUniqueIdentifier, UID=tracking),
        *([] if multilabel else [_code(INSIDE, codes.DCM.Finding, _class(facts, str(readout.row["predicted"])))]),
        *_algorithm(facts),
        *_numbers(facts, readout),
        *(_labels(facts, readout) if multilabel else []),
        *_answers(facts, readout, points),
        *_remarks(facts, readout),
        *[_image(instance) for instance in source.instances],
    ]
    content = [
        _code(ABOUT, codes.DCM.LanguageOfContentItemAndDescendants, ENGLISH),
        _code(FROM, codes.DCM.ObserverType, codes.DCM.Device),
        _item(FROM, "UIDREF", codes.DCM.DeviceObserverUID, UID=uid_of(facts.key)),
        _text(FROM, codes.DCM.DeviceObserverName, facts.title),
        _text(FROM, codes.DCM.DeviceObserverManufacturer, MAKER),
        _code(ABOUT, codes.DCM.ProcedureReported, codes.SCT.ImagingProcedure),
        _container(codes.DCM.ImagingMeasurements, [_container(codes.DCM.MeasurementGroup, group, "1501")]),
    ]
    root = _container(codes.DCM.ImagingMeasurementReport, content, "1500")
    del root.RelationshipType
    made.update(root)
    write(file, made, root.to_json())


def _evidence(source: Source) -> Dataset:
    """The images that a report is of, by study and series."""
    series, study = Dataset(), Dataset()
    series.SeriesInstanceUID = source.header.SeriesInstanceUID
    unframed = {instance.uid: instance._replace(frame=None) for instance in source.instances}
    series.ReferencedSOPSequence = [referenced(instance) for instance in unframed.values()]
    study.StudyInstanceUID, study.ReferencedSeriesSequence = source.header.StudyInstanceUID, [series]
    return study


def _algorithm(facts: ArmFacts) -> list[Dataset]:
    """What says so (TID 4019)."""
    return [
        _text(ABOUT, codes.DCM.AlgorithmName, facts.title),
        _text(ABOUT, codes.DCM.AlgorithmVersion, f"{facts.reader}+{facts.key}"),
        _text(ABOUT, ALGORITHM_MAKER, MAKER),
        _code(ABOUT, codes.DCM.AlgorithmFamily, codes.cid7162.ArtificialIntelligence),
    ]


def _numbers(facts: ArmFacts, readout: Readout) -> list[Dataset]:
    """The probability of each class in [0, 1]; or the grade."""
    found = []
    for name, column in zip(facts.classes, class_columns(facts.classes)):
        if column in readout.row:
            found.append((own_code(f"Probability of {name}", facts.study), readout.row[column]))
    if not found:
        found = [(own_code("Grade, by the classes' numbers from 0", facts.study), readout.row["grade"])]
    return [_number(code, float(str(value))) for code, value in found]


def _labels(facts: ArmFacts, readout: Readout) -> list[Dataset]:
    """Of several labels, whether each is found."""
    present = str(readout.row["predicted"]).split("|")
    return [
        _code(INSIDE, _class(facts, name), codes.SCT.Yes if name in present else codes.SCT.No) for name in facts.classes
    ]


def _answers(facts: ArmFacts, readout: Readout, points: Sequence[FittedPoint]) -> list[Dataset]:
    """The answers at operating points."""
    answers = [(point, str(readout.row.get(column_at(point)) or "")) for point in points]
    return [
        _code(INSIDE, own_code(f"{point.of} at {point.name}", facts.study), ANSWERS[answer])
        for point, answer in answers
        if answer in ANSWERS
    ]


def _remarks(facts: ArmFacts, readout: Readout) -> list[Dataset]:
    """What to beware of."""
    flags = [flag for flag in str(readout.row.get("flags") or "").split("; ") if flag]
    unlike = own_code("Unlike the training images")
    return [*[_text(INSIDE, unlike, flag) for flag in flags], _text(INSIDE, codes.DCM.Comment, facts.caution)]


def _class(facts: ArmFacts, name: str) -> Code:
    """The code of a class, of a study."""
    return own_code(name, facts.study, "class")


def _image(instance: Instance) -> Dataset:
    return _item(INSIDE, "IMAGE", codes.DCM.SourceOfMeasurement, ReferencedSOPSequence=[referenced(instance)])


def _number(name: Code, value: float) -> Dataset:
    """A number without a unit."""
    measured = Dataset()
    measured.NumericValue, measured.MeasurementUnitsCodeSequence = f"{value:.6f}", [coded(codes.UCUM.NoUnits)]
    return _item(INSIDE, "NUM", name, MeasuredValueSequence=[measured])


def _text(relation: str, name: Code, text: str) -> Dataset:
    return _item(relation, "TEXT", name, TextValue=text)


def _code(relation: str, name: Code, code: Code) -> Dataset:
    return _item(relation, "CODE", name, ConceptCodeSequence=[coded(code)])


def _container(name: Code, content: Sequence[Dataset], template: str = "") -> Dataset:
    """A container of items, by a template of the standard."""
    item = _item(INSIDE, "CONTAINER", name, ContinuityOfContent="SEPARATE", ContentSequence=list(content))
    if template:
        identified = Dataset()
        identified.MappingResource, identified.TemplateIdentifier = "DCMR", template
        item.ContentTemplateSequence = [identified]
    return item


def _item(relation: str, kind: str, name: Code, **content: Any) -> Dataset:
    """An item of a report's tree."""
    item = Dataset()
    item.RelationshipType, item.ValueType, item.ConceptNameCodeSequence = relation, kind, [coded(name)]
    for attribute, value in content.items():
        setattr(item, attribute, value)
    return item
