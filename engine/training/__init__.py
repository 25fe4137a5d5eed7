"""A training: how it is set up, the loop, what it keeps."""
