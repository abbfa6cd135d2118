"""Usage priced again: simulations that write nothing, and corrected prices that do."""
