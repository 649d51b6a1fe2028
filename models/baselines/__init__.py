"""Baselines: simpler models beside the shipped one, on the same split."""
