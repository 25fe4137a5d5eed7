"""One picture that shows a data set before training: `write_sheet` in `page`."""
