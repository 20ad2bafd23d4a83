"""ONNX files of networks: what is not as it was written, or of something else, is refused in one line."""

import numpy as np
import pytest
from network_cases import header_of, recipe
from small_arms import write_network

from rescan import onnx_networks
from rescan.errors import RescanError
from rescan.onnx_networks import load_onnx, read_header, with_header

HEADER = header_of(recipe("cnn5"), (3, 32, 32))


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(with_header(b"a graph" * 100, HEADER, "w"))
    return path


def test_a_header_is_read_back(file):
    assert read_header(file) == (HEADER, "w")


@pytest.mark.parametrize("length", [0, 1, 126, 127, 128, 300, 16_383, 16_384, 15_800, 70_000])
def test_headers_of_any_length_are_read_back(tmp_path, length):
    header = HEADER.model_copy(update={"arm": "ü" + "a" * length})
    (tmp_path / "a").write_bytes(with_header(b"\x72graph", header, ""))
    assert read_header(tmp_path / "a") == (header, "")


def test_the_metadata_is_what_onnx_reads(tmp_path):
    onnx = pytest.importorskip("onnx")
    helper = onnx.helper
    values = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["b", 3]) for name in ("images", "vectors")]
    graph = helper.make_graph([helper.make_node("Identity", ["images"], ["vectors"])], "g", values[:1], values[1:])
    content = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 16)], ir_version=8).SerializeToString()
    file = tmp_path / "model.onnx"
    file.write_bytes(with_header(content, HEADER, "w"))
    onnx.checker.check_model(str(file))
    (entry,) = onnx.load(str(file)).metadata_props
    assert entry.key == "rescan"
    assert '"weights": "w"' in entry.value
    pytest.importorskip("onnxruntime")
    with pytest.raises(RescanError, match=r"takes \[3\], its header says \[3, 32, 32\]; export the arm"):
        load_onnx(file, tmp_path / "none")
    fitting = HEADER.model_copy(update={"input": [3]})
    file.write_bytes(with_header(content, fitting, "w"))
    with pytest.raises(RescanError, match="gives vectors, not heads and vectors; export the arm"):
        load_onnx(file, tmp_path / "none")


def test_every_flipped_bit_is_seen(file):
    whole, random = file.read_bytes(), np.random.default_rng(0)
    for place in (0, 699, 700, 701, 702, 703, len(whole) - 1, *random.integers(0, len(whole), 60)):
        changed = bytearray(whole)
        changed[place] ^= 1 << int(random.integers(8))
        file.write_bytes(changed)
        with pytest.raises(RescanError, match=r"^[^\n]*model\.onnx: [^\n]*; export the arm with --format onnx again$"):
            read_header(file)


@pytest.mark.parametrize("kept", [0, 5, 700, 710, 800, -1])
def test_what_is_cut_short_is_refused(file, kept):
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(RescanError, match=r"^[^\n]*model\.onnx: [^\n]*export the arm with --format onnx again$"):
        read_header(file)


def test_what_is_no_onnx_file_is_refused(tmp_path, file):
    with pytest.raises(RescanError, match=r"none\.onnx: no such file; export the arm with --format onnx$"):
        read_header(tmp_path / "none.onnx")
    file.write_bytes(b"hello")
    with pytest.raises(RescanError, match="no ONNX file of Rescan, or cut short"):
        read_header(file)
    pytest.importorskip("onnxruntime")
    file.write_bytes(with_header(b"no graph", HEADER, "w"))
    with pytest.raises(RescanError, match=r"model\.onnx: onnxruntime [^\n]* cannot run it \([^\n]*\); export"):
        load_onnx(file, tmp_path / "none")


def test_a_network_of_other_weights_than_those_beside_it_is_refused(tmp_path, file):
    write_network(tmp_path / "model.safetensors")
    with pytest.raises(RescanError, match=r"was made from another model than model\.safetensors beside it"):
        load_onnx(file, tmp_path / "model.safetensors")


@pytest.mark.parametrize(("value", "count"), [("3", 3), ("1", 1)])
def test_threads_are_those_of_the_environment(monkeypatch, value, count):
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    assert onnx_networks.threads() == count
    for other in ("", "0", "many"):
        monkeypatch.setenv("OMP_NUM_THREADS", other)
        assert onnx_networks.threads() >= 1
