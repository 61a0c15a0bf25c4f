"""Published rules as filters: thresholds over columns that the signals measure. One file a group."""
