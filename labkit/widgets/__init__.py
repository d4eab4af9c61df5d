"""Thin views for notebooks; all they show and do is a plain object or function."""

from .chat_box import chat_box

__all__ = ["chat_box"]
