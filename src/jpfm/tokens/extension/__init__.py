"""Pieces for an existing tokenizer, old ids kept. `extend` is the way in."""
