"""The crate against the text of the specifications, RO-Crate 1.1 and Process Run Crate 0.5, by checks of its own."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from urllib.parse import unquote

import pytest
from traced_study import NAME, RESULTS, STEPS

from rescan.results.provenance_file import provenance_of
from rescan.study import read
from rescan.trace.crate import crate

pytestmark = pytest.mark.usefixtures("tree")
PROFILE = "https://w3id.org/ro/wfrun/process/0.5"


def entities() -> dict[str, dict]:
    content = json.loads(Path(RESULTS, "ro-crate-metadata.json").read_text("utf-8"))
    assert content["@context"][0] == "https://w3id.org/ro/crate/1.1/context"
    found = {entity["@id"]: entity for entity in content["@graph"]}
    assert len(found) == len(content["@graph"])  # flattened: one entity per identifier
    return found


def references(value: object) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [entry["@id"] for entry in values if isinstance(entry, dict)]


def test_the_root_is_as_the_specification_requires():
    found = entities()
    descriptor, root = found["ro-crate-metadata.json"], found["./"]
    assert descriptor["@type"] == "CreativeWork"
    assert references(descriptor["about"]) == ["./"]
    assert references(descriptor["conformsTo"]) == ["https://w3id.org/ro/crate/1.1"]
    assert root["@type"] == "Dataset"
    assert all(root[key] for key in ("name", "description", "license"))
    datetime.fromisoformat(root["datePublished"])
    assert references(root["conformsTo"]) == [PROFILE]
    assert found[PROFILE]["@type"] == "CreativeWork"


def test_every_reference_leads_to_an_entity_and_every_file_is_part_of_the_crate():
    found = entities()
    for entity in found.values():
        for key, value in entity.items():
            if key not in ("conformsTo",):
                assert {*references(value)} <= {*found}, (entity["@id"], key)
    files = {name for name, entity in found.items() if entity["@type"] == "File"}
    assert files == {*references(found["./"]["hasPart"])}
    for name in files:
        path = Path(RESULTS, unquote(name))
        assert path.is_file()
        if "contentSize" in found[name]:
            assert int(found[name]["contentSize"]) == path.stat().st_size


def test_each_step_is_an_action_with_its_tool_inputs_and_results():
    found = entities()
    actions = {name: entity for name, entity in found.items() if entity["@type"] == "CreateAction"}
    assert {*references(found["./"]["mentions"])} == {*actions}
    assert len(actions) == len(STEPS)
    for action in actions.values():
        assert all(action[key] for key in ("name", "description", "result"))
        assert datetime.fromisoformat(action["startTime"]) <= datetime.fromisoformat(action["endTime"])
        for name in references(action["instrument"]):
            assert found[name]["@type"] == "SoftwareApplication"
            assert found[name]["name"] == "Rescan"
            assert found[name]["softwareVersion"]
    infer = actions["#infer_plain_fold0_seed0"]
    assert "plain/fold0_seed0/predictions.csv" in references(infer["result"])
    assert f"#data/demo/{NAME}/small/images.npy" in references(infer["object"])
    assert references(infer["subjectOf"]) == ["provenance/infer_plain_fold0_seed0.json"]


def test_the_same_provenance_gives_the_same_crate():
    study = read(f"{RESULTS}/study.json")
    calls, _ = provenance_of(study)
    assert crate(study, calls) == Path(RESULTS, "ro-crate-metadata.json").read_text("utf-8")
