"""Cards on file, and what is charged to them while nobody is there."""
