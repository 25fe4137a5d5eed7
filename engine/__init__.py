"""The running of things: training, evaluation and detection. Knows `models` and `data`; neither knows it."""
