"""What a model is worth: scores, divergence, comparison, attacks."""
