"""Ground truth beside a source: a folder of label files matched with its frames."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgeseg.data.dataset import Dataset
from edgeseg.data.formats.base import LabelCoding
from edgeseg.data.formats.binary import MASKS, are_masks, told_as_masks
from edgeseg.data.image_files import index_by_stem, list_images
from edgeseg.errors import DatasetError
from edgeseg.spec import ModelSpec
from edgeseg.types import LabelsU8


class LabelFolder:
    """The label files of a folder: by stem for images, in natural order of name for the frames of a video.

    Args:
        folder: where the label files lie.
        coding: how their pixels become class indices.

    Raises:
        DatasetError: no such folder, empty, a foreign file in it, or two files of one stem.
    """

    def __init__(self, folder: str | Path, coding: LabelCoding) -> None:
        self.folder = Path(folder)
        self._coding = coding
        self._files = list_images(self.folder, coding.suffixes)
        self._by_stem = index_by_stem(self._files)

    @classmethod
    def for_model(cls, folder: str | Path, spec: ModelSpec) -> LabelFolder:
        """The folder read with the classes of a model; coded as its dataset.yaml says, where it belongs to one.

        For a model of two classes, labels of 0 and 255 and nothing else are masks.

        Raises:
            DatasetError: as above, or the data set has other classes than the model.
        """
        dataset = Dataset.find_above(Path(folder))
        if dataset is None:
            coding = LabelCoding(spec.num_classes, spec.label_ignore_index)
            undecided = spec.num_classes == 2 and spec.label_ignore_index is None
            if undecided and are_masks(list_images(Path(folder), coding.suffixes)):
                told_as_masks(f"the labels in {folder}")
                coding = MASKS
            return cls(folder, coding)
        if dataset.names != spec.class_names:
            raise DatasetError(
                f"{dataset.path} has the classes {', '.join(dataset.names)}, the model {', '.join(spec.class_names)}",
                "Use labels of the classes the model was trained on",
            )
        return cls(folder, dataset.coding)

    def __len__(self) -> int:
        return len(self._files)

    def match_stems(self, images: Sequence[Path]) -> None:
        """Raise DatasetError unless each image has a label file of its stem."""
        missing = [image.name for image in images if image.stem not in self._by_stem]
        if missing:
            raise DatasetError(
                f"{len(missing)} of {len(images)} images have no label in {self.folder}: "
                f"{', '.join(missing[:3])}{' …' if len(missing) > 3 else ''}",
                "Give each image a label file of the same stem",
            )

    def match_count(self, frame_count: int | None, where: str) -> None:
        """Raise DatasetError unless there is one label file for each of the frames announced."""
        if frame_count is not None and frame_count != len(self):
            raise DatasetError(
                f"{where} has {frame_count} frames, but {self.folder} holds {len(self)} label files",
                "Give each frame one label file; the n-th by name belongs to the n-th frame",
            )

    def of_image(self, image: Path, size: tuple[int, int]) -> LabelsU8:
        """The labels of the image of that stem: (H, W) uint8, 255 = no label; ``size`` is its (height, width).

        Raises:
            DatasetError: none of that stem, unreadable, outside the classes, or of another size.
        """
        self.match_stems([image])
        return self._read(self._by_stem[image.stem], size, str(image))

    def of_frame(self, index: int, size: tuple[int, int], where: str) -> LabelsU8:
        """The labels of the frame of that index, as :meth:`of_image`; ``where`` names the video in messages."""
        if index >= len(self):
            raise DatasetError(
                f"{where} has more frames than the {len(self)} label files in {self.folder}",
                "Give each frame one label file",
            )
        return self._read(self._files[index], size, f"frame {index} of {where}")

    def _read(self, file: Path, size: tuple[int, int], what: str) -> LabelsU8:
        labels = self._coding.read(file)
        if labels.shape != size:
            raise DatasetError(
                f"{what} is {size[1]}x{size[0]} but its label {file} is {labels.shape[1]}x{labels.shape[0]}",
                "Make both the same size",
            )
        return labels
