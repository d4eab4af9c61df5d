"""A server that speaks OpenAI's protocol, in a process of its own."""

from .launch import PORT, Server, serve, start_server

__all__ = ["PORT", "Server", "serve", "start_server"]
