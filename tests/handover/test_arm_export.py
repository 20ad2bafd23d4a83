"""A trained arm as ONNX and TorchScript files: what they predict is what torch predicts, without torch."""

import io
import json
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.numpy import save as save_file
from sample_files import make_range
from small_arms import CLASSES, IMAGES, small_arm, write_arm, write_images, write_network, write_volumes
from typer.testing import CliRunner

import rescan
from rescan.arm_models import load_arm
from rescan.cli.commands import app
from rescan.errors import RescanError
from rescan.handover.arm_export import export_arm
from rescan.handover.gathered import gather
from rescan.predict import predict
from rescan.results.training_range import write_range

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

WITHOUT_TORCH = """
import sys

class Blocked:
    def find_spec(self, name, *rest):
        if name.partition(".")[0] in ("torch", "torchvision", "monai"):
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Blocked())
from rescan.__main__ import main
sys.argv = ["rescan", *sys.argv[1:]]
main()
"""


def run_without_torch(*arguments):
    command = [sys.executable, "-c", WITHOUT_TORCH, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def numbers(file):
    table = pd.read_csv(file, keep_default_na=False)
    return table["predicted"].tolist(), table[CLASSES].to_numpy(float)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """An arm, its export as ONNX, images, and what torch predicts of these."""
    place = tmp_path_factory.mktemp("exported")
    small_arm(place / "arm")
    export_arm(place / "arm", place / "onnx", "onnx")
    write_images(place / "images")
    predict(place / "arm", [place / "images"], place / "torch.csv", None, "cpu", runtime="torch")
    return place


def test_without_torch_onnx_predicts_the_same(place, tmp_path):
    ran = run_without_torch("predict", place / "onnx", place / "images", "--out", tmp_path / "out.csv")
    assert ran.returncode == 0, ran.stderr
    labels, probabilities = numbers(tmp_path / "out.csv")
    expected_labels, expected = numbers(place / "torch.csv")
    assert labels == expected_labels
    np.testing.assert_allclose(probabilities, expected, atol=1e-4)
    assert len(np.unique(expected.round(3))) > 6
    ran = run_without_torch("predict", place / "arm", place / "images", "--out", tmp_path / "out.csv")
    assert ran.returncode == 1
    assert "torch is not installed" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_bundle_with_onnx_files_predicts_without_torch(place, tmp_path):
    file = tmp_path / "model.rescan.zip"
    made = CliRunner().invoke(app, ["bundle", str(place / "arm"), "-o", str(file), "--onnx"])
    assert made.exit_code == 0, made.output
    ran = run_without_torch("predict", file, place / "images", "--out", tmp_path / "out.csv")
    assert ran.returncode == 0, ran.stderr
    assert numbers(tmp_path / "out.csv")[0] == numbers(place / "torch.csv")[0]
    images = sorted((place / "images").iterdir())
    by_onnx, by_torch = (rescan.load(file, runtime=runtime) for runtime in ("onnx", "torch"))
    tables = [model.predict(images)[CLASSES].to_numpy(float) for model in (by_onnx, by_torch)]
    np.testing.assert_allclose(*tables, atol=1e-4)
    with pytest.raises(RescanError, match="load with runtime='torch'"):
        by_onnx.explain(images[:1])
    with pytest.raises(RescanError, match="device=cuda: ONNX files are run on the CPU"):
        rescan.load(file, runtime="onnx", device="cuda")
    with pytest.raises(RescanError, match="runtime 'onx': use auto, torch, onnx"):
        rescan.load(file, runtime="onx")


def test_volumes_and_all_heads_are_the_same(tmp_path):
    heads = {"classification": {}, "ordinal": {"link": "softmax"}, "regression": {"limit": 2}}
    small_arm(tmp_path / "arm", "cnn5_3d", heads=heads)
    export_arm(tmp_path / "arm", tmp_path / "onnx", "onnx")
    write_volumes(tmp_path / "volumes")
    tables = []
    for runtime, folder in (("torch", "arm"), ("onnx", "onnx")):
        predict(tmp_path / folder, [tmp_path / "volumes"], tmp_path / "out.csv", None, "cpu", runtime=runtime)
        tables.append(numbers(tmp_path / "out.csv"))
    assert tables[0][0] == tables[1][0]
    np.testing.assert_allclose(tables[1][1], tables[0][1], atol=1e-4)


def test_an_ensembles_networks_lie_inside_and_the_folder_is_the_same_each_time(tmp_path, place):
    write_network(tmp_path / "other/fold0_seed5/model.safetensors", 5, arm="other")
    write_network(tmp_path / "more/fold0_seed6/model.safetensors", 6, arm="more")
    write_arm(tmp_path / "both", ["../other/fold0_seed5", "../more/fold0_seed6"], ensemble=True)
    for name in ("a", "b"):
        export_arm(tmp_path / "both", tmp_path / name, "onnx")
    files = sorted(path.relative_to(tmp_path / "a").as_posix() for path in (tmp_path / "a").rglob("*.*"))
    assert files == ["more/fold0_seed6/model.onnx", "other/fold0_seed5/model.onnx", "posttraining.json"]
    assert all((tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes() for file in files)
    for runtime, folder in (("torch", "both"), ("auto", "a")):
        predict(tmp_path / folder, [place / "images"], tmp_path / f"{folder}.csv", None, "cpu", runtime=runtime)
    np.testing.assert_allclose(numbers(tmp_path / "a.csv")[1], numbers(tmp_path / "both.csv")[1], atol=1e-4)


def test_torchscript_needs_nothing_but_torch(place, tmp_path):
    export_arm(place / "arm", tmp_path / "scripts", "torchscript")
    texts = {"rescan.json": "", "outputs.json": ""}
    file = tmp_path / "scripts/fold0_seed1/model.ts"
    traced = torch.jit.load(io.BytesIO(file.read_bytes()), _extra_files=texts)
    assert json.loads(texts["outputs.json"]) == ["classification", "vectors"]
    assert json.loads(texts["rescan.json"])["classes"] == CLASSES
    images = torch.rand(3, 3, 32, 32) * 255
    model = load_arm(place / "onnx").models[1]
    outputs, vectors = model.network.outputs(images.movedim(1, -1).round().byte().numpy())
    scripted = traced(images.round())
    np.testing.assert_allclose(scripted[0].numpy(), outputs["classification"], atol=1e-4)
    np.testing.assert_allclose(scripted[1].numpy(), vectors, atol=1e-4)


def test_a_sixteen_bit_store_goes_through_as_gray_levels(tmp_path):
    write_network(tmp_path / "arm/fold0_seed0/model.safetensors", preparation={**IMAGES, "dtype": "uint16"})
    write_arm(tmp_path / "arm", ["fold0_seed0"])
    export_arm(tmp_path / "arm", tmp_path / "onnx", "onnx")
    write_images(tmp_path / "images")
    for runtime, folder in (("torch", "arm"), ("onnx", "onnx")):
        predict(tmp_path / folder, [tmp_path / "images"], tmp_path / f"{folder}.csv", None, "cpu", runtime=runtime)
    np.testing.assert_allclose(numbers(tmp_path / "onnx.csv")[1], numbers(tmp_path / "arm.csv")[1], atol=1e-4)


def test_both_commands_hand_the_runtime_on(place, tmp_path, monkeypatch):
    seen = []

    def load(_, runtime):
        seen.append(runtime)
        raise RescanError("enough")

    (tmp_path / "table.csv").write_text("path,label\n")
    commands = {"predict": [str(place / "images")], "evaluate-on": ["--table", str(tmp_path / "table.csv")]}
    for command, arguments in commands.items():
        monkeypatch.setattr(f"rescan.{command.replace('-', '_')}.load_arm", load)
        out = ["--out", str(tmp_path / "out.json"), "--runtime", "onnx"]
        ran = CliRunner().invoke(app, [command, str(place / "onnx"), *arguments, *out])
        assert str(ran.exception) == "enough"
    assert seen == ["onnx", "onnx"]


def test_what_onnx_cannot_do_is_said_in_one_line(place, tmp_path):
    arguments = [place / "onnx", [place / "images"], tmp_path / "out.csv"]
    with pytest.raises(RescanError, match=r"^a map of Grad-CAM needs gradients, [^\n]*--runtime torch\)$"):
        predict(*arguments, tmp_path / "maps", "cpu", runtime="onnx")
    with pytest.raises(RescanError, match=r"^device=cuda: ONNX files are run on the CPU[^\n]*$"):
        predict(*arguments, None, "cuda", runtime="onnx")
    with pytest.raises(RescanError, match=r"model\.onnx: no such file[^\n]*--format onnx$"):
        predict(place / "arm", [place / "images"], tmp_path / "out.csv", None, "cpu", runtime="onnx")
    write_network(tmp_path / "copies/fold0_seed0/model.safetensors")
    write_arm(tmp_path / "copies", ["fold0_seed0"], copies=2)
    export_arm(tmp_path / "copies", tmp_path / "onnx", "onnx")
    with pytest.raises(RescanError, match=r"averages over augmented copies, which torch makes; use --runtime torch$"):
        predict(tmp_path / "onnx", [place / "images"], tmp_path / "out.csv", None, "cpu")
    assert not (tmp_path / "out.csv").exists()


def test_ranges_and_files_of_other_networks_are_refused_or_left_out(place, tmp_path, caplog):
    copy = shutil.copytree(place / "onnx", tmp_path / "onnx")
    of_other = make_range(model="of another one")
    write_range(copy / "fold0_seed0/training_range.safetensors", of_other)
    with pytest.raises(RescanError, match=r"training_range\.safetensors: .*is of other weights than model\.onnx has"):
        load_arm(copy, "onnx")
    arm = shutil.copytree(place / "arm", tmp_path / "arm")
    shutil.copy(place / "onnx/fold0_seed0/model.onnx", arm / "fold0_seed1")
    shutil.copy(place / "onnx/fold0_seed0/model.onnx", arm / "fold0_seed0")
    gather(arm, tmp_path / "gathered")
    assert [path.parent.name for path in (tmp_path / "gathered").rglob("*.onnx")] == ["fold0_seed0"]
    assert "fold0_seed1/model.onnx: was made from another model than model.safetensors beside it" in caplog.text
    (arm / "fold0_seed0/model.safetensors").write_bytes(save_file({}, {"rescan": "{"}))
    with pytest.raises(RescanError, match="its header is no JSON object"):
        load_arm(arm, "onnx")


def test_a_machine_without_onnxruntime_is_told_what_to_install(place, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(RescanError, match=r"^--runtime onnx: onnxruntime cannot be imported .*'rescan\[onnx\]'$"):
        load_arm(place / "onnx")


def test_options_of_other_formats_and_full_folders_are_refused(place, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine.txt").write_text("mine")
    arm, out = str(place / "arm"), str(tmp_path / "full")
    for arguments, code, line in (
        (["--format", "onnx", "--preparation", "p"], 2, "--preparation belongs to --format nifti"),
        (["--format", "monai", "--sample", "s"], 2, "--sample belongs to --format nifti"),
        ([], 2, "--format nifti needs --preparation"),
        (["--format", "onnx"], 1, "holds files; give a new folder"),
    ):
        ran = CliRunner().invoke(app, ["export", arm, "--out", out, *arguments])
        text = " ".join(str(ran.exception if isinstance(ran.exception, RescanError) else ran.output).split())
        assert line in text.replace("│ ", "")
        assert ran.exit_code == code
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["mine.txt"]
    with pytest.raises(RescanError, match="no posttraining"):
        export_arm(tmp_path, tmp_path / "new", "onnx")
    assert not (tmp_path / "new").exists()
