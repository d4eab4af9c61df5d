"""Which model to run: needs, memory, ranking, reasons."""
