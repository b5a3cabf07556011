"""What is wrong with a data set: ``run`` looks at all of it, ``before_training`` at what shows without decoding."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeseg.plugins import modules_of

if not TYPE_CHECKING:  # else any name at all would pass for a module
    __getattr__ = modules_of(__name__)
