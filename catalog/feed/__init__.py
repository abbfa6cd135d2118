"""Prices that arrive as a list: fetched or read from a file, validated whole, compared, put in force or quarantined."""
