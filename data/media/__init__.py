"""Pictures, videos and streams, as arrays."""
