"""What is put on paper: the words of each kind of document, how it is set and stored, and the evidence files beside it."""
