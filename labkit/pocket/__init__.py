"""The pocket models: one tiny real model of each family of the course, in the package.

They show how a mechanism works and say nothing about how good a family is. How they were made is
in :mod:`labkit.pocket.recipe`.
"""

from .weights_folder import NAMES, folder

__all__ = ["NAMES", "folder"]
