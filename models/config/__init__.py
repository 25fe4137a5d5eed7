"""Model YAMLs: found by name, read, and brought into one internal form, whichever dialect they are written in."""
