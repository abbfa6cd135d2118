"""Billing periods, money owed and money held, limits."""
