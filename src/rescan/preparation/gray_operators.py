"""Operators that make gray levels of values in other units; see `scan_operators`."""

from __future__ import annotations

import numpy as np

from rescan.data.readers.display import levels, without_gaps
from rescan.preparation.image_operators import CannotPrepare
from rescan.preparation.scan_operators import Scan


def clip_percentiles(scan: Scan, low: float = 5.0, high: float = 99.9) -> Scan:
    """Set values below a percentile to 0, cap them at another, and scale from the least to the greatest to 0–255.

    The percentiles are of the voxels that are not 0 and have a value. Follows the published code of the OCTA-500 study.
    In a source with negative values 0 can be brighter than the lower percentile: then what is below is set to that.

    Args:
        scan: The scan.
        low: Percentile, 0–100.
        high: Percentile, above `low`.

    Raises:
        CannotPrepare: All voxels are equal, or those that are not 0 are.
    """
    nonzero = scan.values[scan.values != 0]
    nonzero = nonzero[~np.isnan(nonzero)] if nonzero.dtype.kind == "f" else nonzero
    if not nonzero.size:
        raise CannotPrepare("constant: every voxel is 0")
    least, most = (float(bound) for bound in np.percentile(nonzero, [low, high]))
    if not least < most:
        raise CannotPrepare(f"constant: percentiles {low:g} and {high:g} are both {least:.4g}")
    clipped = scan.values.astype(np.float32)
    clipped[clipped < least] = min(0.0, least)
    return _scale(scan, clipped, float(np.nanmin(clipped)), most)


def window(scan: Scan, low: float = -1000.0, high: float = 400.0) -> Scan:
    """Scale a fixed window to 0–255; what lies outside becomes 0 or 255.

    Args:
        scan: The scan.
        low: What becomes 0, in the source's units (CT: Hounsfield units).
        high: What becomes 255.
    """
    if scan.window is not None:  # values are gray levels of another window
        start, scale = scan.window[0], 255 / (scan.window[1] - scan.window[0])
        low, high = (low - start) * scale, (high - start) * scale
    return _scale(scan, scan.values.astype(np.float32), low, high)


def file_window(scan: Scan, explanation: str = "") -> Scan:
    """Show values as their DICOM file asks: by its lookup table, else by its window; 8-bit values without one stay.

    Args:
        scan: The scan.
        explanation: What the file calls the table or window; by default it is the file's first one.

    Raises:
        CannotPrepare: The file has none, or none called so.
    """
    if not scan.views and scan.values.dtype == np.uint8 and not explanation:
        return scan
    names = [view.name.casefold() for view in scan.views]
    if not names or (explanation and explanation.casefold() not in names):
        known = ", ".join(repr(view.name) for view in scan.views) or "none"
        wanted = f" called {explanation!r}" if explanation else ""
        raise CannotPrepare(f"its file has no window{wanted} (it has: {known}); use window or clip_percentiles")
    view = scan.views[names.index(explanation.casefold()) if explanation else 0]
    high = view.high if view.high > view.low else view.low + 1.0
    return scan._replace(values=levels(scan.values, view), window=(view.low, high), views=())


def _scale(scan: Scan, values: np.ndarray, low: float, high: float) -> Scan:
    """Gray levels from `low` and `high`, in the units of the scan's values, which are clipped in place."""
    start, scale = (0.0, 1.0) if scan.window is None else (scan.window[0], (scan.window[1] - scan.window[0]) / 255)
    np.clip(values, low, high, out=values)
    values -= np.float32(low)
    values *= np.float32(255 / (high - low))
    window = start + low * scale, start + high * scale
    return scan._replace(values=without_gaps(values, scan.values), window=window, views=())
