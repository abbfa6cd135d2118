"""What the operator sees: the admin console."""
