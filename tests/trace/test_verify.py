"""`rescan verify` finds what was changed, and nothing where nothing was."""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from traced_study import NAME, RESULTS, step
from typer.testing import CliRunner

from rescan import checkout
from rescan.cli import app
from rescan.results.provenance_file import Provenance
from rescan.trace.verify import verify

DATA = f"data/demo/{NAME}"
RUN = f"{RESULTS}/plain/fold0_seed0"


def flip(path: str | Path, seed: int = 0) -> None:
    """Flip one bit of a file; its time of change stays."""
    path = Path(path)
    state, whole, rng = path.stat(), bytearray(path.read_bytes()), random.Random(f"{path.name} {seed}")
    whole[rng.randrange(len(whole))] ^= 1 << rng.randrange(8)
    path.write_bytes(whole)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


def test_whole_results_have_no_fault_wherever_they_are_named_from(tree, monkeypatch):
    for place, results in ((".", "results"), ("..", tree / "results/demo"), ("results", f"demo/{NAME}")):
        monkeypatch.chdir(tree / place)
        found = verify(Path(results), sources=True, stores=True)
        assert found.wrong == []
        assert found.checked > 80
    assert Path.cwd() == tree / "results"


KINDS = [
    f"{RESULTS}/manifest.csv",
    f"{RESULTS}/dropped.json",
    f"{RESULTS}/audit.json",
    f"{RESULTS}/groups.csv",
    f"{RESULTS}/splits.csv",
    f"{RUN}/model.safetensors",
    f"{RUN}/history.csv",
    f"{RUN}/network.json",
    f"{RUN}/curves.png",
    f"{RUN}/predictions.csv",
    f"{RUN}/vectors.npy",
    f"{RUN}/training_range.safetensors",
    f"{RESULTS}/plain/metrics.json",
    f"{RESULTS}/plain/posttraining.json",
    f"{RESULTS}/plain/figures/roc.svg",
    f"{RESULTS}/plain/figures/roc.pdf",
    f"{RESULTS}/comparison.csv",
    f"{RESULTS}/index.html",
    f"{RESULTS}/card.json",
    f"{RESULTS}/tables/arms.csv",
    f"{RESULTS}/tables/arms.tex",
    f"{RESULTS}/tables/cite.bib",
    f"{RESULTS}/ro-crate-metadata.json",
    f"{DATA}/source.json",
    f"{DATA}/small/images.npy",
    f"{DATA}/small/masks.npy",
    f"{DATA}/small/items.csv",
    f"{DATA}/small/preparation.json",
]


@pytest.mark.usefixtures("tree")
def test_one_flipped_bit_of_any_file_is_found():
    """All at once: each file must be named, or its table's reading must fail before."""
    for path in KINDS:
        flip(path)
    images = next(Path(DATA, "raw").rglob("*.png"))
    flip(images)
    found = verify(Path(RESULTS), sources=True, stores=True).wrong
    for path in KINDS:
        assert any(line.startswith(f"{path}: ") for line in found), path
    assert any(line.startswith(f"{DATA}/raw: ") or str(images) in line for line in found)


def test_a_changed_study_json_is_found(tree):
    path = tree / RESULTS / "study.json"
    path.write_text(path.read_text().replace("A tiny study", "A tiny studY"))
    found = verify(tree / RESULTS).wrong
    fault = f"{RESULTS}/index.html: was made by report with other settings than study.json has now; run report again"
    assert fault in found
    assert all("report" in line for line in found)


@pytest.mark.usefixtures("tree")
def test_an_edited_file_is_one_line_with_what_to_do_and_exit_code_1():
    path = Path(f"{RUN}/vectors.npy")
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    result = CliRunner().invoke(app, ["verify", RESULTS])
    assert result.exit_code == 1
    lines = [line for line in result.output.splitlines() if not re.match(r"note: |\d\d:", line)]
    assert lines[0].startswith(f"{path}: is not what infer of plain, fold 0, seed 0 wrote (")
    assert lines[0].endswith("edited or damaged; restore it, or delete it and run infer again")
    assert lines[1].endswith("; 1 wrong")
    assert len(lines) == 2


@pytest.mark.usefixtures("tree")
def test_what_was_made_of_an_earlier_version_of_an_input_is_stale():
    path = Path(f"{RESULTS}/plain/posttraining.json")
    path.write_text(json.dumps(json.loads(path.read_text()), indent=2))
    call = Provenance.read(f"{RESULTS}/provenance/posttrain_plain.json")
    state = path.stat()
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    [output] = call.outputs
    newer = output.model_copy(update={"bytes": state.st_size, "sha256": digest, "modified": state.st_mtime_ns})
    call.model_copy(update={"outputs": [newer]}).write(f"{RESULTS}/provenance/posttrain_plain.json")
    found = [line for line in verify(Path(RESULTS)).wrong if "read another version" in line]
    assert [line.partition(": ")[0] for line in found] == [
        f"{RESULTS}/comparison.csv",
        f"{RESULTS}/plain/metrics.json",
        f"{RESULTS}/index.html",
    ]
    assert found[1].endswith(f"read another version of {path} than is there now; run evaluate again")


@pytest.mark.usefixtures("tree")
def test_a_store_that_is_made_again_alike_makes_nothing_stale(monkeypatch):
    store = Path(f"{DATA}/small/preparation.json")
    before = store.read_bytes()
    clock = iter(range(0, 10**6, 1000))
    slow = SimpleNamespace(monotonic=lambda: float(next(clock)))
    monkeypatch.setattr("rescan.preparation.preprocess.time", slow)
    step("preprocess", "--preparation", "small")
    assert store.read_bytes() == before
    step("report")
    assert verify(Path(RESULTS), stores=True).wrong == []


def test_a_copy_without_data_is_verified_and_what_could_not_be_is_said(tree, tmp_path):
    copy = tmp_path / "published"
    shutil.copytree(tree / RESULTS, copy)  # neither results/demo above it nor data beside it
    found = verify(copy, sources=True, stores=True)
    assert found.wrong == ["data/demo/tiny/source.json: no such file; run download first"]
    assert verify(copy).wrong == []
    assert any(note.startswith("data/ is not here") for note in verify(copy).notes)
    flip(copy / "plain/metrics.json")
    assert any(line.startswith(f"{RESULTS}/plain/metrics.json: ") for line in verify(copy).wrong)


@pytest.mark.usefixtures("tree")
def test_a_missing_crate_is_found():
    crate = Path(f"{RESULTS}/ro-crate-metadata.json")
    crate.unlink()
    assert verify(Path(RESULTS)).wrong == [f"{crate}: is missing; report made it; run report again"]


def test_missing_files_and_files_without_provenance(tree):
    (tree / f"{RUN}/predictions.csv").unlink()
    (tree / RESULTS / "notes.txt").write_text("mine")
    found = verify(tree / RESULTS)
    fault = f"{RUN}/predictions.csv: is missing; infer of plain, fold 0, seed 0 made it; run infer again"
    assert fault in found.wrong
    assert any(note.startswith(f"{RESULTS}/notes.txt: no step's provenance names it") for note in found.notes)
    shutil.rmtree(tree / RESULTS / "provenance")
    assert any("there is no provenance" in line for line in verify(tree / RESULTS).wrong)


@pytest.mark.usefixtures("tree")
def test_results_of_several_versions_of_the_code_are_told(monkeypatch):
    monkeypatch.setattr(checkout, "code", lambda: checkout.Code("f" * 40, "none", "0" * 16))
    step("posttrain", "--arm", "plain")
    found = verify(Path(RESULTS))
    assert any("made with 2 versions of the code" in note and "ffffffffffff: posttrain" in note for note in found.notes)


@pytest.mark.usefixtures("tree")
def test_a_table_of_the_page_that_does_not_say_what_results_say(tree):
    """Even where its provenance was made to fit."""
    table = Path(f"{RESULTS}/tables/scores.csv")
    lines = table.read_text().splitlines()
    table.write_text("\n".join([*lines[:-1], re.sub(r"\d", "1", lines[-1])]) + "\n")
    found = verify(tree / RESULTS).wrong
    assert f"{table}: does not say what the results say; run report again" in found


@pytest.mark.usefixtures("tree")
def test_an_edited_page_of_all_studies_is_noted():
    page = Path("results/index.html")
    assert not any(note.startswith(f"{page}:") for note in verify(Path("results")).notes)
    page.write_text(page.read_text("utf-8").replace("</body>", "<p>97 %</p></body>"), "utf-8")
    assert any(note.startswith(f"{page}: is not the page") for note in verify(Path("results")).notes)


def test_a_folder_without_results_is_one_line(tmp_path):
    result = CliRunner().invoke(app, ["verify", str(tmp_path)])
    assert str(result.exception) == (
        f"{tmp_path}: no study.json here or in its folders; name results/<scale>/<study>, or a folder of such"
    )


def test_a_damaged_study_json_is_one_line_and_others_are_verified(tree):
    other = tree / "results/demo/other/study.json"
    other.parent.mkdir()
    other.write_text("{")
    [line] = verify(Path("results")).wrong
    assert line.startswith(f"{other}: damaged, or not a resolved study of this version; run the workflow again")


def test_it_needs_no_torch(tree):
    code = f"import sys; from pathlib import Path; from rescan.trace.verify import verify; verify(Path({RESULTS!r}))"
    command = [sys.executable, "-c", f"{code}; sys.exit('torch' in sys.modules)"]
    assert subprocess.run(command, cwd=tree, check=False, timeout=300).returncode == 0
