"""What a fresh catalog is filled with, offline: our own table of models, and the prices of an installed package."""
