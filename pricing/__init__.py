"""Pure arithmetic of prices and money: values in, values out. Standard library only; no clock, no I/O (see README.md)."""
