"""Talking with a model: templates, sampling, tool calls."""
