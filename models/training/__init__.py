"""Training: from labelled pictures to a version with certified thresholds."""
