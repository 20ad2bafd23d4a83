from __future__ import annotations

import pytest
import torch

from rescan import catalogue
from rescan.errors import RescanError
from rescan.results import training_state
from rescan.results.training_state import Progress, TrainingKey
from rescan.study import Run
from rescan.training import state
from rescan.training.loader import read_items

KEY = TrainingKey(
    recipe="r",
    images="i",
    split="s",
    fold=0,
    seed=0,
    pretrained_weights="",
    version_of_the_trainer=1,
    device="cpu",
    threads=1,
)


def small_network(seed):
    torch.manual_seed(seed)
    return torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 2))


def steps(network, optimizer, count, seed):
    generator = torch.Generator().manual_seed(seed)
    for _ in range(count):
        optimizer.zero_grad()
        network(torch.randn(5, 3, generator=generator)).square().sum().backward()
        optimizer.step()


@pytest.mark.parametrize(
    ("name", "options"),
    [
        *((name, {}) for name in catalogue.OPTIMIZERS),
        *((name, {"foreach": True}) for name in catalogue.OPTIMIZERS),
        ("sgd", {"momentum": 0.9}),
    ],
)
def test_optimizers_resume_bit_for_bit(tmp_path, name, options):
    make = catalogue.resolve("optimizer", name)
    network = small_network(0)
    optimizer = make(network.parameters(), lr=0.01, weight_decay=0.1, **options)
    steps(network, optimizer, 3, seed=1)
    progress = Progress(stage=1, epoch=2, step=3, sums=[0.1, 2.0, 3.0], best=1 / 3, best_epoch=0, history=[{"lr": 0.1}])
    best = {key: value.clone() for key, value in network.state_dict().items()}
    state.save(tmp_path, KEY, progress, network, optimizer, {"best": best})
    steps(network, optimizer, 3, seed=2)

    assert not list(tmp_path.rglob("*.pt"))
    loaded, saved = state.load(tmp_path, KEY)
    assert loaded == progress
    assert all(torch.equal(saved["best"][key], value) for key, value in best.items())
    other = small_network(9)
    other.load_state_dict(saved["network"])
    again = make(other.parameters(), lr=0.5, **options)
    state.unpack(again, saved["optimizer"], saved["optimizer options"])
    steps(other, again, 3, seed=2)
    for one, two in zip(network.state_dict().values(), other.state_dict().values()):
        assert torch.equal(one, two)


@pytest.mark.parametrize("name", catalogue.OPTIMIZERS)
def test_optimizers_of_gpus_take_the_steps_of_those_of_a_cpu(name):
    """On a GPU the trainer asks for `foreach`."""
    ends = []
    for foreach in (False, True):
        network = small_network(0)
        optimizer = catalogue.resolve("optimizer", name)(
            network.parameters(), lr=0.01, weight_decay=0.1, foreach=foreach
        )
        steps(network, optimizer, 8, seed=1)
        ends.append(torch.cat([parameter.detach().flatten() for parameter in network.parameters()]))
    torch.testing.assert_close(*ends)


def test_a_save_cut_short_leaves_the_earlier_state(tmp_path, monkeypatch):
    network = small_network(0)
    optimizer = torch.optim.Adam(network.parameters())
    state.save(tmp_path, KEY, Progress(step=1), network, optimizer, {})
    before = {key: value.clone() for key, value in network.state_dict().items()}
    steps(network, optimizer, 1, seed=0)

    def fail(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(training_state, "write_json", fail)
    with pytest.raises(KeyboardInterrupt):
        state.save(tmp_path, KEY, Progress(step=2), network, optimizer, {})
    progress, saved = state.load(tmp_path, KEY)
    assert progress.step == 1
    assert all(torch.equal(saved["network"][key], value) for key, value in before.items())


def test_old_generations_are_removed(tmp_path):
    network = small_network(0)
    optimizer = torch.optim.Adam(network.parameters())
    for step in range(4):
        progress = Progress(step=step, best_epoch=step // 2)
        state.save(tmp_path, KEY, progress, network, optimizer, {"best": network.state_dict()})
    assert len(list(tmp_path.glob("*.safetensors"))) == 3
    state.finish(tmp_path, KEY)
    assert not list(tmp_path.glob("*.safetensors"))


def test_another_key_starts_anew_and_says_why(tmp_path, caplog):
    network = small_network(0)
    state.save(tmp_path, KEY, Progress(), network, torch.optim.SGD(network.parameters(), 0.1), {})
    with caplog.at_level("INFO", "rescan"):
        assert state.load(tmp_path, KEY.model_copy(update={"threads": 2})) is None
    assert "another threads" in caplog.text
    assert not list(tmp_path.glob("*.safetensors"))


def flip(content):
    """One bit of the last number, which stays a number."""
    return content[:-1] + bytes([content[-1] ^ 4])


@pytest.mark.parametrize(
    ("damage", "change"),
    [
        ("state.json", lambda _: b"{"),
        ("state.json", lambda content: content.replace(b'"epoch": 7', b'"epoch": 3')),
        ("state.json", lambda content: content.replace(b'"best_epoch": 5', b'"best_epoch": 1')),
        ("network-0-7-0.safetensors", lambda _: b"{"),
        ("network-0-7-0.safetensors", flip),
        ("optimizer-0-7-0.safetensors", flip),
        ("best-0-5.safetensors", flip),
        ("best-0-5.safetensors", lambda content: content[: len(content) // 2]),
        ("best-0-5.safetensors", None),
    ],
)
def test_a_damaged_state_starts_anew_and_is_named(tmp_path, damage, change, caplog):
    network = small_network(0)
    optimizer = torch.optim.Adam(network.parameters())
    steps(network, optimizer, 1, seed=0)
    progress = Progress(epoch=7, best_epoch=5, best=0.5)
    for _ in range(2):  # the second save keeps the best weights of the first
        state.save(tmp_path, KEY, progress, network, optimizer, {"best": network.state_dict()})
    assert state.load(tmp_path, KEY)[0] == progress
    file = tmp_path / damage
    before = file.read_bytes()
    file.unlink()
    if change is not None:
        file.write_bytes(change(before))
        assert file.read_bytes() != before
    with caplog.at_level("INFO", "rescan"):
        assert state.load(tmp_path, KEY) is None
    assert len(caplog.messages) == 1
    assert str(file) in caplog.text
    assert "training starts anew" in caplog.text
    assert list(tmp_path.iterdir()) == []


def test_key_holds_what_the_result_depends_on(make_study, make_store):
    study = make_study()
    make_store(study)
    _, items = read_items(Run(study, "plain", 0, 0))

    def key(study=study, items=items, **changed):
        arguments = {"fold": 0, "seed": 0, "device": "cpu", "threads": 1, **changed}
        run = Run(study, "plain", arguments.pop("fold"), arguments.pop("seed"))
        return state.key_of(run, items, **arguments)

    assert TrainingKey.model_validate_json(key().model_dump_json(by_alias=True)) == key()
    assert key(study.model_copy(update={"title": "Another"})) == key()
    without_test = items[items["part"] != "test"]
    assert key(items=without_test) == key()
    assert key(items=without_test[1:]) != key()
    assert key(threads=2) != key()
    assert key(device="cuda", threads=2) == key(device="cuda")
    assert key(device="cuda") != key()
    assert key(seed=1) != key()
    assert key(make_study(normalization="unit")) != key()
    with pytest.raises(RescanError, match=r"resnet18\.safetensors.*rescan weights"):
        key(make_study(network={"encoder": "resnet18", "weights": "imagenet"}))
