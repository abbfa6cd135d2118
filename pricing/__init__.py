"""Pure arithmetic of prices and money: values in, values out, no clock, no I/O. README.md says more."""
