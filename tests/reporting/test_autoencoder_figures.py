import numpy as np
import pytest
from PIL import Image

from rescan.reporting.figures.autoencoder_figures import reconstructions


@pytest.mark.parametrize(("shape", "rows"), [((32, 32, 1), 2), ((8, 24, 32, 1), 4), ((32, 32, 3), 2)])
def test_samples_stand_over_their_reconstructions(tmp_path, shape, rows):
    pairs = np.zeros((3, 2, *shape), np.uint8)
    pairs[:, 0] = 60  # as bright as can be …
    pairs[:, 1] = 30  # … and its reconstruction half as bright
    np.save(tmp_path / "pairs.npy", pairs)
    reconstructions(tmp_path / "pairs.npy", tmp_path / "out.png")
    figure = np.asarray(Image.open(tmp_path / "out.png").convert("L"))
    height = figure.shape[0] // rows
    middles = [int(figure[round((row + 0.6) * height), figure.shape[1] // 6]) for row in range(rows)]
    assert middles[0::2] == pytest.approx([255] * (rows // 2), abs=8)
    assert middles[1::2] == pytest.approx([127] * (rows // 2), abs=8)
