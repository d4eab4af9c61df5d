"""A model, or the tuning of one, written down for the tools people use: a file here a tool."""
