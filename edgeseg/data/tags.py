"""Tags: which classes are in a picture, for pictures whose pixels nobody has labelled.

splits:
  seen: {images: more/images, tags: more/tags.csv}        # in a dataset.yaml; include: ["drive2_*"] as elsewhere

A line of the file is a picture's name, with or without its suffix, and the classes that are in it, each once:

0001.jpg,road,car
0002.jpg,road

A class that is not named is not in the picture.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgeseg.data.image_files import MOVE_OUT, index_by_stem, list_images
from edgeseg.errors import DatasetError

_MOST_BYTES = 64 << 20
_LONGEST_LINE = 1 << 16


@dataclass(frozen=True)
class TaggedPicture:
    """One image file and the indices of the classes in it."""

    image: Path
    classes: frozenset[int]


@dataclass(frozen=True)
class TaggedSplit:
    """Where the pictures of a split lie, and the file that says what is in them.

    Attributes:
        images: their folder.
        tags: the file.
        names: of the data set's classes.
        include: patterns of file names.
    """

    images: Path
    tags: Path
    names: tuple[str, ...]
    include: tuple[str, ...] = ("*",)

    def files(self) -> list[Path]:
        """The images, in natural order.

        Raises:
            DatasetError: folder missing or empty, or two files of one stem.
        """
        images = list_images(self.images, include=self.include, remedy=f"{MOVE_OUT}, or choose files with 'include'")
        index_by_stem(images)
        return images

    def pictures(self) -> list[TaggedPicture]:
        """Images with their tags, in natural order.

        Raises:
            DatasetError: as :meth:`files`; or the tags cannot be read, leave out a picture, name one twice, or name
                what is no class.
        """
        images = self.files()
        tags = read_tags(self.tags, self.names)
        missing = [path.name for path in images if path.stem not in tags]
        if missing:
            raise DatasetError(
                f"{self.tags} has no line for {len(missing)} of {len(images)} images in {self.images}: "
                f"{', '.join(missing[:3])}{' …' if len(missing) > 3 else ''}",
                "Add them, or choose images with 'include'",
            )
        return [TaggedPicture(path, tags[path.stem]) for path in images]


def read_tags(path: Path, names: Sequence[str]) -> dict[str, frozenset[int]]:
    """The indices of the classes in each picture, by its name without suffix.

    Raises:
        DatasetError: not there, larger than 64 MiB, no CSV in UTF-8, a picture twice or without a class, or a name that
            is no class.
    """
    tags: dict[str, frozenset[int]] = {}
    try:
        if os.path.exists(path) and not os.path.isfile(path):
            raise DatasetError(f"{path} is not a file", "Correct 'tags'")
        if os.path.getsize(path) > _MOST_BYTES:
            raise DatasetError(f"{path} is larger than {_MOST_BYTES >> 20} MiB", "Split it")
        with path.open(encoding="utf-8-sig", newline="") as file:
            for number, row in enumerate(csv.reader(file), 1):
                cells = [cell.strip() for cell in row]
                if not any(cells):
                    continue
                where = f"line {number} of {path}"
                stem, classes = Path(cells[0]).stem, [cell for cell in cells[1:] if cell]
                if sum(map(len, cells)) > _LONGEST_LINE or not stem:
                    raise DatasetError(f"{where} does not begin with a picture's name", "Correct it")
                unknown = next((name for name in classes if name not in names), None)
                if unknown is not None:
                    raise DatasetError(f"{where} has the class {unknown!r:.80}", f"Use {', '.join(names)}")
                if not classes or stem in tags:
                    what = "comes a second time" if stem in tags else "has no class"
                    raise DatasetError(f"{where}: {stem!r:.80} {what}", "Name each picture once, with its classes")
                tags[stem] = frozenset(names.index(name) for name in classes)
    except FileNotFoundError:
        raise DatasetError(f"there are no tags {path}", "Correct the path") from None
    except OSError as error:
        raise DatasetError(f"{path} cannot be read ({error.strerror})", "Correct the path") from None
    except (csv.Error, UnicodeDecodeError) as error:
        raise DatasetError(f"{path} is no table of tags ({error})", "Save it as CSV in UTF-8") from None
    return tags
