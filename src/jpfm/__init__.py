"""jpfm: raw Japanese text to a foundation model that a lab can defend."""

__version__ = "0.1.0"
