"""Measurements that anyone can repeat; figures go to benchmarks/results/."""
