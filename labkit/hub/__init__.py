"""From a model's name to its config and its files, on this disk or fetched."""
