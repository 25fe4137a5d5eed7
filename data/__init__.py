"""Data sets, pictures and batches: COCO JSON read directly, checked, augmented and batched."""
