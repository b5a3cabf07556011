"""XML that people or strangers wrote: read within limits, without entities, and every failure told in one line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgeseg.errors import EdgesegError, InputError
from edgeseg.files.documents import MAX_EXPORT_BYTES

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

_MAX_DEPTH = 50
_PIECE = 1 << 20


def read_xml(path: Path, error: type[EdgesegError] = InputError) -> Element:
    """The root of an XML file.

    A document type is refused, and with it all entities: those are what makes small files large and names other files.

    Args:
        path: the file; 1 GiB at most.
        error: raised for all that is wrong.
    """
    from xml.etree.ElementTree import TreeBuilder
    from xml.parsers.expat import ExpatError, ParserCreate

    builder = TreeBuilder()
    depth = 0

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > _MAX_DEPTH:
            raise ValueError(f"nested more than {_MAX_DEPTH} deep")
        builder.start(name, attributes)

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(name)

    def refuse(*_: object) -> None:
        raise ValueError("a document type, which annotations have no need of")

    parser = ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = refuse
    try:
        with path.open("rb") as file:
            left = MAX_EXPORT_BYTES
            while piece := file.read(_PIECE):
                left -= len(piece)
                if left < 0:
                    raise error(f"{path} is larger than {MAX_EXPORT_BYTES >> 20} MiB", "Pass the file that was meant")
                parser.Parse(piece, False)
        parser.Parse(b"", True)
    except OSError as wrong:
        raise error(f"{path} cannot be read ({wrong.strerror})", "Correct the path, or allow it to be read") from None
    except (ExpatError, ValueError, LookupError) as wrong:  # LookupError: an encoding that is not known
        raise error(f"{path} is not XML that can be used ({' '.join(str(wrong).split())})", "Correct it") from None
    return builder.close()
