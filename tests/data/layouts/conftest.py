from __future__ import annotations

import pytest

ACDC = """patient_id,path,group,label,abnormal,nx
patient002,volumes/patient002_frame01.nii.gz,DCM,0,1,232
patient004,volumes/patient004_frame01.nii.gz,NOR,3,0,232
patient005,volumes/patient005,RV,4,1,256
"""


@pytest.fixture
def acdc(tmp_path):
    """A folder of volumes as ACDC's are listed: two NIfTI files, a folder of slices."""
    root = tmp_path / "acdc"
    for file in ("patient002_frame01.nii.gz", "patient004_frame01.nii.gz", "patient005/1.dcm"):
        (root / "volumes" / file).parent.mkdir(parents=True, exist_ok=True)
        (root / "volumes" / file).write_bytes(b"")
    (root / "labels.csv").write_text(ACDC)
    return root
