"""The web page of a running stream: the picture and its labels, latency, counters and the state of the sources.

One picture is encoded once for all who look, and not at all while nobody does. The thread that writes never waits for
a viewer; a viewer that is slow gets the newest picture each time, and one that takes none for some seconds is dropped.
The labels travel beside the picture, so that opacity and choice of classes are each viewer's own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeseg.plugins import modules_of

if not TYPE_CHECKING:  # else any name at all would pass for a module
    __getattr__ = modules_of(__name__)
