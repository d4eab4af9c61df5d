"""Smaller versions of a model, by hand and by every tool."""
