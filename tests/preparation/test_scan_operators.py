from __future__ import annotations

import cv2
import nibabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nibabel.processing import resample_from_to
from scipy.ndimage import map_coordinates
from scipy.spatial.transform import Rotation

from rescan import catalogue
from rescan.data.readers.display import View
from rescan.preparation import gray_operators
from rescan.preparation import scan_operators as scans
from rescan.preparation.image_operators import CannotPrepare
from rescan.preparation.resampling import resample
from rescan.preparation.scan_operators import Scan


def affine_of(sizes=(2.0, 0.5, 0.7), turned=(10, 20, 30), origin=(5.0, -7.0, 11.0)):
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", turned, degrees=True).as_matrix() * sizes
    affine[:3, 3] = origin
    return affine


def noise(shape=(12, 10, 14), dtype=np.float32, seed=0):
    return np.random.default_rng(seed).integers(1, 250, shape).astype(dtype)


def flat_layers(shape, *depths):
    return np.stack([np.full(shape[1:], depth, np.float32) for depth in depths])


def world_center(scan, weights):
    """Where in the world the weights' center of mass lies."""
    where = [np.average(index, weights=weights) for index in np.indices(weights.shape)]
    return (scan.affine @ [*([0] * (3 - len(where))), *where, 1])[:3]


# ----- world coordinates


def options_of(name, scan, random):
    """Options of an operator that keep a mark near the center of a volume of 20 voxels a side or more."""
    size = [int(n) for n in random.integers(20, 40, 3)]
    box = random.uniform(0.8, 1, 3) * scan.shape * scan.voxel * [1, 1, 0]
    options = {
        "crop_center": {"millimeters": box.tolist()},
        "crop_retina": {"depth": int(random.integers(20, 40))},
        "keep_layers": {"slab": "all"},
        "resample": {"millimeters": [float(mm) for mm in random.uniform(0.4, 1.3, 3) * [1, 1, 0]]},
        "resize_volume": {"size": size},
        "pad_volume": {"size": size},
        "window": {"low": 0.0, "high": 300.0},
        "clip_percentiles": {"low": 0.0, "high": 100.0},
    }
    return options[name]


MOVING = ["crop_center", "crop_retina", "resample", "resize_volume", "pad_volume"]
KEEPING = ["keep_layers", "window", "clip_percentiles"]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(MOVING + KEEPING), min_size=1, max_size=3), st.integers(0, 2**32 - 1))
def test_a_mark_keeps_its_place_in_the_world_whatever_is_done(chain, seed):
    random = np.random.default_rng(seed)
    shape = tuple(int(n) for n in random.integers(24, 32, 3))
    spot = tuple(slice(n // 2 - 3 + shift, n // 2 + 4 + shift) for n, shift in zip(shape, random.integers(-1, 2, 3)))
    values, mask = np.zeros(shape, np.float32), np.zeros(shape, np.uint8)
    values[spot], mask[spot] = random.uniform(100, 200, (7, 7, 7)), 255
    layers = flat_layers(shape, 1, shape[0] / 2, shape[0] - 2)
    turned = random.uniform(-180, 180, 3)
    scan = Scan(values, mask, affine_of((0.9, 0.7, 0.5), turned, random.uniform(-50, 50, 3)), layers)
    before, marked = world_center(scan, values), world_center(scan, mask)
    for name in chain:
        scan = catalogue.resolve("operator", name)(scan, **options_of(name, scan, random))
        assert scan.values.shape == scan.mask.shape
        assert scan.layers.shape[1:] == scan.values.shape[1:]
        voxel = np.linalg.norm(scan.voxel)
        # Values are exact but for what a layer's edge cuts off; a mask is all or nothing.
        np.testing.assert_allclose(world_center(scan, scan.values), before, atol=0.1 * voxel)
        np.testing.assert_allclose(world_center(scan, scan.mask), marked, atol=0.6 * voxel)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from(MOVING), min_size=1, max_size=3), st.integers(0, 2**32 - 1))
def test_layers_keep_their_place_in_the_world(chain, seed):
    random = np.random.default_rng(seed)
    shape = tuple(int(n) for n in random.integers(18, 26, 3))
    slope = np.linspace(0, 2, shape[1], dtype=np.float32)[:, None] + np.zeros(shape[2], np.float32)
    layers = np.stack([shape[0] / 2 - 2 + slope, shape[0] / 2 + slope, shape[0] / 2 + 3 + slope])
    scan = Scan(noise(shape), None, affine_of((0.9, 0.7, 0.5)), layers)
    plane = plane_through(scan)
    for name in chain:
        scan = catalogue.resolve("operator", name)(scan, **options_of(name, scan, random))
        normal, offset = plane
        distances = points_of(scan) @ normal - offset
        assert abs(distances).max() < 0.15  # mm; less than a quarter of any voxel: averages at the borders


def points_of(scan):
    """World coordinates of the first surface's points, but for those near the border, which are smeared."""
    h, w = np.nonzero(np.isfinite(scan.layers[0]))
    inner = (h > h.min() + 2) & (h < h.max() - 2)
    h, w = h[inner], w[inner]
    index = np.stack([scan.layers[0][h, w], h, w, np.ones_like(h)])
    return (scan.affine @ index)[:3].T


def plane_through(scan):
    points = points_of(scan)
    normal = np.linalg.svd(points - points.mean(0))[2][2]
    return normal, points.mean(0) @ normal


def test_a_step_after_patches_and_projection_keeps_places_too():
    values = np.zeros((6, 20, 30), np.uint8)
    values[2, 13, 21] = 200
    scan = Scan(values, values, affine_of())
    flat = scans.project(scan, how="max")
    expected = affine_of() @ [0, 13, 21, 1]
    np.testing.assert_allclose(world_center(flat, flat.values), expected[:3])
    patch = scans.patches(flat, [2, 3])[5]
    np.testing.assert_allclose(world_center(patch, patch.values), expected[:3])
    np.testing.assert_array_equal(patch.mask, patch.values // 200 * 200)


# ----- boxes


def test_crop_center_in_millimeters_by_hand():
    scan = Scan(noise((10, 40, 40)), None, np.diag([0.2, 0.15, 0.15, 1]))
    cropped = scans.crop_center(scan, [0, 3, 1.5])
    np.testing.assert_array_equal(cropped.values, scan.values[:, 10:30, 15:25])
    np.testing.assert_allclose(cropped.affine[:3, 3], [0, 1.5, 2.25])
    image = Scan(noise((40, 40)), None, np.diag([2, 0.15, 0.15, 1]))
    np.testing.assert_array_equal(scans.crop_center(image, [9, 3, 1.5]).values, image.values[10:30, 15:25])
    color = Scan(np.dstack([noise((40, 40), np.uint8)] * 3), None, image.affine)
    np.testing.assert_array_equal(scans.crop_center(color, [0, 3, 3]).values, color.values[10:30, 10:30])


def test_crop_center_takes_what_lacks_a_voxel_and_no_less():
    scan = Scan(noise((10, 20, 20)), None, np.diag([1, 1, 1, 1.0]))
    assert scans.crop_center(scan, [0, 21, 0]).values.shape == (10, 20, 20)
    with pytest.raises(CannotPrepare, match="smaller than the box: 20 of 22 mm"):
        scans.crop_center(scan, [0, 22, 0])
    for unknown in (scan._replace(affine=None), scan._replace(measured=False)):
        with pytest.raises(CannotPrepare, match="size in millimeters is unknown"):
            scans.crop_center(unknown)
    with pytest.raises(CannotPrepare, match="size in millimeters is unknown"):
        scans.resample(scan._replace(measured=False))


def test_crop_retina_by_layers_and_by_brightness():
    values = noise((60, 8, 9), np.uint8) // 20
    values[30:40] += 100
    by_light = scans.crop_retina(Scan(values, None, np.eye(4)), 20)
    np.testing.assert_array_equal(by_light.values, values[25:45])  # the bright rows' middle is 34.5
    layers = flat_layers(values.shape, 10, 14, 19)
    np.testing.assert_array_equal(scans.crop_retina(Scan(values, None, np.eye(4), layers), 20).values, values[25:45])
    by_layers = scans.crop_retina(Scan(values, None, np.eye(4), layers), 20, "layers")
    np.testing.assert_array_equal(by_layers.values, values[5:25])  # middle 14.5
    np.testing.assert_array_equal(by_layers.layers, layers - 5)
    assert by_layers.affine[0, 3] == 5
    outside = scans.crop_retina(Scan(values, values, np.eye(4), flat_layers(values.shape, 0, 2, 5)), 20, "layers")
    assert not outside.values[:7].any()
    np.testing.assert_array_equal(outside.values[7:], values[:13])
    np.testing.assert_array_equal(outside.mask, outside.values)
    deep = scans.crop_retina(Scan(values), 100)
    assert deep.values.shape == (100, 8, 9)
    assert deep.values.sum() == values.sum()
    with pytest.raises(CannotPrepare, match="no retina"):
        scans.crop_retina(Scan(np.full((20, 8, 8), 9)))


def test_unknown_layers_do_not_move_the_retina():
    layers = flat_layers((60, 8, 9), 10, 14, 19)
    layers[:, 3] = np.nan
    cropped = scans.crop_retina(Scan(noise((60, 8, 9)), layers=layers), 20, "layers")
    np.testing.assert_array_equal(cropped.layers[0], np.where(np.isnan(layers[0]), np.nan, 5))
    for unknown in (None, layers * np.nan):  # never another crop in silence
        with pytest.raises(CannotPrepare, match="layers of the retina are unknown, which crop_retina"):
            scans.crop_retina(Scan(noise((60, 8, 9)), layers=unknown), 20, "layers")


def test_pad_volume_cuts_and_pads_around_the_center():
    values = noise((5, 8, 4))
    padded = scans.pad_volume(
        Scan(values, np.ones_like(values), np.eye(4), flat_layers(values.shape, 1, 2, 3)), [8, 5, 4]
    )
    expected = np.zeros((8, 5, 4))
    expected[1:6] = values[:, 1:6]
    np.testing.assert_array_equal(padded.values, expected)
    np.testing.assert_array_equal(padded.mask, expected > 0)
    np.testing.assert_array_equal(padded.affine[:3, 3], [-1, 1, 0])
    np.testing.assert_array_equal(padded.layers[0], np.full((5, 4), 2))
    wider = scans.pad_volume(padded, [8, 9, 4])
    assert np.isnan(wider.layers[:, [0, 1, -2, -1]]).all()  # no layer where there is no scan
    assert not scans.in_slab(wider, "all")[:, [0, 1, -2, -1]].any()


def test_patches_of_both_fields_of_view():
    """The published patches: 100 × 100 pixels of 6 mm scans' [100:300, 100:300], 152 × 152 of 3 mm ones."""
    six, three = noise((400, 400)), noise((304, 304))
    cut = scans.patches(scans.crop_center(Scan(six, None, np.diag([1, 6 / 400, 6 / 400, 1]))), [2, 2])
    corners = [(100, 100), (100, 200), (200, 100), (200, 200)]
    for patch, (top, left) in zip(cut, corners):
        np.testing.assert_array_equal(patch.values, six[top : top + 100, left : left + 100])
    cut = scans.patches(scans.crop_center(Scan(three, None, np.diag([1, 3 / 304, 3 / 304, 1]))), [2, 2])
    assert [patch.values.shape for patch in cut] == [(152, 152)] * 4
    np.testing.assert_array_equal(cut[2].values, three[152:, :152])
    uneven = scans.patches(Scan(noise((11, 8))), [2, 3])
    assert [patch.values.shape for patch in uneven] == [(5, 2)] * 6
    with pytest.raises(CannotPrepare, match="too small for 20 x 2 patches"):
        scans.patches(Scan(noise((11, 8))), [20, 2])


# ----- resampling


def test_growing_is_linear_interpolation_as_scipy_does_it():
    values, sizes = noise((7, 9, 8)), (15, 9, 21)
    steps = [old / new for old, new in zip(values.shape, sizes)]
    starts = [(old - 1) / 2 - (new - 1) / 2 * step for old, new, step in zip(values.shape, sizes, steps)]
    grid = np.meshgrid(*(start + step * np.arange(n) for start, step, n in zip(starts, steps, sizes)), indexing="ij")
    expected = map_coordinates(values, grid, order=1, mode="nearest")
    np.testing.assert_allclose(resample(values, sizes, starts, steps), expected, rtol=1e-5)
    np.testing.assert_allclose(scans.resize_volume(Scan(values), sizes).values, expected, rtol=1e-5)


def test_shrinking_averages_over_voxels_as_opencv_does_it():
    values = noise((12, 30, 28))
    blocks = values.reshape(4, 3, 15, 2, 7, 4).mean(axis=(1, 3, 5))
    np.testing.assert_allclose(scans.resize_volume(Scan(values), [4, 15, 7]).values, blocks, rtol=1e-5)
    uneven = scans.resize_volume(Scan(values), [12, 17, 11]).values
    expected = [cv2.resize(plane, (11, 17), interpolation=cv2.INTER_AREA) for plane in values]
    np.testing.assert_allclose(uneven, expected, rtol=1e-4)


def test_a_finer_grid_is_where_nibabel_says_it_is():
    scan = Scan(noise((9, 12, 11)), None, affine_of((2.0, 1.0, 1.5)))
    finer = scans.resample(scan, [0.8, 0.5, 0])
    assert finer.values.shape == (22, 24, 11)
    np.testing.assert_allclose(finer.voxel, [0.8, 0.5, 1.5])
    image = nibabel.Nifti1Image(scan.values, scan.affine)
    expected = resample_from_to(image, (finer.values.shape, finer.affine), order=1, mode="nearest").get_fdata()
    np.testing.assert_allclose(finer.values, expected, atol=0.01)


def test_a_coarser_grid_holds_means_of_what_lies_there():
    """A plane in the world is its own mean, so a coarse voxel has its value at the voxel's center."""
    scan = Scan(np.zeros((20, 22, 24)), None, affine_of((1.0, 0.5, 0.7)))
    index = np.stack([*np.indices(scan.values.shape), np.ones(scan.values.shape)])
    scan = scan._replace(values=np.tensordot(scan.affine, index, 1)[0])
    coarse = scans.resample(scan, [2.3, 1.1, 1.9])
    index = np.stack([*np.indices(coarse.values.shape), np.ones(coarse.values.shape)])
    expected = np.tensordot(coarse.affine, index, 1)[0]
    inner = (slice(1, -1),) * 3
    # A mean of parts of voxels, each constant, is not quite that of the plane.
    np.testing.assert_allclose(coarse.values[inner], expected[inner], atol=0.12)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(4, 30), min_size=3, max_size=3), st.lists(st.integers(4, 30), min_size=3, max_size=3))
def test_resizing_keeps_a_constant_and_the_mean(old, new):
    assert (scans.resize_volume(Scan(np.full(old, 90, np.uint8)), new).values == 90).all()
    if all(n <= o for n, o in zip(new, old)):
        values = noise(old)
        assert scans.resize_volume(Scan(values), new).values.mean() == pytest.approx(values.mean(), rel=1e-4)


def test_resampling_8_bits_rounds_and_masks_stay_masks():
    values = noise((10, 12, 14), np.uint8)
    mask = np.where(values > 125, np.uint8(255), np.uint8(0))
    small = scans.resize_volume(Scan(values, mask), [5, 6, 7])
    blocks = values.reshape(5, 2, 6, 2, 7, 2).mean(axis=(1, 3, 5))
    assert small.values.dtype == np.uint8
    assert abs(small.values - blocks).max() <= 0.5001
    share = (mask / 255).reshape(5, 2, 6, 2, 7, 2).mean(axis=(1, 3, 5))
    np.testing.assert_array_equal(small.mask, np.where(share >= 0.5, 255, 0))
    same = scans.resize_volume(Scan(values, mask), [10, 12, 14])
    np.testing.assert_array_equal(same.values, values)


# ----- gray levels


def published_clipping(values, low, high):
    """As described: below a percentile of what is not 0 → 0, above the other capped, min–max."""
    least, most = np.percentile(values[values != 0], [low, high])
    values = np.minimum(np.where(values < least, 0, values), most).astype(float)
    return (values - values.min()) / (values.max() - values.min()) * 255


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
def test_clip_percentiles_as_published(dtype):
    values = noise((20, 10, 10), dtype)
    values[:8] = 0
    values[15, 3, 3] = 255  # one hot voxel
    clipped = gray_operators.clip_percentiles(Scan(values), 5, 99.9)
    np.testing.assert_allclose(clipped.values, published_clipping(values, 5, 99.9), atol=1e-3)
    assert clipped.values.dtype == np.float32
    low, high = clipped.window
    source = low + clipped.values / 255 * (high - low)
    inside = (clipped.values > 0) & (clipped.values < 255)
    np.testing.assert_allclose(source[inside], values[inside], atol=0.01)


def test_clip_percentiles_without_zeros_and_below_zero():
    values = noise((6, 8, 8)) + 1000
    clipped = gray_operators.clip_percentiles(Scan(values), 0, 100)
    assert clipped.window == (values.min(), values.max())
    assert (clipped.values.min(), clipped.values.max()) == (0, 255)
    signed = noise((6, 8, 8)) - 200
    clipped = gray_operators.clip_percentiles(Scan(signed), 10, 90)
    least, most = np.percentile(signed[signed != 0], [10, 90])
    expected = (np.clip(signed, least, most) - least) / (most - least) * 255
    np.testing.assert_allclose(clipped.values, expected, atol=1e-3)  # dark stays dark


@pytest.mark.parametrize("value", [0, 7])
def test_a_constant_volume_has_no_percentiles(value):
    values = np.zeros((5, 6, 7))
    values[2:] = value
    with pytest.raises(CannotPrepare, match="constant"):
        gray_operators.clip_percentiles(Scan(values))


def test_window_of_ct_by_hand_and_windows_in_turn():
    values = np.array([-2000, -1000, -300, 400, 3000], np.int16).reshape(1, 1, 5)
    once = gray_operators.window(Scan(values), -1000, 400)
    np.testing.assert_allclose(once.values.ravel(), [0, 0, 127.5, 255, 255], atol=1e-4)
    assert once.window == (-1000, 400)
    twice = gray_operators.window(once, -300, 50)
    assert twice.window == pytest.approx((-300, 50))
    np.testing.assert_allclose(twice.values.ravel(), [0, 0, 0, 255, 255], atol=1e-4)
    levels = gray_operators.clip_percentiles(once, 0, 100)
    assert levels.window == pytest.approx((-1000, 400))


# ----- layers


def slabs_by_hand(values, layers, first, last):
    inside = np.zeros(values.shape, bool)
    for h in range(values.shape[1]):
        for w in range(values.shape[2]):
            top, bottom = layers[first, h, w], layers[last, h, w]
            inside[:, h, w] = [top <= d < bottom for d in range(len(values))]
    return inside


def wavy(shape):
    layers = flat_layers(shape, 2, 4, 6, 8.5, 9, 10)
    layers += np.sin(np.arange(shape[2]))[None, None].astype(np.float32)
    layers[:, 1, 1] = np.nan
    layers[2, 2, 2] = layers[0, 2, 2]  # no superficial slab at all
    return layers


@pytest.mark.parametrize(("slab", "first", "last"), [("superficial", 0, 2), ("deep", 2, 5), ("all", 0, 5)])
def test_slabs_against_a_loop(slab, first, last):
    values = noise((14, 6, 7), np.uint8)
    layers = wavy(values.shape)
    scan = Scan(values, np.full_like(values, 255), None, layers)
    inside = slabs_by_hand(values, layers, first, last)
    layer = scans.keep_layers(scan, slab)
    np.testing.assert_array_equal(layer.values, values * inside)
    np.testing.assert_array_equal(layer.mask > 0, inside)
    assert layer.values.dtype == np.uint8
    if slab == "all":
        return
    for how in ("mean", "max"):
        flat = scans.project(scan, slab, how)
        assert flat.layers is None
        for h, w in np.ndindex(6, 7):
            column = values[inside[:, h, w], h, w]
            expected = 0 if not column.size else column.max() if how == "max" else column.mean()
            assert flat.values[h, w] == pytest.approx(expected, abs=0.5)
            assert flat.mask[h, w] == (255 if column.size else 0)


def test_project_of_the_whole_depth_needs_no_layers():
    values = noise((14, 6, 7), np.uint8)
    for layers in (None, wavy(values.shape)):
        flat = scans.project(Scan(values, None, affine_of(), layers))
        np.testing.assert_array_equal(flat.values, np.rint(values.mean(axis=0)))
        assert flat.values.dtype == np.uint8
        np.testing.assert_array_equal(flat.affine, affine_of())
    deep = scans.project(Scan(noise((14, 6, 7), np.int16) - 300), how="max")
    assert deep.values.dtype == np.float32
    assert deep.values.max() < 0


@pytest.mark.parametrize("operator", [scans.keep_layers, lambda scan: scans.project(scan, "deep")])
def test_slabs_need_layers(operator):
    with pytest.raises(CannotPrepare, match="layers of the retina are unknown"):
        operator(Scan(noise()))


@pytest.mark.parametrize("name", sorted(name for name, record in catalogue.OPERATORS.items() if record.of_scans))
def test_no_operator_changes_what_it_is_given(name):
    shape = (12, 12, 12) if name != "patches" else (12, 12)
    scan = Scan(noise(shape, np.float32), noise(shape, np.uint8), np.diag([1, 1, 1, 1.0]), wavy((12, 12, 12)))
    before = [None if array is None else np.array(array) for array in scan[:4]]
    for array in scan[:4]:
        array.flags.writeable = False
    if name == "patches":
        scan = scan._replace(layers=None)
    if name == "file_window":
        scan = scan._replace(views=(View("", -1.0, 1.0),))
    catalogue.resolve("operator", name)(scan, **catalogue.OPERATORS[name].defaults)
    for old, array in zip(before, scan[:4]):
        if array is not None:
            np.testing.assert_array_equal(array, old)
