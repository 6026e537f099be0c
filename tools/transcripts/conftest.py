"""The servers of the client's own tests."""

from serving import client, fresh, server

__all__ = ["client", "fresh", "server"]
