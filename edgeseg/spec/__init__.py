"""ModelSpec, which travels in every artifact, and what it is made of: the palette and the CRF's parameters."""

from edgeseg.spec.model_spec import METADATA_KEY as METADATA_KEY
from edgeseg.spec.model_spec import ModelSpec as ModelSpec
from edgeseg.spec.model_spec import Output as Output
from edgeseg.spec.model_spec import Precision as Precision
