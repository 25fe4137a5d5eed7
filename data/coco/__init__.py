"""COCO annotations: read, checked against the pictures, and turned into records."""
