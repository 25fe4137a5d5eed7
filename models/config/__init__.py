"""A model YAML: read, checked, and brought into the one form that the parser builds."""
