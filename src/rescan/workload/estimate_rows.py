"""What the jobs of studies take together: hours, memory, disk; and a table of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from rescan.workload.jobs import Job, Jobs
from rescan.workload.rates import Rates

BEFORE, AFTER = ("download", "index", "audit", "split", "preprocess"), ("compare", "report")
CUDA_MB = 1000  # of a GPU's memory, for libraries and the allocator
COUNTED = {
    "counted": "counted",
    "phantom": "of the phantom",
    "expected": "as the study file expects",
    "files": "a sample per image file",
    "published": "the whole published data set",
    "guessed": "GUESSED: nobody has counted them yet",
}
COLUMNS = ("trainings", "images", "GPU hours", "core hours", "memory", "GPU memory", "disk")


@dataclass(frozen=True)
class Machine:
    """What jobs run on.

    Attributes:
        rates: How fast it is.
        cores: How many.
        gpus: How many jobs of networks run on GPUs at once; 0: they run on cores.
        threads: Of such a job, if it runs on cores.
    """

    rates: Rates
    cores: int
    gpus: int
    threads: int


@dataclass(frozen=True)
class Amounts:
    """What some jobs take together.

    Attributes:
        trainings: How many of them are trainings.
        images: That trainings see, one after the other.
        gpu_seconds: Of GPUs.
        core_seconds: Of jobs without a GPU, each on its core or cores.
        longest: Seconds of the longest job.
        memory_mb: The largest peak of a job.
        gpu_mb: The same on a GPU.
        disk_mb: What stays on the disk.
    """

    trainings: int
    images: float
    gpu_seconds: float
    core_seconds: float
    longest: float
    memory_mb: float
    gpu_mb: float
    disk_mb: float


def amounts(jobs: Iterable[Job], machine: Machine) -> Amounts:
    """Add up the jobs."""
    listed = list(jobs)
    works = [job.work for job in listed]
    on_gpu = [work.on_gpu and machine.gpus > 0 for work in works]
    seconds = [machine.rates.seconds(work) for work in works]
    memory = [work.peak_mb(machine.cores, gpus=machine.gpus > 0) for work in works]
    # A job that shares its decoding among processes takes as many cores for a shorter time.
    lengths = [machine.rates.seconds(work, machine.cores) for work in works]
    return Amounts(
        trainings=sum(job.rule in ("train", "pretrain") for job in listed),
        images=sum(work.images for work in works),
        gpu_seconds=sum(own for own, gpu in zip(seconds, on_gpu) if gpu),
        core_seconds=sum(own for own, gpu in zip(seconds, on_gpu) if not gpu),
        longest=max(lengths, default=0.0),
        memory_mb=max(memory, default=0.0),
        gpu_mb=max((work.gpu_mb for work, gpu in zip(works, on_gpu) if gpu), default=0.0),
        disk_mb=sum(work.disk_mb for work in works),
    )


def wall_seconds(jobs: Iterable[Job], machine: Machine) -> float:
    """How long the jobs take side by side: what comes before trainings, trainings and all that reads them, the rest."""
    listed = list(jobs)
    before = [machine.rates.seconds(job.work, machine.cores) for job in listed if job.rule in BEFORE]
    after = sum(machine.rates.seconds(job.work) for job in listed if job.rule in AFTER)
    middle = amounts((job for job in listed if job.rule not in (*BEFORE, *AFTER)), machine)
    at_once = machine.cores if machine.gpus else max(1, machine.cores // machine.threads)
    both = [middle.core_seconds / at_once, middle.gpu_seconds / max(1, machine.gpus), middle.longest]
    return sum(before) + max(both) + after


def table(studies: Sequence[Jobs], machine: Machine) -> Iterator[str]:
    """Yield the lines of a table: a part per study with a row per arm, and what all take."""
    everything: list[Job] = []
    width = max(
        len(arm) for jobs in studies for arm in [*jobs.study.arms, *jobs.study.autoencoders, "data, comparison"]
    )
    for jobs in studies:
        own = list(jobs.all_jobs())
        everything += own
        sizes = [
            f"{origin or 'its own data'}: {size.samples:,} samples ({COUNTED[size.known]})"
            for origin, size in jobs.sizes.items()
        ]
        yield f"{jobs.study.name}, {jobs.study.scale}; {'; '.join(sizes)}"
        yield f"  {'':{width}}" + "".join(f"{column:>12}" for column in COLUMNS)
        for name in dict.fromkeys(job.of for job in own):
            of_name = (job for job in own if job.of == name)
            yield f"  {name or 'data, comparison':{width}}" + _cells(amounts(of_name, machine))
        yield f"  {'together':{width}}" + _cells(amounts(own, machine))
        yield ""
    together = amounts(everything, machine)
    there = machine.rates.gpu_mb
    large = dict.fromkeys(job.of for job in everything if 0 < there < job.work.gpu_mb + CUDA_MB)
    yield f"  {'all studies':{width}}" + _cells(together)
    gpus = f" and {machine.gpus} GPU{'s' * (machine.gpus > 1)}" if machine.gpus else ""
    yield ""
    wall, trainings = duration(wall_seconds(everything, machine)), trainings_of(together.trainings)
    yield (
        f"With {machine.cores} core{'s' * (machine.cores > 1)}{gpus}: about {wall}, {trainings}, "
        f"{size_of(together.disk_mb)} of disk."
    )
    if large:
        yield f"More memory than the GPU has: {', '.join(large)}; lower batch_size, or add checkpointing: true."


def trainings_of(number: int) -> str:
    """A number of trainings in words."""
    return "1 training" if number == 1 else f"{number:,} trainings"


def duration(seconds: float) -> str:
    """Seconds in words."""
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.3g} {unit}" if seconds < 100 * length else f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} seconds"


def size_of(megabytes: float) -> str:
    """Megabytes, or kilobytes or gigabytes where these are handier."""
    if 0 < megabytes < 1:
        return f"{megabytes * 1000:.0f} kB"
    return f"{megabytes:.0f} MB" if megabytes < 1000 else f"{megabytes / 1000:.3g} GB"


def _cells(own: Amounts) -> str:
    texts = (
        f"{own.trainings}" if own.trainings else "",
        _count(own.images) if own.images else "",
        f"{own.gpu_seconds / 3600:.3g}" if own.gpu_seconds else "",
        f"{own.core_seconds / 3600:.3g}",
        size_of(own.memory_mb),
        size_of(own.gpu_mb) if own.gpu_mb else "",
        size_of(own.disk_mb),
    )
    return "".join(f"{text:>12}" for text in texts)


def _count(number: float) -> str:
    return f"{number:,.0f}" if number < 1e5 else f"{number / 1e6:.3g} M"
