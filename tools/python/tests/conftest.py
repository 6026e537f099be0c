"""A real server for every test module."""

from serving import client, fresh, server

__all__ = ["client", "fresh", "server"]
