from __future__ import annotations

import base64
import warnings
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_files import lookup_table, write_dicom
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    MPEG2MPML,
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGExtended12Bit,
    RLELossless,
)

from rescan.data.readers import dicom_pixels, images
from rescan.data.readers.dicom_pixels import library
from rescan.data.readers.display import levels
from rescan.data.readers.images import Unreadable

pytestmark = pytest.mark.filterwarnings("ignore")
RANDOM = np.random.default_rng(0)
DEEP = RANDOM.integers(0, 4096, (20, 24)).astype(np.uint16)
SIGNED = RANDOM.integers(-2048, 2048, (20, 24)).astype(np.int16)
BYTES = RANDOM.integers(0, 256, (20, 24)).astype(np.uint8)
COLORS = RANDOM.integers(0, 256, (20, 24, 3)).astype(np.uint8)


def shown(path, number=0):
    """A file's values as its own view shows them."""
    image, info = images.read(path)
    return levels(image, info.views[number])


def by_pydicom(content, number=0, prefer_lut=True):
    """Gray levels from pydicom's functions: the modality's table or scale, then the window or table of interest."""
    values = library.apply_modality_lut(content.pixel_array, content)
    gray = library.apply_voi_lut(values, content, index=number, prefer_lut=prefer_lut).astype(float)
    if "VOILUTSequence" in content:
        return gray * 255 / (2 ** content.VOILUTSequence[number].LUTDescriptor[2] - 1)
    bits, signed = content.BitsStored, content.PixelRepresentation
    ends = np.array([-(2 ** (bits - 1)) if signed else 0, 2 ** (bits - signed) - 1])
    least, most = (0, 65535) if "ModalityLUTSequence" in content else library.apply_modality_lut(ends, content)
    return (gray - least) / (most - least) * 255


# A ramp of 12 bits, 180 per row and 60 per column, as other libraries encode it without a loss: imagecodecs by OpenJPH,
# and by libjpeg-turbo in a process of JPEG that may lose something.
RAMP = (np.arange(16)[:, None] * 180 + np.arange(20) * 60).astype(np.uint16)
HTJ2K = (
    "|4;u>04YEK0000K0000G00000000000000K0000G0000000000009pH0sl|{2mk^A000XAQUDA90ssL31q1{@0smY86Cj9?kdTm&kdTm&kdTmwh=~"
    "7W02crOPjF>!N>E53R%LP^FfKASE;BCwkN^q*00000l>h<%lfVEb$MppVbO68r5`eM-hjakI0206e6M*3W2Xp|~jLiVTGyuQ=6F>kJKq3490(1aqM"
    "ib2d7{GT{0KfnhPyhvR3>g?0{@3A)bpR-%M2QmR;1EVa0qnQ{zyK?t02a8mZQHhO+wbandT@ex0A|h1%*@Qp%*@RG{)Rn_V0-p4f$Y2h|Je"
)
JPEG_12_BIT = (
    "|JeWF01!$>Nk#wx0RR9200961|JwjV009930RaI40RaI40RaI40RaI40RaI40RaI40RaI40RaI40RaI40RaI40RaI40RaI40RaI40RaI40RaI40sp}"
    "O3k(1d02BcM5di<h02TlN0RaF200000000000000C4G#ar03Z+m00jgC0RR9100000000003@Jxt3pZAD1qTUK|Jncu0RaF2KLE`i)43*JV-lksW;"
    "LNhz$x65FR_VHj<Xujp_LvalP^y`pGuFVn2h0JMHPy7B+Kk#RAa2hv?zE5JCbGgF)A_EV_Fn4qr{SB>F3kwQS`GBoGd8+*#"
)


@pytest.mark.parametrize(
    ("syntax", "data"),
    [
        (UID("1.2.840.10008.1.2.4.201"), HTJ2K),
        (UID("1.2.840.10008.1.2.4.203"), HTJ2K),
        (JPEGExtended12Bit, JPEG_12_BIT),
    ],
)
def test_compressed_data_of_twelve_bits_of_which_pydicom_ships_none(tmp_path, syntax, data):
    if dicom_pixels.IS_OLD and data == HTJ2K:
        pytest.skip("pydicom 2 knows no HTJ2K")
    content = write_dicom(tmp_path / "a", RAMP, 12)
    content.file_meta.TransferSyntaxUID = syntax
    content.PixelData = encapsulate([base64.b85decode(data)])
    content["PixelData"].is_undefined_length = True
    content.save_as(tmp_path / "a")
    image, info = images.read(tmp_path / "a")
    assert info.mode == "MONOCHROME2 12-bit"
    np.testing.assert_array_equal(image, RAMP)


def test_more_frames_than_the_header_says_are_no_image(tmp_path):
    for number in (None, 1):
        write_dicom(tmp_path / "a", np.stack([DEEP] * 3), 12, NumberOfFrames=number)
        with pytest.raises(Unreadable, match="holds pixels of 3 frames, its header says 1"):
            images.read(tmp_path / "a")
    content = pydicom.dcmread(get_testdata_file("MR_small_jp2klossless.dcm"))
    picture = content.PixelData[content.PixelData.find(b"\xff\x4f\xff\x51") :]
    content.PixelData = encapsulate([picture, picture])
    content.save_as(tmp_path / "a")
    with pytest.raises(Unreadable, match="holds 2 compressed pictures, its header says 1"):
        images.read(tmp_path / "a")
    with pytest.raises(Unreadable, match="holds pixels of 15 frames, its header says 1"):  # where it is no number
        images.read(get_testdata_file("badVR.dcm"))


@pytest.mark.parametrize("bits", [0, 17])
def test_bits_that_cannot_be_stored_are_said(tmp_path, bits):
    write_dicom(tmp_path / "a", DEEP, 12, BitsStored=bits)
    with pytest.raises(Unreadable, match=f"stores {bits} of 16 bits; mend the header"):
        images.read(tmp_path / "a")


def test_values_in_the_upper_bits_are_the_same_in_rle(tmp_path):
    content = write_dicom(tmp_path / "a", DEEP << 4, 12, HighBit=15)
    np.testing.assert_array_equal(images.read(tmp_path / "a")[0], DEEP)
    content.compress(RLELossless)
    content.save_as(tmp_path / "a")
    np.testing.assert_array_equal(images.read(tmp_path / "a")[0], DEEP)


def test_padding_of_fractions(tmp_path):
    content = write_dicom(tmp_path / "a", DEEP)
    del content.PixelData, content.BitsStored, content.HighBit, content.PixelRepresentation
    fractions = DEEP / np.float32(3)
    content.BitsAllocated, content.FloatPixelData = 32, fractions.tobytes()
    content.FloatPixelPaddingValue = float(fractions[0, 0])
    content.save_as(tmp_path / "a")
    expected = np.where(fractions == fractions[0, 0], np.nan, fractions)
    np.testing.assert_array_equal(images.read(tmp_path / "a")[0], expected)


def test_data_that_are_cut_are_called_so(tmp_path):
    whole = Path(get_testdata_file("MR_small_jp2klossless.dcm")).read_bytes()
    (tmp_path / "a").write_bytes(whole[: len(whole) * 9 // 10])
    with pytest.raises(Unreadable, match="truncated"):
        images.read(tmp_path / "a")


# ----- files that pydicom ships, of every transfer syntax


@pytest.mark.parametrize(
    "name",
    [
        "MR_small.dcm",
        "MR_small_RLE.dcm",
        "MR_small_bigendian.dcm",
        "MR_small_implicit.dcm",
        "MR_small_jp2klossless.dcm",
        "MR_small_jpeg_ls_lossless.dcm",
        "693_J2KI.dcm",
        "J2K_pixelrep_mismatch.dcm",
    ],
)
def test_windows_of_shipped_files_are_as_pydicom_has_them(name):
    path = get_testdata_file(name)
    content = pydicom.dcmread(path)
    values = library.apply_modality_lut(content.pixel_array, content)
    image, _ = images.read(path)
    known = ~np.isnan(image)  # 693_J2KI has padding
    np.testing.assert_allclose(image[known], values[known])
    assert (content.pixel_array[~known] == content.get("PixelPaddingValue")).all()
    np.testing.assert_allclose(shown(path)[known], by_pydicom(content)[known], atol=1e-2)


@pytest.mark.parametrize("name", ["CT_small.dcm", "JPEG2000.dcm", "image_dfl.dcm"])
def test_values_of_shipped_files_are_as_pydicom_has_them(name):
    path = get_testdata_file(name)
    content = pydicom.dcmread(path)
    image, info = images.read(path)
    np.testing.assert_allclose(image, library.apply_modality_lut(content.pixel_array, content))
    assert info.views == ()


# (row, column) of the bars of the test picture that these files hold, and their colors
BARS = {5: (255, 0, 0), 15: (255, 128, 128), 25: (0, 255, 0), 35: (128, 255, 128), 45: (0, 0, 255), 55: (128, 128, 255)}


@pytest.mark.parametrize(
    "name",
    [
        "SC_rgb_rle.dcm",
        "SC_rgb_gdcm_KY.dcm",
        "SC_rgb_dcmtk_+eb+cr.dcm",
        "SC_rgb_dcmtk_+eb+cy+n1.dcm",
        "SC_rgb_dcmtk_+eb+cy+n2.dcm",
        "SC_rgb_dcmtk_+eb+cy+np.dcm",
        "SC_rgb_dcmtk_+eb+cy+s2.dcm",
        "SC_rgb_dcmtk_+eb+cy+s4.dcm",
        "SC_rgb_jpeg_dcmtk.dcm",
        "SC_rgb_jpeg_gdcm.dcm",
        "SC_rgb_jpeg_lossy_gdcm.dcm",
        "SC_ybr_full_422_uncompressed.dcm",
    ],
)
def test_colors_of_shipped_files_are_rgb(name):
    if dicom_pixels.IS_OLD and name == "SC_rgb_jpeg_lossy_gdcm.dcm":
        pytest.skip("pydicom 2 ships it with a wrong photometric interpretation")
    image, _ = images.read(get_testdata_file(name))
    assert image.dtype == np.uint8
    for row, color in BARS.items():
        assert abs(image[row, 50].astype(int) - color).max() <= 5


@pytest.mark.parametrize("name", ["examples_palette.dcm"])
def test_a_palette_becomes_its_colors(name):
    path = None if dicom_pixels.IS_OLD else get_testdata_file(name)
    if path is None:
        pytest.skip("this pydicom does not ship it")
    content = pydicom.dcmread(path)
    expected = library.apply_color_lut(content.pixel_array, content)
    expected = (expected >> 8).astype(np.uint8) if expected.dtype == np.uint16 else expected
    np.testing.assert_array_equal(images.read(path)[0], expected)


# ----- files written here


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian])
def test_uncompressed_transfer_syntaxes(tmp_path, syntax):
    write_dicom(tmp_path / "a", DEEP, 12, syntax)
    image, info = images.read(tmp_path / "a")
    np.testing.assert_array_equal(image, DEEP)
    assert (image.dtype, info.mode) == (np.uint16, "MONOCHROME2 12-bit")


@pytest.mark.parametrize(
    "attributes",
    [
        {"WindowCenter": 2000, "WindowWidth": 1000},
        {"WindowCenter": [2000, 500], "WindowWidth": [1000, 300]},
        {"WindowCenter": 2000, "WindowWidth": 1},
        {"WindowCenter": 2000, "WindowWidth": 800, "VOILUTFunction": "SIGMOID"},
        {"WindowCenter": 2000, "WindowWidth": 0.5, "VOILUTFunction": "LINEAR_EXACT"},
        {"WindowCenter": 2000, "WindowWidth": 999, "VOILUTFunction": "LINEAR_EXACT"},
        {"WindowCenter": 40, "WindowWidth": 400, "RescaleSlope": 1, "RescaleIntercept": -1024},
        {"WindowCenter": 40, "WindowWidth": 400, "RescaleSlope": 0.25, "RescaleIntercept": -100.5},
        {"VOILUTSequence": [lookup_table(np.arange(4096) ** 2 // 4096, 0, 12)]},
        {"ModalityLUTSequence": [lookup_table(4095 - np.arange(4096), 0, 16)], "WindowCenter": 900, "WindowWidth": 700},
    ],
)
@pytest.mark.parametrize("pixels", [DEEP, SIGNED], ids=["unsigned", "signed"])
def test_written_windows_and_tables_are_as_pydicom_has_them(tmp_path, attributes, pixels):
    write_dicom(tmp_path / "a", pixels, 12, **attributes)
    content = pydicom.dcmread(tmp_path / "a")
    expected = library.apply_modality_lut(content.pixel_array, content)
    image, info = images.read(tmp_path / "a")
    np.testing.assert_allclose(image, expected)
    for number in range(len(info.views)):
        np.testing.assert_allclose(shown(tmp_path / "a", number), by_pydicom(content, number), atol=1e-2)
    assert len(info.views) == np.size(attributes.get("WindowCenter", 0))


def test_a_table_of_eight_bits_and_names_of_views(tmp_path):
    table = np.arange(256)[::-1]
    windows = {
        "WindowCenter": [2000, 500],
        "WindowWidth": [1000, 300],
        "WindowCenterWidthExplanation": ["BONE", "SOFT"],
    }
    item = lookup_table(table, 1000, 8, LUTExplanation="DOWN")
    write_dicom(tmp_path / "a", DEEP, 12, VOILUTSequence=[item], **windows)
    info = images.read(tmp_path / "a")[1]
    assert [view.name for view in info.views] == ["DOWN", "BONE", "SOFT"]
    np.testing.assert_array_equal(shown(tmp_path / "a"), table[np.clip(DEEP.astype(int) - 1000, 0, 255)])


@pytest.mark.parametrize("inverse", [{"PhotometricInterpretation": "MONOCHROME1"}, {"PresentationLUTShape": "INVERSE"}])
@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"WindowCenter": 2000, "WindowWidth": 1000},
        {"WindowCenter": 1500, "WindowWidth": 800, "VOILUTFunction": "SIGMOID"},
        {"VOILUTSequence": [lookup_table(np.arange(4096) ** 2 // 4096, 0, 12)]},
    ],
)
def test_low_values_that_are_bright_are_turned_around(tmp_path, attributes, inverse):
    write_dicom(tmp_path / "a", DEEP, 12, **{**attributes, **inverse, "PresentationLUTShape": "INVERSE"})
    image, info = images.read(tmp_path / "a")
    np.testing.assert_array_equal(image, 4095 - DEEP)  # as its twin in MONOCHROME2
    if attributes:
        content = write_dicom(tmp_path / "b", DEEP, 12, **attributes)
        np.testing.assert_allclose(levels(image, info.views[0]), 255 - by_pydicom(content), atol=1e-2)


def test_signed_and_rescaled_values_are_turned_around(tmp_path):
    write_dicom(tmp_path / "a", SIGNED, 12, PhotometricInterpretation="MONOCHROME1")
    np.testing.assert_array_equal(images.read(tmp_path / "a")[0], -1 - SIGNED)
    scale = {"RescaleSlope": 0.5, "RescaleIntercept": -100}
    write_dicom(tmp_path / "a", DEEP, 12, PhotometricInterpretation="MONOCHROME1", **scale)
    np.testing.assert_allclose(images.read(tmp_path / "a")[0], (4095 - DEEP) * 0.5 - 100)


def test_values_whose_range_lies_high_are_turned_around(tmp_path):
    high = {"RescaleSlope": 1, "RescaleIntercept": 28000}
    write_dicom(tmp_path / "a", DEEP, 12, PhotometricInterpretation="MONOCHROME1", **high)
    np.testing.assert_array_equal(images.read(tmp_path / "a")[0], 4095 - DEEP.astype(int) + 28000)


def test_a_single_enhanced_frame_is_an_image_with_its_own_scale_and_window(tmp_path):
    group, scale, view = Dataset(), Dataset(), Dataset()
    scale.RescaleSlope, scale.RescaleIntercept = 2, -7
    view.WindowCenter, view.WindowWidth = 500, 201
    group.PixelValueTransformationSequence, group.FrameVOILUTSequence = [scale], [view]
    frames = {"NumberOfFrames": 1, "PerFrameFunctionalGroupsSequence": [group], "WindowCenter": 1, "WindowWidth": 2}
    write_dicom(tmp_path / "a", DEEP, 12, **frames)
    image, info = images.read(tmp_path / "a")
    np.testing.assert_array_equal(image, DEEP * 2.0 - 7)
    assert [view[:3] for view in info.views] == [("", 399.5, 599.5)]


def test_padding_is_no_value_and_black(tmp_path):
    pixels = DEEP.clip(100, 4000)
    pixels[:5], pixels[5:7] = 7, 9
    expected = pixels.astype(float)
    expected[:5] = np.nan
    for photometric, values in (("MONOCHROME2", expected), ("MONOCHROME1", 4095 - expected)):
        given = {"PixelPaddingValue": 7, "PhotometricInterpretation": photometric}
        write_dicom(tmp_path / "a", pixels, 12, WindowCenter=2000, WindowWidth=1000, **given)
        np.testing.assert_array_equal(images.read(tmp_path / "a")[0], values)
        assert (shown(tmp_path / "a")[:5] == 0).all()
    expected[5:7] = np.nan
    write_dicom(tmp_path / "a", pixels, 12, PixelPaddingValue=7, PixelPaddingRangeLimit=9)
    np.testing.assert_array_equal(images.read(tmp_path / "a")[0], expected)
    write_dicom(tmp_path / "a", np.where(SIGNED < 0, np.int16(-2000), SIGNED), PixelPaddingValue=-2000)
    np.testing.assert_array_equal(images.read(tmp_path / "a")[0], np.where(SIGNED < 0, np.nan, SIGNED))


def test_eight_bits_are_gray_levels_and_fewer_are_spread(tmp_path):
    write_dicom(tmp_path / "a", BYTES)
    image, info = images.read(tmp_path / "a")
    np.testing.assert_array_equal(image, BYTES)
    assert (image.dtype, info.views) == (np.uint8, ())
    write_dicom(tmp_path / "a", BYTES.astype(np.uint16), 8)
    assert images.read(tmp_path / "a")[0].dtype == np.uint8
    write_dicom(tmp_path / "a", BYTES // 16, 4)
    np.testing.assert_allclose(shown(tmp_path / "a"), BYTES // 16 * 17.0, atol=1e-3)


def test_empty_attributes_count_as_absent(tmp_path):
    empty = dict.fromkeys(("RescaleSlope", "RescaleIntercept", "WindowCenter", "WindowWidth", "PixelPaddingValue"))
    write_dicom(tmp_path / "a", DEEP, 12, **empty, VOILUTSequence=[], ModalityLUTSequence=[])
    image, info = images.read(tmp_path / "a")
    np.testing.assert_array_equal(image, DEEP)
    assert info.views == ()


def test_overlays_and_what_lies_below_are_not_values(tmp_path):
    """Overlays of old files lie in the bits above the values; some files' values do not start at the lowest bit."""
    write_dicom(tmp_path / "a", DEEP | np.where(DEEP % 2, 0x8000, 0).astype(np.uint16), 12)
    np.testing.assert_array_equal(images.read(tmp_path / "a")[0], DEEP)
    write_dicom(tmp_path / "a", (DEEP << 4) | 3, 12, HighBit=15)
    np.testing.assert_array_equal(images.read(tmp_path / "a")[0], DEEP)


def test_planar_and_ybr_colors(tmp_path):
    write_dicom(tmp_path / "a", COLORS)
    np.testing.assert_array_equal(images.read(tmp_path / "a")[0], COLORS)
    planes = np.moveaxis(COLORS, -1, 0).copy().reshape(COLORS.shape)
    write_dicom(tmp_path / "a", planes, PlanarConfiguration=1)
    np.testing.assert_array_equal(images.read(tmp_path / "a")[0], COLORS)
    write_dicom(tmp_path / "a", COLORS, PhotometricInterpretation="YBR_FULL")
    expected = library.convert_color_space(COLORS, "YBR_FULL", "RGB")
    np.testing.assert_array_equal(images.read(tmp_path / "a")[0], expected)


def palette(bits, entries, first=0):
    colors = {"Red": entries, "Green": entries[::-1], "Blue": entries // 2}
    kind = np.uint8 if bits == 8 else "<u2"
    tables = {f"{name}PaletteColorLookupTableData": table.astype(kind).tobytes() for name, table in colors.items()}
    descriptors = {f"{name}PaletteColorLookupTableDescriptor": [len(entries), first, bits] for name in colors}
    return {"PhotometricInterpretation": "PALETTE COLOR", **descriptors, **tables}


def test_palettes_of_eight_and_sixteen_bits(tmp_path):
    entries = np.arange(200)
    write_dicom(tmp_path / "a", BYTES, **palette(8, entries, first=20))
    places = np.clip(BYTES.astype(int) - 20, 0, 199)
    expected = np.stack([entries[places], entries[::-1][places], entries[places] // 2], -1)
    np.testing.assert_array_equal(images.read(tmp_path / "a")[0], expected)
    write_dicom(tmp_path / "a", BYTES, **palette(16, entries * 256, first=20))
    np.testing.assert_array_equal(images.read(tmp_path / "a")[0], expected)
    many = np.arange(4096) // 16
    write_dicom(tmp_path / "a", DEEP, 12, **palette(8, many))
    np.testing.assert_array_equal(images.read(tmp_path / "a")[0][..., 0], DEEP // 16)


@pytest.mark.parametrize("bits", [8, 16])
def test_tables_are_words_of_the_files_byte_order(tmp_path, bits):
    entries = np.arange(200) * (1 if bits == 8 else 256)
    images_read = []
    for syntax in (ImplicitVRLittleEndian, ExplicitVRBigEndian):
        attributes = palette(bits, entries)
        for name, data in attributes.items():
            if name.endswith("Data") and syntax == ExplicitVRBigEndian:
                attributes[name] = np.frombuffer(data, "<u2").byteswap().tobytes()
        write_dicom(tmp_path / "a", BYTES, syntax=syntax, **attributes)
        images_read.append(images.read(tmp_path / "a")[0])
    np.testing.assert_array_equal(images_read[0][..., 0], np.clip(BYTES, 0, 199))
    np.testing.assert_array_equal(*images_read)


@pytest.mark.parametrize(
    ("pixels", "attributes", "said"),
    [
        (COLORS, {"PhotometricInterpretation": "YBR_PARTIAL_420"}, "photometric interpretation is YBR_PARTIAL_420"),
        (BYTES, {"PhotometricInterpretation": "HSV"}, "photometric interpretation is HSV"),
        (BYTES, {"PhotometricInterpretation": "RGB"}, "RGB with 1 samples per pixel"),
        (BYTES, {"PhotometricInterpretation": None}, "lacks PhotometricInterpretation"),
        (BYTES, {"Rows": None}, "lacks Rows"),
        (BYTES, {"PhotometricInterpretation": "PALETTE COLOR"}, "lacks RedPaletteColorLookupTableDescriptor"),
        (BYTES, {"PixelPresentation": "COLOR"}, "supplemental palette"),
        (BYTES, {"PresentationLUTShape": "LIN OD"}, "Presentation LUT Shape is LIN OD"),
        (DEEP, {"PhotometricInterpretation": "MONOCHROME2", "ModalityLUTSequence": [Dataset()]}, "lacks LUTDescriptor"),
        (DEEP, {"RescaleSlope": 0, "RescaleIntercept": 1}, "RescaleSlope is 0"),
        (DEEP, {"WindowCenter": 5, "WindowWidth": 5, "VOILUTFunction": "CUBIC"}, "VOI LUT Function is CUBIC"),
        (COLORS.astype(np.uint16), {}, "color of more than 8 bits"),
        (BYTES[:10], {}, "too small: 24x10"),
        (np.stack([BYTES] * 3), {}, r"holds 3 frames, an image is one; add reads: volume"),
        (BYTES, {"Rows": 30000, "Columns": 30000}, "more than 89478485 pixels"),
        (np.full_like(BYTES, 3), {"PixelPaddingValue": 3}, "holds padding only"),
    ],
)
def test_what_is_not_read_is_named(tmp_path, pixels, attributes, said):
    write_dicom(tmp_path / "a", pixels, **attributes)
    with pytest.raises(Unreadable, match=said):
        images.read(tmp_path / "a")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("rtplan.dcm", r"holds no pixels \(RT Plan Storage\)"),
        ("MR_truncated.dcm", "cannot be decoded: .*8130"),
    ],
)
def test_shipped_files_that_cannot_be_read(name, said):
    with pytest.raises(Unreadable, match=said):
        images.read(get_testdata_file(name))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("MR_small_jpeg_ls_lossless.dcm", "JPEG-LS Lossless .*: pip install python-gdcm"),
        ("MR_small_jp2klossless.dcm", "JPEG 2000 .*: pip install pylibjpeg-openjpeg"),
        ("SC_rgb_jpeg_dcmtk.dcm", "JPEG Baseline .*: pip install python-gdcm"),
    ],
)
def test_a_missing_decoder_is_named(monkeypatch, name, said):
    monkeypatch.setattr(dicom_pixels, "_has_decoder", lambda _: False)
    monkeypatch.setattr(dicom_pixels.library, "get_decoder", _without_plugins, raising=False)
    monkeypatch.setattr(pydicom.config, "pixel_data_handlers", [])
    with pytest.raises(Unreadable, match=said):
        images.read(get_testdata_file(name))


@pytest.mark.parametrize(
    ("syntax", "said"),
    [
        (b"1.2.840.10008.1.2.4.100", "MPEG2 .* not a still image that is read; convert it"),
        (b"1.2.840.10008.1.2.4.999", "which nothing installed decodes: not a still image that is read"),
        (b"1.2.840.10008.1.2.4.201", "pip install 'pydicom>=3'|cannot be decoded: .*J2K"),
    ],
)
def test_other_transfer_syntaxes_are_named(tmp_path, syntax, said):
    content = write_dicom(tmp_path / "a", DEEP, 12)
    content.file_meta.TransferSyntaxUID = MPEG2MPML
    content.PixelData = encapsulate([b"\xff\x4f\xff\x51" + bytes(96)])
    content["PixelData"].is_undefined_length = True
    content.save_as(tmp_path / "a")
    (tmp_path / "a").write_bytes((tmp_path / "a").read_bytes().replace(MPEG2MPML.encode(), syntax))
    with pytest.raises(Unreadable, match=said):
        images.read(tmp_path / "a")


def _without_plugins(syntax):
    raise NotImplementedError(f"all plugins of {syntax} are missing dependencies")


def test_bad_metadata_costs_no_pixels(tmp_path):
    with warnings.catch_warnings():
        write_dicom(tmp_path / "a", DEEP, 12, WindowCenter=5, WindowWidth=7, NumberOfFrames=None, PatientAge="old")
    content = (tmp_path / "a").read_bytes()
    assert b"DS\x04\x007.0 " in content or b"DS\x02\x007 " in content
    content = content.replace(b"DS\x04\x007.0 ", b"DS\x04\x00wide").replace(b"DS\x02\x007 ", b"DS\x02\x00x ")
    (tmp_path / "a").write_bytes(content[132:])  # no preamble, and its mark
    np.testing.assert_array_equal(images.read(tmp_path / "a")[0], DEEP)


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, RLELossless])
def test_inverse_files_of_compressed_syntaxes(tmp_path, syntax):
    if dicom_pixels.IS_OLD:
        pytest.skip("pydicom 2 does not compress")
    large = np.tile(DEEP, (4, 4))
    content = write_dicom(tmp_path / "a", large, 12, PhotometricInterpretation="MONOCHROME1")
    content.compress(syntax)
    content.save_as(tmp_path / "a")
    np.testing.assert_array_equal(images.read(tmp_path / "a")[0], 4095 - large)


@pytest.mark.skipif(dicom_pixels.IS_OLD, reason="pydicom 2 cannot be told which decoder to take")
def test_damaged_jpeg_data_do_not_end_the_process(tmp_path):
    content = Path(get_testdata_file("SC_rgb_jpeg_lossy_gdcm.dcm")).read_bytes()
    (tmp_path / "x.dcm").write_bytes(content[:1915] + content[1919:])  # a table of the JPEG stream lacks four bytes
    try:
        image, _ = images.read(tmp_path / "x.dcm")
    except Unreadable as error:
        assert "cannot be decoded" in str(error)  # noqa: PT017 - which of the two is Pillow's to say
    else:
        assert image.shape == (100, 100, 3)
