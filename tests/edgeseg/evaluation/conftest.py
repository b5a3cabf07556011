from __future__ import annotations

from exported import artifact_of, checkpoint_of, made  # noqa: F401 - fixtures
