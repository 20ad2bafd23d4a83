"""Opening a bundle: the one file of a trained arm that `rescan bundle` makes, as the arm's folder that it holds."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from rescan.data.sources.archives import BROKEN, extract
from rescan.data.sources.members import is_zip, members
from rescan.errors import RescanError, shown
from rescan.files import sha256
from rescan.named_files import is_folder, regular
from rescan.onnx_networks import NAME as ONNX
from rescan.onnx_networks import read_header
from rescan.paths import ArmFolder
from rescan.results.bundle_file import LARGEST, Bundle, check_format
from rescan.results.posttraining import Posttraining
from rescan.results.trained_model import header_of, model_checksum
from rescan.temporary_folders import temporary_folder

CONTENT = "bundle.json"
PREFIX = "rescan-bundle-"  # of folders for what is in a bundle
CARD = "MODEL_CARD.md"
KINDS = (".json", ".md", ".onnx", ".safetensors")  # of files: nothing in them runs
MOST_RATIO, SMALL = 20, 100_000_000  # bytes: weights that were trained hardly pack
AGAIN = "get it again from who made it"
# What the messages of steps say that is to be done.
OF_MAKER = re.compile(r"; (delete it and )?run \w+ (again|first)$|; export the arm with --format onnx again$", re.M)


@contextmanager
def opened(path: Path) -> Iterator[Path]:
    """Yield the folder of an arm: that itself, or, of a bundle, a checked copy of its content while the block lasts.

    Args:
        path: An arm's folder, or a bundle.

    Yields:
        The folder, laid out as an arm's. What the block raises about a file in the copy names the bundle instead.

    Raises:
        RescanError: There is neither; or the bundle is damaged, of a newer format, larger than the free space, lacks a
            file or holds another one, or a network in it is not of its arm.
    """
    if is_folder(path):
        yield path
        return
    bundle = regular(path, remedy="give the folder of an arm that was run to its end, or a bundle")
    if not is_zip(bundle):
        raise RescanError(f"{shown(path)}: is no bundle; give an arm's folder, or a file that `rescan bundle` made")
    with temporary_folder(PREFIX) as temporary:
        folder = temporary / bundle.name  # which stands in messages, too
        try:
            content = _content(bundle)
            extract(bundle, folder)
            _check(folder, content)
            yield folder
        except RescanError as error:
            text = OF_MAKER.sub(f"; {AGAIN}", str(error))  # who has only the bundle cannot run a step
            raise RescanError(text.replace(str(folder), shown(path))) from error


def check_apart(model: Path, *outputs: Path | None) -> None:
    """Refuse outputs that are the model that is read, or lie in its folder, whose files they could replace.

    Raises:
        RescanError: One is, or does.
    """
    place = Path(os.path.realpath(model))
    for out in filter(None, outputs):
        real = Path(os.path.realpath(out))
        if real == place or place in real.parents:
            raise RescanError(f"{shown(out)}: is the model that is read, or lies in its folder; give another place")


def _content(bundle: Path) -> Bundle:
    """What a bundle says that it holds, if that is what lies in it.

    Raises:
        RescanError: It holds something else, or says nothing.
    """
    try:
        found, text = {}, b""
        for member in members(bundle):
            if member.name == CONTENT and member.size <= LARGEST:
                with member.open() as stream:
                    text = stream.read(LARGEST)
            else:
                found[member.name] = member
    except (*BROKEN, OSError) as error:
        raise RescanError(
            f"{bundle}: not a whole zip archive ({' '.join(str(error).split())[:100]}); {AGAIN}"
        ) from None
    if not text:
        raise RescanError(f"{bundle}: holds no {CONTENT}; give a file that `rescan bundle` made")
    place = f"{bundle}/{CONTENT}"
    check_format(place, text)
    content = Bundle.parse(text, place)
    held = sum(member.size for member in found.values())
    if held > max(SMALL, MOST_RATIO * bundle.stat().st_size):
        raise RescanError(f"{bundle}: holds {held / 1e6:.0f} MB, over {MOST_RATIO} times its own size; {AGAIN}")
    lost = sorted({*content.files, PurePosixPath(ArmFolder(".").posttraining).name} - set(found))
    if lost:
        raise RescanError(f"{bundle}: {lost[0]} is missing; {AGAIN}")
    for name, member in found.items():
        own = content.files.get(name)
        if own is None or member.kind != "file" or not name.endswith(KINDS):
            what = f"which {CONTENT} does not name" if own is None else f"not a {', '.join(KINDS)} file"
            raise RescanError(f"{bundle}: holds {name[:100]!a}, {what}; {AGAIN}")
        if own.bytes != member.size:
            raise RescanError(f"{bundle}: {name} has {member.size} bytes, not {own.bytes}; {AGAIN}")
    return content


def _check(folder: Path, content: Bundle) -> None:
    """Refuse files that are not as they were written, and networks that are not of the bundle's arm."""
    for name, file in content.files.items():
        if sha256(folder / name) != file.sha256:
            raise RescanError(f"{folder / name}: is not as it was written; {AGAIN}")
    named = [entry.file for entry in Posttraining.read(ArmFolder(folder).posttraining).models]
    if named != [network.file for network in content.networks]:
        raise RescanError(f"{ArmFolder(folder).posttraining}: names other networks than {CONTENT}; {AGAIN}")
    for network in content.networks:
        if network.file not in content.files:
            raise RescanError(f"{folder / network.file}: is missing; {AGAIN}")
        trained = folder / network.file
        onnx = trained.with_name(ONNX)
        if onnx.is_file() and read_header(onnx)[1] != (model_checksum(trained) or ""):
            raise RescanError(f"{onnx}: was made from another model than {trained.name} beside it; {AGAIN}")
        header = header_of(trained)
        expected = {"study": content.study, "scale": content.scale, "classes": content.classes}
        for key, value in {**expected, **network.model_dump(exclude={"file"})}.items():
            if (found := getattr(header, key)) != value:
                raise RescanError(f"{folder / network.file}: is of {key} {found!r}, not of {value!r}; {AGAIN}")
