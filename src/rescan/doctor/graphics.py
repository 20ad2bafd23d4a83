"""What `rescan doctor` says of the GPUs: whether card, driver and torch fit, how full they are, who uses them."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator, Sequence

from rescan.doctor.fitting import Build, advice, fault
from rescan.training import cards
from rescan.training.lease import VISIBLE


def gpu_findings() -> Iterator[tuple[str, str]]:
    """Yield what there is to say of each GPU, and what to do; CUDA is started only if the driver is too old to ask."""
    here = cards.cards()
    if not here:
        yield "GPU", f"none; {cards.why_none()}. Trainings run on the CPU"
        return
    rows = cards.query("index", "uuid", "name", "driver_version")
    if rows:
        yield from _of_each(rows, here)
    else:  # an nvidia-smi that hangs is not asked for more
        yield "GPU", f"{len(here)} in /dev, of which nothing is known: {cards.why_none()}"
    if VISIBLE in os.environ:
        chosen = cards.visible(os.environ[VISIBLE], here)
        names = ", ".join(map(str, chosen)) or "none: trainings run on the CPU; unset it"
        yield VISIBLE, f"{os.environ[VISIBLE]!r} leaves {names}"


def _of_each(rows: Sequence[Sequence[str]], here: Sequence[cards.Card]) -> Iterator[tuple[str, str]]:
    """Yield what there is to say of each GPU.

    Args:
        rows: Number, UUID, model and driver of each.
        here: The cards; of a GPU that is divided, its instances.
    """
    build = installed()
    memories, capabilities = cards.memories(), _capabilities()
    divided = {uuid for uuid, mode in cards.query("uuid", "mig.mode.current") if mode == "Enabled"}
    users = list(cards.users())
    for number, uuid, model, driver in rows:
        name, capability = f"GPU {number}", capabilities.get(uuid)
        known = "unknown" if capability is None else ".".join(map(str, capability))
        memory = f", {memories[uuid]}" if uuid in memories else ""
        yield name, f"{model}, compute capability {known}, driver {driver}{memory}"
        yield name, _fit(capability, driver, build)
        instances = [card for card in here if str(card.number) == number and card.name.startswith("MIG-")]
        if instances:
            yield name, f"is divided into {len(instances)} instances (MIG); each training gets one"
        elif uuid in divided:
            yield name, "is in MIG mode without an instance, so nothing can use it: make one (nvidia-smi mig -cgi …)"
        elif uuid in memories and memories[uuid].full:
            yield name, "is full: trainings take another one, or wait ten minutes and then give up"
        yield from ((name, f"is used by {user.partition(': ')[2]}") for user in users if user.startswith(uuid))


def installed() -> Build | None:
    """The torch of this environment; None if there is none."""
    if importlib.util.find_spec("torch") is None:
        return None
    import torch

    cuda, kernels = torch.version.cuda or "", torch.cuda.get_arch_list()
    if cuda and not kernels:  # older versions tell them only where a GPU is usable
        kernels = (torch._C._cuda_getArchFlags() or "").split()  # noqa: SLF001
    return Build(f"torch {torch.__version__}", cuda, kernels)


def _fit(capability: tuple[int, int] | None, driver: str, build: Build | None) -> str:
    if build is None:
        return f"there is no torch in this environment; in a container, {advice(capability, driver)}"
    against = fault(capability, driver, build)
    if against is None:
        return f"fits {build.name} (CUDA {build.cuda}) here; in a container, {advice(capability, driver)}"
    return f"{against}: {advice(capability, driver)}"


def _capabilities() -> dict[str, tuple[int, int]]:
    """The compute capabilities by UUID: nvidia-smi's or, with drivers before 510, torch's."""
    rows: Sequence[Sequence[str]] = cards.query("uuid", "compute_cap")
    if not rows and importlib.util.find_spec("torch") is not None:
        os.environ["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"
        import torch

        if VISIBLE not in os.environ and torch.cuda.is_available():
            uuids = [row[0] for row in cards.query("uuid")][: torch.cuda.device_count()]
            return {uuid: torch.cuda.get_device_capability(number) for number, uuid in enumerate(uuids)}
    found = [(uuid, capability.split(".")) for uuid, capability in rows]  # `[N/A]` is none
    return {
        uuid: (int(parts[0]), int(parts[1]))
        for uuid, parts in found
        if len(parts) == 2 and all(map(str.isdecimal, parts))
    }
