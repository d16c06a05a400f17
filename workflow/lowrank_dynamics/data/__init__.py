"""From bytes that come from outside, or random draws, to a verified data set."""
