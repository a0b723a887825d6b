"""The HTTP API: REST for people and tools, the OpenAI shape for programs, event streams, and the page."""

from ground.api.app import create_app

__all__ = ["create_app"]
