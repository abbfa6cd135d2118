"""All that is an organization's, as one file that its owners ask for."""
