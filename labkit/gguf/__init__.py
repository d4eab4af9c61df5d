"""GGUF files: their types, their header, how they are made and quantized."""
