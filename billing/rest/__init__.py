"""REST: the routes of billing, and how they show what they answer."""
