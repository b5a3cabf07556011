from __future__ import annotations

import pytest

from edgeseg.errors import InputError
from edgeseg.files import xml_reader
from edgeseg.files.xml_reader import read_xml


def test_elements_attributes_and_texts(tmp_path):
    path = tmp_path / "a.xml"
    path.write_bytes('\ufeff<?xml version="1.0" encoding="utf-8"?><a b="ä"><c> x </c><c/></a>'.encode())
    root = read_xml(path)
    assert (root.tag, root.get("b"), [c.text for c in root.findall("c")]) == ("a", "ä", [" x ", None])


BOMB = '<!DOCTYPE a [<!ENTITY x "ha"><!ENTITY y "&x;&x;&x;&x;">]><a>&y;</a>'
OUTSIDE = '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BOMB, "document type"),
        (OUTSIDE, "document type"),
        ("<!DOCTYPE a><a/>", "document type"),
        ("<a>&x;</a>", "undefined entity"),
        ("<a><b></a>", "mismatched tag"),
        ("", "no element found"),
        ("<a>" * 60 + "</a>" * 60, "nested more than 50 deep"),
        ('<?xml version="1.0" encoding="klingon"?><a/>', "encoding"),
    ],
)
def test_what_is_refused_in_one_line(tmp_path, text, message):
    path = tmp_path / "a.xml"
    path.write_text(text)
    with pytest.raises(InputError, match=rf"a\.xml is not XML that can be used.*{message}") as caught:
        read_xml(path)
    assert "\n" not in str(caught.value)


def test_files_that_are_missing_or_too_large(tmp_path, monkeypatch):
    with pytest.raises(InputError, match=r"a\.xml cannot be read"):
        read_xml(tmp_path / "a.xml")
    (tmp_path / "a.xml").write_text("<a/>")
    monkeypatch.setattr(xml_reader, "MAX_EXPORT_BYTES", 3)
    with pytest.raises(InputError, match="is larger than"):
        read_xml(tmp_path / "a.xml")
