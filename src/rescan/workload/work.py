"""What a job has to do, in units that do not depend on the machine."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Work:
    """The work of a job.

    Attributes:
        on_gpu: Whether a GPU does it, where there is one.
        with_torch: Whether it starts with torch.
        dimensions: Of the network's inputs, 2 or 3.
        images: That a training sees, one after the other.
        launches: Layers that are run, forward or backward.
        multiply_adds: Of networks.
        numbers: Of activations, each written once and read again, as by a forward and a backward pass.
        upsampled: Numbers that decoders upsample and convolve, forward and backward.
        megapixels: Of source images that are decoded and prepared; processes share them.
        seconds: All else, on one core of the machine that NOMINAL describes.
        memory_mb: Peak memory of the job; that of each process of a pool comes on top.
        process_mb: Peak memory of each process of a pool.
        gpu_mb: Peak memory on a GPU.
        disk_mb: What it writes.
        scratch_mb: What it writes and removes again.
    """

    on_gpu: bool = False
    with_torch: bool = False
    dimensions: int = 2
    images: float = 0.0
    launches: float = 0.0
    multiply_adds: float = 0.0
    numbers: float = 0.0
    upsampled: float = 0.0
    megapixels: float = 0.0
    seconds: float = 0.0
    memory_mb: float = 1000.0
    process_mb: float = 0.0
    gpu_mb: float = 0.0
    disk_mb: float = 0.0
    scratch_mb: float = 0.0

    def peak_mb(self, processes: int, *, gpus: bool) -> float:
        """Peak memory of the machine, with a number of processes in a pool, and with or without GPUs."""
        return self.memory_mb + self.process_mb * processes + (0 if self.on_gpu and gpus else self.gpu_mb)
