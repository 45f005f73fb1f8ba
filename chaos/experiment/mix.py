"""The mix that a trial needs to be HELD: its limits, and which settings of a workload make it impossible.

`chaos.checks.conditions.mix` counts it in the history; here the same limits are held against the numbers that the
workload is drawn from, as `chaos.workload.generator` draws it.
"""

from __future__ import annotations

import math
from typing import Final

from chaos.experiment.plan import Workload

UPDATES_MIN: Final = 0.25
DELETES_MIN: Final = 0.05
CONTENDED_MIN: Final = 0.10
PHOTOS_MIN: Final = 0.05
FULL_RESETS_MIN: Final = 1
PHOTO_BYTES_MIN: Final = 50_000
PHOTO_BYTES_MAX: Final = 2 << 20
PHOTO_SIZES: Final = "50 KB to 2 MB"
PHOTOS: Final = "photos"
RESETS: Final = "resets"
"""What a workload may do without: one that says `photos: 0` or `resets: 0` has none, and needs none."""
PHOTO_CREATES: Final = 0.75
"""Of the photos that are written, so many are creates; the others replace one."""


def mix_without(workload: Workload) -> tuple[str, ...]:
    """Of photos and resets those that the workload does not have."""
    return tuple(name for name, given in ((PHOTOS, workload.photos), (RESETS, workload.resets)) if not given)


def too_thin(workload: Workload) -> list[str]:
    """Why a trial of this workload can hardly have the mix, one line each."""
    shares = (
        ("updates", workload.updates, UPDATES_MIN),
        ("deletes", workload.deletes, DELETES_MIN),
        ("contended", workload.contended, CONTENDED_MIN),
    )
    found = [f"{name} {given:g} is below {least:g}" for name, given, least in shares if given < least]
    if workload.devices_per_user < 2:
        found.append("devices_per_user 1 leaves no two phones that could contend for a record")
    counted = photo_share(workload)
    if PHOTOS not in mix_without(workload) and counted < PHOTOS_MIN:
        sizes = f"photo_bytes_min {workload.photo_bytes_min:,}, photo_bytes_max {workload.photo_bytes_max:,}"
        found.append(
            f"photos {workload.photos:g} ({sizes}) make {counted:.1%} of the creates photos of {PHOTO_SIZES}, "
            f"below {PHOTOS_MIN:.0%}"
        )
    return found


def photo_share(workload: Workload) -> float:
    """The share of the creates that may be expected to make a photo of a size that counts."""
    creates = 1 - workload.updates - workload.deletes
    photos = min(1.0, PHOTO_CREATES * workload.photos / creates) if creates > 0 else 0.0
    return photos * (_share_up_to(PHOTO_BYTES_MAX, workload) - _share_up_to(PHOTO_BYTES_MIN - 1, workload))


def _share_up_to(size: int, workload: Workload) -> float:
    """The share of photos that are drawn no larger: they are `min * (max / min) ** u**2`, u uniform from 0 to 1."""
    least, most = workload.photo_bytes_min, workload.photo_bytes_max
    if size < least:
        return 0.0
    if size >= most:
        return 1.0
    return math.sqrt(math.log((size + 1) / least) / math.log(most / least))
