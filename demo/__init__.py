"""Seeding the demo: three months of two customers, made through the real functions."""
