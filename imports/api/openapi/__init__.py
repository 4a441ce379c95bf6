"""The OpenAPI description of the REST API.

`*_calls` describe the calls: each name `describe_…` decorates a view. `responses` has the error
responses and the headers that many calls share, `extensions` what drf-spectacular cannot derive
from a serializer, and `examples` real responses. Tests validate responses against the description.
"""
