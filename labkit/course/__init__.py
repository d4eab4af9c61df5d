"""The course: exercises and predictions, progress, lessons, bundles, classes."""

from .exercises import check, overview, predict

__all__ = ["check", "overview", "predict"]
