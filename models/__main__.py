"""`python -m models yolov5s-saconv.yaml`: print the network that a model YAML describes."""

from __future__ import annotations

import sys

from models.summary import main

sys.exit(main())
