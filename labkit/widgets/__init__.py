"""Thin views for notebooks; all they show and do is a plain object or function."""
