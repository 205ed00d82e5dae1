"""A GRIP reverse proxy: it holds client connections so that the origin need not."""

__version__ = "0.1.0"
