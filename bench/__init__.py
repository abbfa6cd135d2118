"""Benchmarks: each starts servers of its own on 127.0.0.1, compares side by side in one run, and stops what it started."""
