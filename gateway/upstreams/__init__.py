"""Adapters: an upstream vendor's HTTP on one side, our own types on the other. No database, no prices."""
