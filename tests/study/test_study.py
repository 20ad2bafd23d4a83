"""What a study answers about its arms."""

from rescan.study import AutoencoderRun, Run
from rescan.study.keys import recipe_key, result_key


def models(study, arm):
    """The models behind an arm's predictions: member, arm that was trained, fold, seed."""
    return [(run.name, run.trained.name, *run.fold_and_seed) for run in study.member_runs(arm)]


def test_an_arm_that_reads_anothers_models_is_a_difference_from_it(load, graded):
    study = load(graded, "full")
    assert recipe_key(study, "turned") == recipe_key(study, "base")
    assert result_key(study, "turned") != result_key(study, "base")
    assert models(study, "turned") == [("turned", "base", 0, 0)]
    assert models(study, "both") == [("turned", "base", 0, 0), ("pretrained", "pretrained", 0, 0)]
    assert [run.fold_and_seed for run in study.runs("both")] == [(0, 0)]
    runs = load(graded, "full", seeds=[3, 4], folds=2).runs("both")
    assert [run.fold_and_seed for run in runs] == [(0, 3), (0, 4)]
    assert (study.base("base"), study.base("turned"), study.base("both")) == (None, "base", "turned")
    assert study.base("alone") == "pretrained"
    assert list(study.arms["alone"].network.heads) == ["classification"]
    assert study.arms["alone"].stages["main"].losses == {
        "classification": {"name": "focal", "gamma": 2.0, "alpha": 0.25, "label_smoothing": 0.0, "weight": 1.0}
    }


def test_volumes_projections_and_autoencoders_fit_together(load, volumes):
    study = load(volumes, "full")
    assert {name: preparation.dimensions for name, preparation in study.preparations.items()} == {
        "volume": 3,
        "projection": 2,
    }
    assert Run(study, "scratch", 0, 1).start_weights is None
    assert (
        Run(study, "pretrained", 2, 1).start_weights
        == "results/full/mine/autoencoders/compressed/fold2_seed1/encoder.safetensors"
    )
    assert study.arms["pretrained"].stages["main"].trainable.from_block == 2
    trained = AutoencoderRun(study, "compressed", 0, 0).settings
    assert (trained.encoder, trained.stages["autoencoder"].epochs, trained.keep.best) == ("cnn5_3d", 3, "loss")
    window = study.preparations["volume"].steps[2]
    assert (window["low"], window["high"]) == (-100.0, 300.0)
