"""What each step learns from: a batch with labels and, where there are pictures without, a batch of those beside it."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor
from torch.utils.data import ConcatDataset

from edgeseg.train.augment import Augmented
from edgeseg.train.batches import Batches
from edgeseg.train.config import TrainConfig
from edgeseg.train.data import SplitTensors, SyntheticTensors
from edgeseg.train.machine import own_cores, shared_memory_bytes, workers_for
from edgeseg.train.picture_cache import Pair
from edgeseg.train.rare import ClassIndex
from edgeseg.train.soft_pictures import SoftPictures
from edgeseg.train.unlabelled import UnlabelledPictures, UnlabelledViews, Views
from edgeseg.train.world import world

_APART = 1 << 40
"""Between the seeds of both: no epoch of one is drawn as an epoch of the other."""


Part = tuple[tuple[Tensor, ...], Views | None]
"""A batch of :class:`edgeseg.train.augment.Augmented`, and the views that are learned from beside it."""


class Supply:
    """An endless supply of epochs, whose length is that of the pictures with labels.

    Args:
        labelled: batches of them.
        unlabelled: of the others, as many as of the first or more; None where there are none.
    """

    def __init__(self, labelled: Batches, unlabelled: Batches | None) -> None:
        self._labelled = labelled
        self._unlabelled = unlabelled

    def __len__(self) -> int:
        return len(self._labelled)

    def close(self) -> None:
        """End the processes that prepare them."""
        self._labelled.close()
        if self._unlabelled is not None:
            self._unlabelled.close()

    def epoch(self, seed: int) -> Iterator[Part]:
        """What one pass is made of, as the seed says.

        Raises:
            EdgesegError, RuntimeError: as :meth:`edgeseg.train.batches.Batches.epoch`.
        """
        if self._unlabelled is None:
            for batch in self._labelled.epoch(seed):
                yield batch, None
            return
        views = self._unlabelled.epoch(seed + _APART)
        for batch in self._labelled.epoch(seed):
            yield batch, Views(*next(views))
        next(views, None)  # its end, at which processes are ready for the next epoch


def open_supply(
    config: TrainConfig,
    device_type: str,
    pictures: SplitTensors,
    scenes: SyntheticTensors,
    *,
    batch_size: int,
    soft: SoftPictures | None = None,
    unlabelled: UnlabelledPictures | None = None,
) -> Supply:
    """The supply of a run, with as many processes as suit the device.

    Args:
        config: how samples are augmented, and whether there is a teacher.
        device_type: ``cpu``, ``cuda``, …
        pictures: with labels.
        scenes: rendered ones beside them.
        batch_size: of pictures with labels, over all processes that train together.
        soft: what the teacher has said of ``pictures`` before.
        unlabelled: pictures without labels; None for none.
    """

    def workers(count: int, in_memory: bool) -> int:
        height, width = config.crop_size
        return workers_for(
            device_type,
            config.threads or own_cores(),
            in_memory=in_memory,
            batch_bytes=4 * height * width * count // world().size,
            shared_bytes=shared_memory_bytes() // world().local_size,
        )

    samples: ConcatDataset[Pair] = ConcatDataset([pictures, *([scenes] if len(scenes) else [])])
    processes = workers(batch_size, pictures.cached)
    if processes:
        scenes.render_all()  # once, not in each process
    index = None
    if config.class_uniform or config.copy_paste:
        index = ClassIndex(world().from_first(pictures.class_pixels_of_each))
    augmented = Augmented(samples, len(samples), config, index=index, taught=bool(config.teacher), soft=soft)
    pinned = device_type == "cuda"
    labelled = Batches(augmented, batch_size, workers=processes, pinned=pinned)
    if unlabelled is None:
        return Supply(labelled, None)
    count = max(1, round(config.unlabelled_ratio * batch_size))
    views = UnlabelledViews(unlabelled.pictures, len(unlabelled.pictures), config)
    processes = workers(2 * count, unlabelled.cached)
    draws = count * len(labelled)
    return Supply(labelled, Batches(views, count, workers=processes, pinned=pinned, draws=draws))
