"""Writing a trained detector for other runtimes: one file a format in `engine/exporting/formats`."""
