"""What was used: each usage event recorded once, priced, rolled up."""
