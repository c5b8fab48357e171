"""Numbers that add up: counters, histograms, the summary of a run, what its processes cost."""
