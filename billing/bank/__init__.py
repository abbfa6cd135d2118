"""Transfers: a bank's statement is read, and each deposit finds the invoices that it pays."""
