"""Whether an environment of Rescan's jobs works; the last step of an image's building, and runs by hand anywhere.

Imports what the jobs import, takes training steps on the device that is there, writes and reads DICOM and NIfTI.
"""

# ruff: noqa: T201
import importlib
import platform
import tempfile
from pathlib import Path

PACKAGES = """
    cv2 jinja2 matplotlib.pyplot monai nibabel numpy openpyxl pandas PIL.Image pydantic pydicom ruamel.yaml
    safetensors.torch scipy.ndimage sklearn.linear_model timm torch torch.utils.tensorboard torchvision tqdm typer
    typing_extensions
"""


def training_step(device):
    """The loss of a small network falls after a step, in mixed precision, on `device`."""
    import torch
    import torchvision

    torch.manual_seed(0)
    network = torchvision.models.resnet18(num_classes=2).to(device)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
    images, labels = torch.rand(4, 3, 64, 64, device=device), torch.tensor([0, 1, 0, 1], device=device)
    losses = []
    for _ in range(2):
        with torch.autocast(device, dtype=torch.bfloat16 if device == "cpu" else torch.float16):
            loss = torch.nn.functional.cross_entropy(network(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[1] < losses[0], losses


def dicom(path):
    """A gray image of 16 bits survives a DICOM file."""
    import numpy as np
    import pydicom

    pixels = np.arange(64, dtype=np.uint16).reshape(8, 8) * 1000
    meta = pydicom.dataset.FileMetaDataset()
    meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = pydicom.uid.UID("1.2.840.10008.5.1.4.1.1.7")
    meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    image = pydicom.dataset.FileDataset(str(path), {}, file_meta=meta, preamble=bytes(128))
    image.is_little_endian, image.is_implicit_VR = True, False
    image.SOPClassUID, image.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    image.Rows, image.Columns, image.SamplesPerPixel, image.PhotometricInterpretation = 8, 8, 1, "MONOCHROME2"
    image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 16, 15, 0
    image.PixelData = pixels.tobytes()
    image.save_as(path)
    assert (pydicom.dcmread(path).pixel_array == pixels).all()


def nifti(path):
    """A volume and its affine survive a NIfTI file."""
    import nibabel
    import numpy as np

    volume, affine = np.arange(60, dtype=np.int16).reshape(3, 4, 5), np.diag([1.0, 2.0, 3.0, 1.0])
    nibabel.save(nibabel.Nifti1Image(volume, affine), path)
    read = nibabel.load(path)
    assert (np.asarray(read.dataobj) == volume).all()
    assert (read.affine == affine).all()


def main():
    """Run all, and say what was found."""
    for name in PACKAGES.split():
        importlib.import_module(name)
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    training_step(device)
    with tempfile.TemporaryDirectory() as folder:
        dicom(Path(folder) / "image.dcm")
        nifti(Path(folder) / "volume.nii.gz")
    found = torch.cuda.get_device_name() if device == "cuda" else "CPU"
    versions = f"Python {platform.python_version()}, torch {torch.__version__}, CUDA {torch.version.cuda}"
    print(f"{versions}, on {found}: all right")


if __name__ == "__main__":
    main()
