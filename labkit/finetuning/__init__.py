"""Tuning a model on a task: full, LoRA or QLoRA."""
