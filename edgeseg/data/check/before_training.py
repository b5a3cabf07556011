"""What must be right before a training begins, as far as it shows without decoding a picture."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from edgeseg._native import available_cores
from edgeseg.data.check.findings import Finding, gathered
from edgeseg.data.check.headers import compared, label_header
from edgeseg.data.pictures import read_picture_header
from edgeseg.data.samples import Sample
from edgeseg.errors import DatasetError


def refuse_unusable(samples: Iterable[Sample]) -> None:
    """Refuse data that would end a training later: unpaired, damaged or of other sizes than their labels.

    All headers are read, no picture is decoded. :func:`edgeseg.data.check.run.check` finds more.

    Args:
        samples: what is trained and evaluated on.

    Raises:
        DatasetError: the first file with a fault, and how many more have the same.
    """
    threads = ThreadPoolExecutor(available_cores())
    try:
        found = [finding for finding in threads.map(_fault, samples) if finding and finding.severity == "error"]
    finally:
        threads.shutdown(cancel_futures=True)
    if found:
        worst = gathered(found)[0]
        more = f" (and {worst.count - 1} more like it: edgeseg data check)" if worst.count > 1 else ""
        raise DatasetError(f"{worst.what}{more}", worst.remedy)


def _fault(sample: Sample) -> Finding | None:
    image = read_picture_header(sample.image)
    if not sample.label.exists():  # a format may do without where there is nothing to say of a picture
        return None
    label = label_header(sample)
    return None if label is None else compared(sample, image, label)
