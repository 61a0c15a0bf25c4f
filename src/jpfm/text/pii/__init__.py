"""Personal data in Japanese text: `scan` finds places, detectors judge them, `find` joins, `replace` masks."""
