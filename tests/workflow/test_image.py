"""What is said of a container image before the first job."""

import json
import os
import re
from hashlib import sha256
from pathlib import Path

import pytest

from rescan.errors import RescanError
from rescan.workflow.image import BINDS, MORE_BINDS, check_binds, check_image

LOCKS = Path(__file__).parent.parent.parent / "envs"
NOW = sha256((LOCKS / "cu113.txt").read_bytes()).hexdigest()


@pytest.fixture
def apptainer(tmp_path, monkeypatch):
    """Puts an Apptainer on PATH that knows one image: its labels, and how a command in it ends."""

    def install(labels, ends="exit 0"):
        answer = json.dumps({"data": {"attributes": {"labels": labels}}})
        program = tmp_path / "bin/apptainer"
        program.parent.mkdir(exist_ok=True)
        program.write_text(f"#!/bin/sh\nif [ $1 = inspect ]; then echo '{answer}'; else {ends}; fi\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")

    return install


@pytest.fixture
def sif(tmp_path):
    (tmp_path / "some.sif").touch()
    return tmp_path / "some.sif"


@pytest.mark.parametrize(
    ("labels", "flavor", "ends", "message"),
    [
        ({"rescan.flavor": "current"}, "cu113", "exit 0", "is of flavor current; run `make image FLAVOR=cu113`"),
        ({}, "cu113", "exit 0", "bears no flavor; run `make image FLAVOR=cu113`"),
        ({"rescan.flavor": "cu113", "rescan.lock": "0" * 64}, None, "exit 0", "not of envs/cu113.txt as it is now"),
        ({}, None, "exit 1", "has no torch; use an image"),
        ({}, None, "echo FATAL: no user namespaces >&2; exit 255", ": no user namespaces; use an image"),
    ],
)
def test_an_image_in_which_no_job_can_run_is_refused_in_one_line(apptainer, sif, labels, flavor, ends, message):
    apptainer(labels, ends)
    with pytest.raises(RescanError, match=message) as caught:
        check_image(sif, flavor, LOCKS, "--userns")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("labels", "flavor"),
    [
        ({"rescan.flavor": "cu113", "rescan.lock": NOW}, "cu113"),
        ({"rescan.flavor": "cu113", "rescan.lock": NOW}, None),
        ({"rescan.flavor": "cu113", "rescan.lock": ""}, "cu113"),  # built by hand
        (None, None),  # somebody's own image
    ],
)
def test_other_images_are_taken(apptainer, sif, labels, flavor):
    apptainer(labels)
    check_image(sif, flavor, LOCKS)


@pytest.mark.parametrize(
    ("name", "flavor", "message"),
    [
        ("rescan-cu113.sif", "cu113", "is not there; run `make image FLAVOR=cu113`"),
        ("curent", None, "curent is not there; give the path of a .sif file or a URI; did you mean 'current'?"),
        (".", None, "is no file; give the path of a .sif file"),
        ("my images/some.sif", None, "has a space in its path, which Snakemake does not take; copy it"),
    ],
)
def test_a_path_that_is_no_image_is_one_line(apptainer, tmp_path, name, flavor, message):
    apptainer({"rescan.flavor": "cu113", "rescan.lock": NOW})
    (tmp_path / "my images").mkdir()
    (tmp_path / "my images/some.sif").touch()
    with pytest.raises(RescanError, match=f"^config: image: {tmp_path}.* ?{re.escape(message)}"):
        check_image(tmp_path / name, flavor, LOCKS)


def test_a_file_that_apptainer_cannot_read_is_one_line(apptainer, sif):
    apptainer({})
    (sif.parent / "bin/apptainer").write_text(
        "#!/bin/sh\necho 'FATAL:   Failed to open image: bad magic' >&2\nexit 255\n"
    )
    with pytest.raises(
        RescanError, match=r"some.sif is no whole container image \(Failed to open image: bad magic\); "
    ):
        check_image(sif, None, LOCKS)


def test_without_apptainer_nothing_is_started(sif, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(RescanError, match="install Apptainer"):
        check_image(sif, "cu113", LOCKS)


def test_a_link_to_where_the_container_is_blind_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr("rescan.workflow.image.MOUNTED", ())
    for name in (*BINDS, *MORE_BINDS):
        monkeypatch.delenv(name, raising=False)
    source, disk = tmp_path / "source/glioma", tmp_path / "disk"
    source.mkdir(parents=True)
    disk.mkdir()
    (disk / "1.png").touch()
    (source / "1.png").symlink_to(disk / "1.png")
    (source / "2.png").symlink_to(tmp_path / "lost.png")  # leads nowhere: for the audit to tell
    folders, sources = [str(source.parent)], [str(source.parent)]
    with pytest.raises(RescanError, match=f"leads to {disk}/1.png, .* set APPTAINER_BIND={disk}"):
        check_binds(folders, sources)
    check_binds([*folders, str(disk)], sources)
    check_binds(folders, sources, f"--userns --bind {disk}")
    for name in (*BINDS, *MORE_BINDS):
        with monkeypatch.context() as environment:
            environment.setenv(name, f"{disk}:{disk}:ro")
            check_binds(folders, sources)
            environment.setenv(name, f"{disk}:/elsewhere")  # the link does not lead there
            with pytest.raises(RescanError, match=f"leads to {disk}/1.png"):
                check_binds(folders, sources)
    with pytest.raises(RescanError, match=r"--singularity-args: .* cannot be read .No closing quotation"):
        check_binds(folders, sources, "--bind '/data")
    with pytest.raises(RescanError, match="cannot bind a path with a comma or a colon"):
        check_binds([*folders, "/data/a:b"], sources)
