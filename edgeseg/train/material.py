"""What a run learns from: pictures and rendered scenes with labels, a teacher, and pictures without labels."""

from __future__ import annotations

from edgeseg.data.check.before_training import refuse_unusable
from edgeseg.data.dataset import Dataset
from edgeseg.errors import DatasetError, InputError
from edgeseg.spec import ModelSpec
from edgeseg.train.config import TrainConfig
from edgeseg.train.data import SplitTensors, SyntheticTensors, check_classes
from edgeseg.train.machine import own_cores
from edgeseg.train.supply import Supply, open_supply
from edgeseg.train.teacher import Teacher, open_teacher
from edgeseg.train.unlabelled import open_unlabelled
from edgeseg.train.world import world


class Material:
    """All data of a run, looked through: what cannot be used is found now, not epochs later.

    Pictures that do not fit in memory are left for the steps, but for a few.

    Args:
        config: the recipe.
        dataset: what it trains on.
        spec: says how pictures come before the network.

    Attributes:
        train_set, val_set: the splits.
        scenes: rendered pictures beside the first.
        images: with labels, of both kinds.
        batch_size: of those in a batch, of all processes that train together, each of which has an equal share.
        pixels: (C,) int64, labelled pixels of each class in the training split.
        missing: names of the classes that no pixel of the validation split has.
        teacher: None for none.
        unlabelled: pictures without labels; None for none.

    Raises:
        DatasetError: a file cannot be used, or the data do not show a class that they name.
        InputError: what does not go together.
        ModelError: no such teacher, or one of other classes.
        SourceError: a video without labels that cannot be read.
    """

    def __init__(self, config: TrainConfig, dataset: Dataset, spec: ModelSpec) -> None:
        _check_alone(config)
        self._config = config
        self.train_set = SplitTensors(dataset, config.train_split, config.input_size, spec)
        beside = self.train_set.kept_bytes
        self.val_set = SplitTensors(dataset, config.val_split, config.input_size, spec, beside=beside)
        self.scenes = SyntheticTensors(dataset, config.synthetic_scenes, config.input_size, config.seed)
        self.images = len(self.train_set) + len(self.scenes)
        self.batch_size = _shared_evenly(config, self.images)
        if self.batch_size < 2:
            raise DatasetError(
                f"batches of one image cannot train batch normalisation ({self.images} images)",
                "Set batch_size to at least 2, and give two images or more",
            )
        if not world().local_rank:  # other processes of this machine read the same files
            used = {split.name: split.samples for split in (self.train_set, self.val_set)}
            refuse_unusable(sample for samples in used.values() for sample in samples)
        self.pixels = world().from_first(self.train_set.class_pixels)
        check_classes(self.train_set, self.pixels, self.scenes)
        in_val = world().from_first(self.val_set.class_pixels)
        self.missing = tuple(name for name, count in zip(dataset.names, in_val, strict=True) if not count)
        self.teacher = self._open_teacher(dataset)
        self.unlabelled = open_unlabelled(config, dataset)
        for split in (self.train_set, self.val_set):
            if split.cached or split is self.val_set:
                split.read_all()

    def supply(self, device_type: str) -> Supply:
        """What the steps take, prepared by as many processes as suit the device."""
        return open_supply(
            self._config,
            device_type,
            self.train_set,
            self.scenes,
            batch_size=self.batch_size,
            soft=self.teacher.soft if self.teacher is not None else None,
            unlabelled=self.unlabelled,
        )

    def close(self) -> None:
        """Free the teacher."""
        if self.teacher is not None:
            self.teacher.close()

    def _open_teacher(self, dataset: Dataset) -> Teacher | None:
        config = self._config
        if not config.teacher:
            return None
        images = [sample.image for sample in self.train_set.samples]
        teacher = open_teacher(str(config.teacher), dataset.names, images, threads=config.threads or own_cores())
        if teacher.soft is not None and config.fit != "stretch":
            what = f"{config.teacher} is of pictures that are stretched, and fit is {config.fit}"
            raise InputError(what, "Set fit to stretch, or name the teacher's own file")
        return teacher


def _check_alone(config: TrainConfig) -> None:
    """Raise InputError where several processes are asked for what one alone can do."""
    if not world().is_shared:
        return
    if config.qat:
        raise InputError("qat trains in one process", "Start it without torchrun")
    if config.unlabelled or config.tagged_split:
        what = "pictures without labels are learned from in one process"
        raise InputError(what, "Start it without torchrun, or leave out unlabelled and tagged_split")


def _shared_evenly(config: TrainConfig, images: int) -> int:
    """The size of a batch, which each process has an equal share of."""
    size = world().size
    if config.batch_size % size:
        what = f"batches of {config.batch_size} images cannot be shared evenly by {size} processes"
        raise InputError(what, f"Set batch_size to a multiple of {size}")
    return min(config.batch_size, images) // size * size
