"""The wheel: all files of the package are in it, and with its declared packages it loads, predicts and explains."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest
from sample_arms import finish, small_study

from rescan.handover.bundling import bundle

ROOT = Path(__file__).parent.parent
setuptools = pytest.importorskip("setuptools", minversion="70.1")  # earlier ones need the package wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel of a copy of the package."""
    place = tmp_path_factory.mktemp("wheel")
    skipped = shutil.ignore_patterns("__pycache__", "*.egg-info")
    shutil.copytree(ROOT / "src", place / "src", ignore=skipped)  # links become what they lead to
    for name in ("pyproject.toml", "README.md", "LICENSE", "CITATION.cff"):
        shutil.copy(ROOT / name, place / name)
    code = "from setuptools.build_meta import build_wheel; build_wheel('.')"
    subprocess.run([sys.executable, "-c", code], cwd=place, check=True, timeout=300, capture_output=True)
    (file,) = place.glob("*.whl")
    return file


def test_every_file_of_the_package_is_in_it(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if name.startswith("rescan/")}
    package = ROOT / "src/rescan"
    files = [path for path in package.rglob("*") if path.is_file() and path.parent.name != "__pycache__"]
    assert names == {path.relative_to(package.parent).as_posix() for path in files}
    assert "rescan/py.typed" in names


def test_what_predicts_is_required_and_the_workflow_is_not(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("METADATA"))
        metadata = Parser().parsestr(archive.read(name).decode())
    required = {
        line.split(";")[0].split(">")[0] for line in metadata.get_all("Requires-Dist") if "extra ==" not in line
    }
    assert {"torch", "torchvision", "monai", "pandas", "pydicom"} <= required
    assert not {"snakemake", "kaggle", "tensorboard", "pytest"} & required


def test_it_predicts_and_explains_without_snakemake_and_the_sources(wheel, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    bundle(Path(finish(small_study(seeds=1))), tmp_path / "model.zip")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path / 'installed')!r})\n"
        "sys.modules.update(dict.fromkeys(['snakemake', 'kaggle', 'tensorboard']))  # importing them fails\n"
        "import numpy as np, rescan\n"
        "assert 'installed' in rescan.__file__\n"
        "model, image = rescan.load('model.zip', device='cpu'), np.arange(1200, dtype=np.uint8).reshape(20, 20, 3)\n"
        "assert model.predict([image])['problem'].tolist() == ['']\n"
        "assert model.explain([image])[0].map.shape == (20, 20)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300, cwd=tmp_path)
