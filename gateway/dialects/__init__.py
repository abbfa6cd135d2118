"""One module an endpoint: how its requests ask, how its answers and streams are read, and what of them the caller gets when."""
