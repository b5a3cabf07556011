"""What a camera sees, labelled, on a page: python camera_to_page.py [SOURCE] [PORT]."""

from __future__ import annotations

import sys

import edgeseg

source = sys.argv[1] if len(sys.argv) > 1 else "camera:0"
port = int(sys.argv[2]) if len(sys.argv) > 2 else 8080

with edgeseg.Segmenter.open() as segmenter:
    page = edgeseg.WebSink(port=port)
    print(f"open {page.url}", flush=True)
    stages = [edgeseg.Segment(segmenter), edgeseg.Overlay(opacity=0.5)]
    edgeseg.Pipeline([edgeseg.open_source(source)], stages, [page]).run()
