"""From a data set and settings to measurements."""
