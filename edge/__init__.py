"""The edge: an Envoy configuration made from the protos and a handful of settings.

`write_config` is all that a runner needs; `envoy_command` says how to start what it wrote, and
`write_endpoints` tells it of replicas that come and go.
"""

from edge.config import bootstrap, envoy_command, write_config, write_endpoints
from edge.settings import EdgeSettings, Endpoint

__all__ = ["EdgeSettings", "Endpoint", "bootstrap", "envoy_command", "write_config", "write_endpoints"]
