"""Detection on pictures, videos and streams, and what it writes."""
