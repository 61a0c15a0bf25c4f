"""Compare tokenizers of any maker on text of any origin. `measure` is the way in."""
