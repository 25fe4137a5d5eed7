"""The ground floor: files, names in `configs/`, the errors of bad input. It knows nothing of the rest, nor of torch."""
