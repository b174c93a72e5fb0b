"""The pipeline: the composition root. It puts a registry, a transport, a lake and the plugins together."""

from onepipe.pipeline.configuration import LAKE_VARIABLE, REGISTRY_VARIABLE, URL_VARIABLE, connect
from onepipe.pipeline.pipeline import Pipeline

__all__ = ["LAKE_VARIABLE", "REGISTRY_VARIABLE", "URL_VARIABLE", "Pipeline", "connect"]
