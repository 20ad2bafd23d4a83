"""Names and addresses of a study file: what cannot be a folder, collides with Rescan's own files, or leads nowhere."""

import pytest

from rescan.errors import RescanError
from rescan.paths import Paths
from rescan.study.file import load as load_file
from rescan.study.settings import Settings

SHA = "a" * 64


def fault_of(load, text):
    with pytest.raises(RescanError) as caught:
        load(text, "full")
    (line,) = str(caught.value).splitlines()
    assert line.isprintable()
    return line


@pytest.mark.parametrize(
    "name", ["..", ".state", "-x", "a/b", "'a b'", '"a\\nb"', "рaper", '"\\u202e"', "~nouser", "'a\\b'"]
)
def test_what_is_no_name_of_a_folder_is_refused(load, minimal, name):
    assert "needs a name of letters a-z, digits" in fault_of(load, minimal.replace("base: {}", f"{name}: {{}}"))
    assert "needs a name of letters a-z, digits" in fault_of(
        load, minimal.replace("preparations:\n", f"preparations:\n  {name}: {{steps: [clahe]}}\n")
    )


@pytest.mark.parametrize("name", ["nul", "COM1", "aux.x", "a."])
def test_what_windows_cannot_have_is_refused(load, minimal, name):
    assert f"arms.{name}: {name!r} can be no folder on Windows" in fault_of(load, minimal.replace("base:", f"{name}:"))


@pytest.mark.parametrize("name", ["con", "NUL", "lpt1.x"])
def test_a_study_file_whose_name_windows_cannot_have_is_refused(minimal, tmp_path, name):
    file = tmp_path / f"{name}.yaml"
    file.write_text(minimal)
    with pytest.raises(RescanError, match=r"name: .* can be no folder on Windows; take another name"):
        load_file(file, Settings("full"))


def test_a_name_of_300_letters_is_refused(load, minimal):
    assert "should have at most 100 characters" in fault_of(load, minimal.replace("base:", f"{'x' * 300}:"))


def test_names_that_differ_in_case_only_are_refused(load, minimal):
    line = fault_of(load, minimal.replace("base: {}", "base: {}\n  Base: {}"))
    assert "arms: 'base' and 'Base' differ only in case" in line


OWN = Paths("demo", "study")
IN_RESULTS = [
    OWN.manifest,
    OWN.card,
    OWN.page,
    OWN.resolved,
    OWN.tables,
    OWN.explore,
    OWN.comparison_figures,
    OWN.splits,
]


@pytest.mark.parametrize(
    "name", [*(path.rpartition("/")[2] for path in IN_RESULTS), "autoencoders", "external", "Manifest.CSV", "split.log"]
)
def test_an_arm_is_called_like_none_of_rescans_own_files(load, minimal, name):
    line = fault_of(load, minimal.replace("base:", f"{name}:"))
    assert f"arms.{name}: {name!r} is the name of a file or folder that Rescan uses; take another" in line


@pytest.mark.parametrize("name", ["raw", "RAW", "raw_extra", "download", "external", "source.json"])
def test_a_preparation_is_called_like_none_of_rescans_own_files(load, minimal, name):
    line = fault_of(load, minimal.replace("preparations:\n", f"preparations:\n  {name}: {{steps: [clahe]}}\n"))
    assert f"preparations.{name}: {name!r} is the name of a file or folder that Rescan uses" in line


@pytest.mark.parametrize("name", ["1", "no", "null", "index", "weights", "2020-01-01"])
def test_other_names_are_taken_as_written(load, minimal, name):
    assert list(load(minimal.replace("base:", f"{name}:"), "full").arms) == [name, "other"]


@pytest.mark.parametrize("stem", ["a b", "-x", "ä", "a\nb"])
def test_a_study_file_must_be_called_as_its_folder(minimal, tmp_path, stem):
    (tmp_path / f"{stem}.yaml").write_text(minimal)
    with pytest.raises(RescanError, match="needs a name of letters a-z") as caught:
        load_file(tmp_path / f"{stem}.yaml", Settings("full"))
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    "url",
    ["http://[::1", "https://", "https://x:99999999/", "https://x:0/", "file:///etc/passwd", "data:,x", "https://a b/"]
    + ["https://ä/", "ftp://x/y", "x", "", "http://x/y", "http://localhost.x/y", "http://127.0.0.1@x/y"],
)
def test_what_is_no_address_is_refused(load, minimal, url):
    line = fault_of(load, minimal.replace("{path: somewhere}", f"{{url: '{url}', sha256: {SHA}}}"))
    assert f"data.source.url: {url!r} is no https address" in line


@pytest.mark.parametrize("url", ["https://x/y.zip", "http://localhost:8000/y.zip", "http://127.0.0.1/y.zip"])
def test_addresses_of_https_and_of_this_computer_are_taken(load, minimal, url):
    study = load(minimal.replace("{path: somewhere}", f"{{url: '{url}', sha256: {SHA}}}"), "full")
    assert study.data.source.url == url


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        (f"{{url: 'https://x/y', sha256: {SHA[1:]}}}", "sha256: string should match pattern"),
        ("{kaggle_dataset: x}", "kaggle_dataset: string should match pattern"),
        ("{kaggle_dataset: ../x/y}", "kaggle_dataset: string should match pattern"),
        ("{kaggle_competition: a/b}", "kaggle_competition: string should match pattern"),
        ("{path: ''}", "path: string should have at least 1 character"),
        ("{path: 3}", "path: needs text, not 3; if it is meant so, write it in quotes"),
    ],
)
def test_other_sources_that_are_none_are_refused(load, minimal, source, fault):
    assert fault in fault_of(load, minimal.replace("{path: somewhere}", source))


def test_a_home_that_is_not_known_is_no_traceback(load, minimal, tmp_path):
    study = load(minimal.replace("{path: somewhere}", "{path: ~nouser/x}"), "full")
    assert study.data.source.path == str(tmp_path / "~nouser/x")
