"""`make gpu-check` runs, tiny and on a CPU."""

from __future__ import annotations

import importlib
import subprocess
import sys
import types
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path

import pytest
from torch import nn
from typer.testing import CliRunner

from rescan.catalogue import encoders
from rescan.cli import app
from rescan.models.encoder import Encoder

ROOT = Path(__file__).parent.parent
POPEN = subprocess.Popen


class Popen:
    """A process of `python -m rescan …` that runs here, at once: another would import torch anew."""

    def __new__(cls, command, **options):
        return super().__new__(cls) if "-m" in command else POPEN(command, **options)

    def __init__(self, command, **_):
        self.result = CliRunner().invoke(app, command[3:])
        self.returncode = self.result.exit_code

    def communicate(self):
        return b"", f"{self.result.output}{self.result.exception}".encode()


def tiny():
    """An encoder of one convolution, of images."""
    layers = [("conv", nn.Conv2d(3, 4, 3, 2)), ("norm", nn.BatchNorm2d(4)), ("relu", nn.ReLU())]
    return Encoder(nn.Sequential(OrderedDict(layers)), 4, target="relu")


def tiny_3d():
    """The same of volumes."""
    layers = [("conv", nn.Conv3d(1, 4, 3, 2)), ("norm", nn.BatchNorm3d(4)), ("relu", nn.ReLU())]
    return Encoder(nn.Sequential(OrderedDict(layers)), 4, target="relu", dimensions=3)


@pytest.fixture
def gpu_check(monkeypatch):
    """The script, with networks that take no time."""
    monkeypatch.syspath_prepend(ROOT)
    for function in (tiny, tiny_3d):
        name = function.__name__
        module = types.ModuleType("tiny_encoders")
        module.tiny, module.tiny_3d = tiny, tiny_3d
        monkeypatch.setitem(sys.modules, "tiny_encoders", module)
        dimensions = 3 if function is tiny_3d else 2
        monkeypatch.setitem(
            encoders.ENCODERS,
            name,
            encoders.Encoder(name, f"tiny_encoders:{name}", dimensions=dimensions, layers={"relu": "relu"}),
        )
    check = importlib.import_module("tests.gpu_check")
    small, large = ("tiny", (32, 32), 4), ("tiny_3d", (16, 16, 16), 2)
    monkeypatch.setattr(check, "TINY", replace(check.TINY, encoders=(small, large), small=small, volume=large[:2]))
    return check


def test_all_checks_run_on_a_cpu(gpu_check, monkeypatch, capsys):
    monkeypatch.setattr(subprocess, "Popen", Popen)
    assert gpu_check.main(["--tiny"]) == 0
    said = capsys.readouterr().out
    assert all(f"({check.__name__}: " in said for check in gpu_check.CHECKS)
    assert "weights equal bit for bit" in said


def test_a_check_that_crashes_costs_no_other(gpu_check, monkeypatch, capsys):
    def crashing(_):
        yield gpu_check.Row("one", "1", "1", True)
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(gpu_check, "CHECKS", (crashing, gpu_check.card))
    assert gpu_check.main(["--tiny"]) == 1
    said = capsys.readouterr().out
    assert "ZeroDivisionError: by zero" in said
    assert "torch  " in said
    assert "1 missed" in said


def test_without_a_gpu_it_says_so(gpu_check, monkeypatch, capsys):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert gpu_check.main([]) == 1
    said = capsys.readouterr().err
    assert said.startswith("device=cuda: ")
    assert "--tiny" in said
    with pytest.raises(SystemExit):
        gpu_check.main(["--tiny", "sped"])
    assert "no check sped; see --help" in capsys.readouterr().err
