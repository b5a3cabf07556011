"""JSON lines: one object a frame, for programs. ``docs/results.md`` explains the keys, beside the schema."""

from __future__ import annotations

import json
import os
import stat
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, get_args

from edgeseg.errors import InputError, SinkError
from edgeseg.files.whole import cannot_write, check_writable
from edgeseg.run_config import Masks, RunConfig
from edgeseg.types import Result, Segmentation
from edgeseg.video.sinks.base import ReaderGone
from edgeseg.video.sinks.coco_masks import polygon_masks, run_length_masks
from edgeseg.video.sinks.per_stream import Streams

SCHEMA_VERSION = 1
"""Goes up when a key changes its meaning or goes away; keys may be added within a version."""

_STDOUT = 1


class JsonLinesSink:
    """A line of JSON for each frame, written at once.

    The file is begun with the first frame: a run without frames leaves none, and leaves an older one alone. A write
    that fails leaves whole lines. When the reader of a pipe goes away, the output ends, and with it a run that has no
    other.

    Args:
        path: file or named pipe in a folder that exists; ``-`` for standard output.
        masks: whether lines hold the mask of each class, and how: ``rle`` for COCO's compressed run lengths,
            ``polygons`` for COCO's polygons.

    Attributes:
        outputs: the path.

    Raises:
        SinkError: no such folder, or not writable.
        InputError: masks is none of these.
    """

    def __init__(self, path: str | Path, *, masks: Masks = "none") -> None:
        self._path = Path(path)
        self.outputs = (Path("/dev/stdout") if str(path) == "-" else self._path,)
        self._name = "standard output" if str(path) == "-" else str(path)
        self._masks: Masks = masks
        self._file: int | None = None
        self._lines = 0
        self._closed = False
        if masks not in get_args(Masks):
            raise InputError(f"there are no masks {masks!r}", "Use none, rle or polygons")
        if str(path) == "-":
            self._file = _standard_output()
        else:
            check_writable(self._path)

    def write(self, result: Result) -> None:
        """Write the line of one frame.

        Raises:
            SinkError: the disk refused.
            ReaderGone: nobody reads the pipe any more.
            InputError: the result has no segmentation.
        """
        if result.segmentation is None:
            raise InputError("a result without segmentation has no JSON line", "Put Segment among the stages")
        if self._closed:
            raise SinkError(f"{self._name} is closed", "Write before close")
        text = json.dumps(self._values(result, result.segmentation), ensure_ascii=False, separators=(",", ":"))
        line = text.encode() + b"\n"
        rest = memoryview(line)
        try:
            if self._file is None:
                self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
            while rest:
                rest = rest[os.write(self._file, rest) :]
        except BrokenPipeError:
            raise ReaderGone(f"nobody reads {self._name} any more, after {self._lines} lines") from None
        except OSError as error:
            self._cut(len(line) - len(rest))
            raise cannot_write(self._name, error, f"after {self._lines} lines") from None
        self._lines += 1

    def close(self) -> None:
        """Close the file. Calling it twice is harmless."""
        self._closed = True
        file, self._file = self._file, None
        if file is not None:
            os.close(file)

    def _values(self, result: Result, segmentation: Segmentation) -> dict[str, Any]:
        frame = result.frame
        captured_s = time.time() - (time.monotonic() - frame.captured_s)
        captured = datetime.fromtimestamp(captured_s, timezone.utc).isoformat(timespec="milliseconds")
        values: dict[str, Any] = {
            "schema": SCHEMA_VERSION,
            **_text("stream", result.stream),
            "index": frame.index,
            **_text("name", frame.name),
            "pts_s": None if frame.pts_s is None else round(frame.pts_s, 6),
            "time": captured.replace("+00:00", "Z"),
            "size": list(segmentation.labels.shape),
            "areas": {name: round(area, 6) for name, area in segmentation.class_areas().items()},
            "latency_ms": {hop: round(ms, 3) for hop, ms in result.latency_ms.items()},
        }
        if self._masks != "none":
            found = (run_length_masks if self._masks == "rle" else polygon_masks)(segmentation.labels)
            names = segmentation.spec.class_names
            values["masks"] = [
                {"class": names[index], "category_id": index, "segmentation": mask} for index, mask in found.items()
            ]
        return values

    def _cut(self, torn: int) -> None:
        """Take the beginning of a line off the end of a file."""
        if self._file is not None and torn and stat.S_ISREG(os.fstat(self._file).st_mode):
            os.ftruncate(self._file, os.lseek(self._file, 0, os.SEEK_CUR) - torn)


def of_run(config: RunConfig, streams: Streams) -> JsonLinesSink:
    """What ``jsonl`` asks for: the lines of all streams, which name theirs."""
    assert config.jsonl is not None
    return JsonLinesSink(config.jsonl, masks=config.jsonl_masks)


def _standard_output() -> int:
    """A descriptor of its own for standard output."""
    try:
        return os.dup(_STDOUT)
    except OSError as error:
        raise cannot_write("standard output", error) from None


def _text(key: str, value: str) -> dict[str, str]:
    """The value under its key; of a file's name that is not UTF-8 with U+FFFD for what is not, and its bytes beside."""
    try:
        value.encode()
    except UnicodeEncodeError:
        name = value.encode(errors="surrogateescape") if _is_file_name(value) else value.encode(errors="surrogatepass")
        return {key: name.decode(errors="replace"), f"{key}_hex": name.hex()}
    return {key: value}


def _is_file_name(value: str) -> bool:
    """Whether all that is no text in it stands for a byte of a file's name (PEP 383)."""
    return all("\udc80" <= letter <= "\udcff" for letter in value if "\ud800" <= letter <= "\udfff")
