from __future__ import annotations

import cv2
import numpy as np
import pandas as pd
import pytest
from sample_files import write_manifest, write_source

from rescan.paths import Paths
from rescan.study import Study


@pytest.fixture
def study():
    """A function that makes a study of two classes, `cat` and `dog`, with a given split, and more said of its data."""

    def make(data=None, **split):
        return Study.model_validate(
            {
                "name": "pets",
                "scale": "demo",
                "title": "Pets",
                "data": {
                    "source": {"path": "raw"},
                    "layout": "class_folders",
                    "classes": ["cat", "dog"],
                    **(data or {}),
                },
                "split": split,
                "preparations": {"small": {"steps": [{"name": "resize", "size": [32, 32]}], "channels": "gray"}},
                "arms": {
                    "a": {
                        "preparation": "small",
                        "network": {"encoder": "resnet18"},
                        "stages": {"main": {"epochs": 1, "optimizer": "adam"}},
                    }
                },
            }
        )

    return make


@pytest.fixture
def textures():
    """A function that makes images of smooth noise, none like another."""

    def make(count, seed=0):
        rng = np.random.default_rng(seed)
        noise = [cv2.GaussianBlur(rng.normal(size=(80, 100)).astype(np.float32), (0, 0), 3) for _ in range(count)]
        return [cv2.normalize(image, None, 10, 220, cv2.NORM_MINMAX).astype(np.uint8) for image in noise]

    return make


@pytest.fixture
def write_data(tmp_path, monkeypatch):
    """A function that writes images and the manifest, and makes the workflow's folder the current one.

    Takes rows of (path, label, image or bytes or None, {other columns of the manifest}).
    """
    monkeypatch.chdir(tmp_path)
    paths = Paths("demo", "pets")

    def write(rows):
        for path, _, content, _ in rows:
            file = tmp_path / "raw" / path
            file.parent.mkdir(parents=True, exist_ok=True)
            if content is not None:
                data = content if isinstance(content, bytes) else cv2.imencode(".png", content)[1].tobytes()
                file.write_bytes(data)
        table = pd.DataFrame([{"sample": path, "path": path, "label": label, **more} for path, label, _, more in rows])
        table = table.assign(published_part=table.get("published_part", ""), origin="").fillna("")
        write_manifest(paths, table)
        write_source(paths, manifest=table)
        return paths

    return write
