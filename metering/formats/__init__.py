"""Formats in which other gateways push usage in. Each adapter makes `PushedEvent`s of its vendor's JSON; then all walk one path."""
