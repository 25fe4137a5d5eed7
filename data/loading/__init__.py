"""From records to batches: data set, cache of pictures, loader."""
