from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import openpyxl
import pandas as pd
import pytest
import scipy.io
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_predict

from rescan.data.audit import duplicates
from rescan.data.layouts.octa500 import EXCLUDED, octa500
from rescan.errors import RescanError
from rescan.phantoms.octa.octa import TRANSFORMS, make
from rescan.phantoms.octa.octa_anatomy import LABELS
from rescan.study import Data

CLASSES = ["normal", "abnormal"]
SMALL = [32, 24, 24]
MAPS = ("FULL", "ILM_OPL", "OPL_BM")


def phantom(folder: Path, samples: int = 40, size: list[int] = SMALL, **options) -> pd.DataFrame:
    """Make a phantom; return its truth."""
    make(folder, CLASSES, samples=samples, size=size, **options)
    truth = pd.read_csv(folder / "phantom.csv", keep_default_na=False)
    assert sorted(truth["path"]) == sorted(p.relative_to(folder).as_posix() for p in folder.glob("OCTA_*/OCTA/*"))
    return truth


def volume(folder: Path) -> np.ndarray:
    """The B-scans 1.bmp … n.bmp of a folder that holds nothing else: (D, H, W) uint8."""
    files = [folder / f"{number + 1}.bmp" for number in range(len(list(folder.iterdir())))]
    images = [Image.open(file) for file in files]
    assert {(image.format, image.mode) for image in images} == {("BMP", "L")}
    return np.stack([np.asarray(image) for image in images], axis=1)


def octa(folder: Path, path: str) -> np.ndarray:
    return volume(folder / path)


def oct_(folder: Path, path: str) -> np.ndarray:
    return volume(folder / path.replace("/OCTA/", "/OCT/"))


def mask_of(folder: Path, path: str) -> Path:
    return folder / "masks" / path.replace("/OCTA/", "/")


def layers(folder: Path, path: str) -> np.ndarray:
    """(6, H, W): depth of the surfaces in voxels."""
    return scipy.io.loadmat(folder / f"{path.replace('/OCTA/', '/GT_Layers/')}.mat")["Layer"].transpose(0, 2, 1)


def projection(folder: Path, path: str, name: str) -> np.ndarray:
    file = path.replace("/OCTA/", f"/Projection Maps/OCTA({name})/")
    return np.asarray(Image.open(folder / f"{file}.bmp")).astype(float)


def central(image: np.ndarray, fov: str, size: int) -> np.ndarray:
    """The middle 3 mm of images (D, H, W), resized to (D, size, size), values 0 to 1."""
    height, width = image.shape[1:]
    if fov == "6mm":
        image = image[:, height // 4 : height - height // 4, width // 4 : width - width // 4]
    resized = [cv2.resize(part.astype(np.float32), (size, size), interpolation=cv2.INTER_AREA) for part in image]
    return np.stack(resized) / 255


def area_under_curve(features: np.ndarray, ill: np.ndarray) -> float:
    """The cross-validated area under the ROC curve of a logistic regression; features (N, …)."""
    features = features.reshape(len(features), -1)
    model = LogisticRegression(C=3.0, max_iter=1000)
    scores = cross_val_predict(model, features - features.mean(axis=0), ill, cv=5, method="predict_proba")[:, 1]
    return float(roc_auc_score(ill, scores))


def ill_of(truth: pd.DataFrame) -> np.ndarray:
    return (truth["label"] != "NORMAL").to_numpy()


def test_the_layout_of_octa_500(tmp_path):
    truth = phantom(tmp_path, size=[32, 40, 30]).set_index("path")
    assert {p.name for p in tmp_path.iterdir()} == {"OCTA_3mm", "OCTA_6mm", "masks", "phantom.csv"}
    assert truth["fov"].value_counts().to_dict() == {"6mm": 24, "3mm": 16}
    shapes = {"6mm": (32, 40, 30), "3mm": (32, 30, 22)}
    for path, row in truth.iterrows():
        shape = shapes[row["fov"]]
        number = int(Path(path).name)
        assert number in (range(10001, 10301) if row["fov"] == "6mm" else range(10301, 10501))
        assert octa(tmp_path, path).shape == oct_(tmp_path, path).shape == shape
        assert {projection(tmp_path, path, name).shape for name in MAPS} == {shape[1:]}
        surfaces = layers(tmp_path, path)
        assert surfaces.shape == (6, *shape[1:])
        assert (np.diff(surfaces, axis=0) > 0).all()
        assert surfaces.min() > 1
        assert surfaces.max() < shape[0] - 2
    for fov in shapes:
        sheet = openpyxl.load_workbook(tmp_path / f"OCTA_{fov}" / "Text labels.xlsx").active
        head, *rows = sheet.iter_rows(values_only=True)
        assert head == ("ID", "Gender", "OS/OD", "Age", "Disease")
        assert len(rows) == (truth["fov"] == fov).sum()
        for number, sex, eye, age, label in rows:
            row = truth.loc[f"OCTA_{fov}/OCTA/{number}"]
            assert (sex, age, label) == (row["sex"], row["age"], row["label"])
            assert {"OS": "left", "OD": "right"}[eye] == row["eye"]


def test_the_layout_reads_all_of_it(tmp_path):
    truth = phantom(tmp_path, samples=40)
    labels = {label: CLASSES[label != "NORMAL"] for label in LABELS}
    data = Data(source={"path": "x"}, layout="octa500", classes=CLASSES, labels=labels)
    read = octa500(tmp_path, data).set_index("path").loc[truth["path"]]
    assert not EXCLUDED & set(read["patient"])
    for column in ("patient", "eye", "sex", "fov"):
        assert read[column].astype(str).tolist() == truth[column].astype(str).tolist()
    assert (read["age"].astype(int).to_numpy() == truth["age"].to_numpy()).all()
    assert ((read["mask"] != "").to_numpy() == (truth["label"] != "NORMAL").to_numpy()).all()
    assert (read[["layers", "path_oct", "path_enface_all", "path_enface_superficial", "path_enface_deep"]] != "").all(
        axis=None
    )


def test_more_scans_than_ids_of_the_real_set_go_on_above_them():
    from rescan.phantoms.octa.octa import Options, _number, _plan

    options = Options(samples=700)
    cases = _number(_plan(options), options)
    numbers = {fov: sorted(int(case.number) for case in cases if case.fov == fov) for fov in ("6mm", "3mm")}
    wide = [number for number in range(10001, 10301) if str(number) not in EXCLUDED]
    assert numbers["6mm"] == [*wide, *range(10501, 10501 + 420 - 295)]
    assert numbers["3mm"] == [*range(10301, 10501), *range(10626, 10626 + 80)]


def test_projection_maps_are_those_of_the_volume(tmp_path):
    truth = phantom(tmp_path, samples=20)
    for path in truth["path"][:6]:
        values, surfaces = octa(tmp_path, path).astype(float), layers(tmp_path, path)
        assert np.abs(projection(tmp_path, path, "FULL") - 3 * values.mean(axis=0)).max() <= 0.51
        for name, first, last in (("ILM_OPL", 0, 2), ("OPL_BM", 2, 5)):
            depth = np.arange(len(values))[:, None, None]
            inside = np.where((depth >= surfaces[first]) & (depth < surfaces[last]), values, 0)
            assert (projection(tmp_path, path, name) == inside.max(axis=0)).all()


def test_healthy_eyes_have_layers_a_pit_and_an_avascular_zone(tmp_path):
    truth = phantom(tmp_path, samples=20, size=[96, 80, 80], null=True)
    for path, fov in zip(truth["path"], truth["fov"]):
        surfaces, structure, flow = layers(tmp_path, path), oct_(tmp_path, path), octa(tmp_path, path)
        shape = surfaces.shape[1:]
        axes = [(np.arange(n) + 0.5) / n * float(fov[0]) - float(fov[0]) / 2 for n in shape]
        away = np.hypot(axes[0][:, None], axes[1])
        inner = surfaces[2] - surfaces[0]
        assert inner[away < 0.2].mean() < 0.5 * inner[(away > 0.8) & (away < 1.2)].mean()
        depth = np.arange(96)[:, None, None]
        reflected = [
            structure[(depth >= surfaces[k]) & (depth < surfaces[k + 1])].mean() for k in range(4)
        ]  # IPL and photoreceptors with the pigment are bright, the nuclei are dark
        assert reflected[2] < reflected[1] < reflected[0] < reflected[3]
        assert structure[depth < surfaces[0] - 2].mean() < 0.4 * reflected[2]
        superficial = np.where((depth >= surfaces[0]) & (depth < surfaces[1]), flow, 0).max(axis=0)
        assert superficial[away < 0.12].mean() < 0.6 * superficial[(away > 0.7) & (away < 1.4)].mean()


def test_masks_are_there_exactly_for_lesions_and_lie_on_them(tmp_path):
    options = {"samples": 60, "size": [48, 40, 40], "confound": 0.0}
    truth = phantom(tmp_path / "with", **options)
    phantom(tmp_path / "without", contrast=0.0, **options)  # the same eyes: only the lesions' contrast differs
    assert set(truth["true_label"]) == set(LABELS)
    ratios = {label: [] for label in LABELS}
    for path, label in zip(truth["path"], truth["true_label"]):
        pairs = [
            (read(tmp_path / "with", path).astype(float), read(tmp_path / "without", path)) for read in (octa, oct_)
        ]
        difference = [np.abs(one - other) for one, other in pairs]
        folder = mask_of(tmp_path / "with", path)
        assert folder.is_dir() == (label != "NORMAL")
        if label == "NORMAL":
            assert max(part.max() for part in difference) == 0
            continue
        mask = volume(folder)
        assert mask.shape == difference[0].shape
        assert set(np.unique(mask)) == {0, 255}
        assert 0.002 < (mask > 0).mean() < 0.25
        ratios[label].append([part[mask > 0].mean() / part[mask == 0].mean() for part in difference])
    for label, both in ratios.items():  # both modalities change, most of all within the mask
        assert label == "NORMAL" or np.min(np.mean(both, axis=0)) > 3


def test_null_has_no_lesion_and_labels_that_mean_nothing(tmp_path):
    options = {"samples": 150, "size": SMALL, "confound": 1.0}
    truth = phantom(tmp_path / "null", null=True, **options)
    lesions = phantom(tmp_path / "lesions", contrast=0.0, **options)
    assert not (tmp_path / "null" / "masks").exists()
    assert set(truth["true_label"]) == {""}
    assert (truth["path"] == lesions["path"]).all()
    assert truth["label"].value_counts().to_dict() == lesions["label"].value_counts().to_dict()
    limit = 3.5 / np.sqrt(len(truth))
    for other in (ill_of(lesions), truth["fov"] == "6mm", truth["age"]):
        assert abs(np.corrcoef(ill_of(truth), other)[0, 1]) < limit
    for path in truth["path"][::15]:  # the same nuisances: the eyes are the same
        for read in (octa, oct_):
            assert (read(tmp_path / "null", path) == read(tmp_path / "lesions", path)).all()
    images = [
        central(projection(tmp_path / "null", path, "FULL")[None], fov, 8)
        for path, fov in zip(truth["path"], truth["fov"])
    ]
    assert area_under_curve(np.stack(images), ill_of(truth)) < 0.65


def deposits(folder: Path, lesions: str) -> tuple[pd.DataFrame, list[np.ndarray]]:
    truth = phantom(folder, samples=120, size=[48, 32, 32], lesions=lesions, confound=0.0)
    return truth, [octa(folder, path) for path in truth["path"]]


def test_what_differs_in_depth_only_shows_in_no_projection(tmp_path):
    truth, volumes = deposits(tmp_path, "depth")
    ill = ill_of(truth)
    images = np.stack([central(volume, fov, 16) for volume, fov in zip(volumes, truth["fov"])])
    projected = images.mean(axis=1)
    assert area_under_curve(images, ill) > 0.95
    assert area_under_curve(projected, ill) < 0.65
    full = [projection(tmp_path, path, "FULL")[None] for path in truth["path"]]
    assert area_under_curve(np.stack([central(*pair, 16) for pair in zip(full, truth["fov"])]), ill) < 0.65
    # Gray levels are the same whichever eyes are ill: the mean, the extremes and the spread of columns tell nothing.
    columns = [(v.mean(), v.std(), v.max(axis=0).mean(), v.max(axis=0).std(), v.std(axis=0).mean()) for v in images]
    columns = np.array(columns) / np.std(columns, axis=0)
    assert area_under_curve(columns, ill) < 0.65


def test_the_same_eye_ill_and_healthy_has_the_same_columns():
    from rescan.phantoms.octa.octa_eyes import eye
    from rescan.phantoms.octa.octa_scans import deposit, paint

    macula = eye(np.random.default_rng(1), (40, 40), 3.0, left=True, effect=1.0)
    scan = paint(macula, 48, np.random.default_rng(2))
    healthy, ill = (
        deposit(scan, macula, ill=ill, depth_only=True, contrast=1.0, rng=np.random.default_rng(3))
        for ill in (False, True)
    )
    for before, after, plain in ((healthy.oct, ill.oct, scan.oct), (healthy.octa, ill.octa, scan.octa)):
        changed = (before != after).any(axis=0)
        assert changed.mean() > 0.1
        assert (np.sort(before, axis=0) == np.sort(after, axis=0)).all()
        assert (before == after)[ill.mask == 0].all()
        assert (before.astype(int).sum(axis=0) - plain.astype(int).sum(axis=0))[changed].min() > 0
    assert (healthy.layers == ill.layers).all()
    assert not healthy.mask.any()


def test_what_differs_from_above_only_shows_in_the_projection(tmp_path):
    truth, volumes = deposits(tmp_path, "enface")
    ill = ill_of(truth)
    bright = []
    for path, values, fov in zip(truth["path"], volumes, truth["fov"]):
        column = central(values.mean(axis=0)[None], fov, 30)[0]
        bright.append([(column > np.median(column) + 0.03).mean()])
        if mask_of(tmp_path, path).is_dir():  # all of the retina's depth, or nothing
            mask, surfaces = volume(mask_of(tmp_path, path)) > 0, layers(tmp_path, path)
            depth = np.arange(48)[:, None, None]
            assert (mask == (mask.any(axis=0) & (depth >= surfaces[0]) & (depth < surfaces[5]))).all()
    assert 0.8 < area_under_curve(np.array(bright) * 20, ill) < 0.99  # sizes overlap: nobody tells all of them


def small_network() -> torch.nn.Module:
    layers: list[torch.nn.Module] = []
    for before, after in ((1, 8), (8, 16), (16, 32), (32, 64)):
        layers += [torch.nn.Conv3d(before, after, 3, padding=1), torch.nn.BatchNorm3d(after)]
        layers += [torch.nn.LeakyReLU(), torch.nn.MaxPool3d(2)]
    return torch.nn.Sequential(*layers, torch.nn.Flatten(), torch.nn.Linear(128, 2))


def test_the_usual_difficulty_is_neither_trivial_nor_hopeless(tmp_path):
    truth = phantom(tmp_path, samples=200, size=[48, 40, 40], confound=0.0)
    ill = torch.tensor(ill_of(truth).astype(int))
    images = np.stack([central(octa(tmp_path, path)[8:40], fov, 16) for path, fov in zip(truth["path"], truth["fov"])])
    images = torch.from_numpy((images - images.mean()) / images.std())[:, None]
    rng = np.random.default_rng(0)
    order = rng.permutation(200)
    train, test = order[:120], order[120:]
    torch.manual_seed(0)
    network = small_network()
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=225)
    for rows in [rows for _ in range(15) for rows in np.array_split(rng.permutation(train), 15)]:
        batch = images[rows]
        for axis in (-1, -2):
            batch = batch.flip(axis) if rng.random() < 0.5 else batch
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(network(batch), ill[rows]).backward()
        optimizer.step()
        schedule.step()
    network.eval()
    with torch.no_grad():
        right = (network(images[test]).argmax(dim=1) == ill[test]).numpy()
    assert 0.7 <= right.mean() <= 0.95  # 0.75 to 0.86 over seeds of the phantom and of the training


def test_confound():
    from rescan.phantoms.octa.octa import Options, _plan

    for confound, wide, narrow in ((0.0, 251 / 500, 251 / 500), (1.0, 91 / 300, 160 / 200)):
        cases = _plan(Options(samples=500, confound=confound))
        for fov, count, share in (("6mm", 300, wide), ("3mm", 200, narrow)):
            kinds = [case.kind for case in cases if case.fov == fov]
            assert len(kinds) == count
            assert kinds.count("NORMAL") / count == pytest.approx(share, abs=0.005)
            assert set(kinds) <= set(LABELS)
        others = sum(case.kind == "OTHERS" for case in cases)
        assert 0.02 <= others / 500 <= 0.04
    ages = pd.DataFrame(cases)[["kind", "age"]]
    assert 0.1 < np.corrcoef(ages["kind"] != "NORMAL", ages["age"])[0, 1] < 0.5
    assert ages["age"].between(18, 88).all()


def test_duplicates_are_planted_as_stated_and_found(tmp_path):
    truth = phantom(tmp_path, samples=90, size=[32, 40, 40], duplicates=0.2).set_index("path")
    copies = truth[truth["duplicate_of"] != ""]
    assert copies["transform"].value_counts().to_dict() == dict.fromkeys(TRANSFORMS, 6)
    for path, row in copies.iterrows():
        source = truth.loc[row["duplicate_of"]]
        assert source["duplicate_of"] == ""
        same = ["patient", "label", "true_label", "sex", "age", "fov"]
        assert (source[same] == row[same]).all()
        assert (source["eye"] == row["eye"]) == (row["transform"] != "mirrored")
        parts = [octa, oct_, layers]
        if row["true_label"] != "NORMAL":
            parts.append(lambda folder, name: volume(mask_of(folder, name)))
        for read in parts:
            copy, original = read(tmp_path, path), read(tmp_path, row["duplicate_of"])
            copy = copy[..., ::-1] if row["transform"] == "mirrored" else copy
            if row["transform"] == "gain" and read in (octa, oct_):
                assert 0.6 < copy.mean() / original.mean() < 0.86
                assert np.corrcoef(copy.ravel(), original.ravel())[0, 1] > 0.99
            else:
                assert (copy == original).all()
    thumbnails = [duplicates.thumbnail(projection(tmp_path, path, "FULL").astype(np.uint8)) for path in truth.index]
    where = {path: number for number, path in enumerate(truth.index)}
    source = [where[copied or path] for path, copied in truth["duplicate_of"].items()]
    planted = {(i, j) for j in range(90) for i in range(j) if source[i] == source[j]}
    pairs = set(map(tuple, duplicates.near_duplicates(np.stack(thumbnails))[:, :2].tolist()))
    assert len(pairs & planted) >= 0.95 * len(planted)
    assert len(pairs & planted) >= 0.99 * len(pairs)


def test_label_noise_calls_the_ill_healthy_and_the_healthy_ill(tmp_path):
    truth = phantom(tmp_path, samples=50, label_noise=0.2)
    wrong = truth["label"] != truth["true_label"]
    assert wrong.sum() == 10
    assert ((truth["label"] == "NORMAL") != (truth["true_label"] == "NORMAL"))[wrong].all()


def test_patient_effect_makes_eyes_differ(tmp_path):
    def spread(effect: float) -> tuple[float, float, float]:
        """Between eyes: of the brightness (log), the depth of the last surface, the tilt."""
        options = {"contrast": 0.0, "null": True, "patient_effect": effect}
        truth = phantom(tmp_path / str(effect), **options)
        paths = truth.loc[truth["fov"] == "6mm", "path"]
        last = np.array([layers(tmp_path / str(effect), path)[5] for path in paths])
        light = np.log([oct_(tmp_path / str(effect), path).mean() for path in paths])
        tilt = last[..., -6:].mean(axis=(1, 2)) - last[..., :6].mean(axis=(1, 2))
        return light.std(), last.mean(axis=(1, 2)).std(), tilt.std()

    without, usual = spread(0.0), spread(1.0)
    assert all(after > 2 * before for before, after in zip(without, usual))


def test_it_is_a_function_of_the_seed(tmp_path):
    content = {}
    for run, seed in (("a", 3), ("b", 3), ("c", 4)):
        phantom(tmp_path / run, samples=24, seed=seed, duplicates=0.15)
        files = sorted(p for p in (tmp_path / run).rglob("*") if p.is_file())
        content[run] = {p.relative_to(tmp_path / run).as_posix(): p.read_bytes() for p in files}
    assert content["a"] == content["b"]
    assert content["a"] != content["c"]


def test_painting_in_parts_changes_the_noise_only(monkeypatch):
    from rescan.phantoms.octa import octa_lesions, octa_scans
    from rescan.phantoms.octa.octa_eyes import eye

    scans = []
    for voxels in (10**9, 3000):
        monkeypatch.setattr(octa_scans, "VOXELS", voxels)
        monkeypatch.setattr(octa_scans, "GRAIN", (0.0, 0.0))
        monkeypatch.setattr(octa_scans, "FLOW_GRAIN", (0.0, 0.0))
        macula = eye(np.random.default_rng(1), (30, 26), 6.0, left=False, effect=1.0)
        octa_lesions.add(macula, "DR", 1.0, np.random.default_rng(2))
        scans.append(octa_scans.paint(macula, 40, np.random.default_rng(3)))
    assert scans[0].mask.any()
    for whole, parts in zip(*scans):
        assert np.abs(whole.astype(float) - parts).max() <= (1 if whole.dtype == np.uint8 else 0)


def test_great_effects(tmp_path):
    phantom(tmp_path, samples=20, patient_effect=1e6, contrast=1e6)


def test_options_out_of_range_are_all_named(tmp_path):
    shares = {"duplicates": 1.5, "confound": 2.0, "label_noise": -0.1}
    amounts = {"contrast": float("inf"), "patient_effect": -1.0, "seed": -1}
    wrong = {**shares, **amounts, "size": [8, 40, 40], "samples": 3, "lesions": "dept"}
    with pytest.raises(RescanError) as raised:
        make(tmp_path, CLASSES, **wrong)
    lines = str(raised.value).splitlines()
    assert len(lines) == len(wrong)
    for option in wrong:
        assert sum(line.startswith(f"data.phantom: {option}: ") for line in lines) == 1
    assert "data.phantom: lesions: no lesions 'dept'; did you mean 'depth'?" in lines
    for size in ([48, 40], "large", [48, 40.5, 40]):
        with pytest.raises(RescanError, match="size: "):
            make(tmp_path, CLASSES, size=size)
    assert not list(tmp_path.iterdir())
