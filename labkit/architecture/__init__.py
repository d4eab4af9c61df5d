"""What a model is built of, read from its config: layers, tensors, parameter counts."""
