"""The provider stand-in: its schemas, its plans, and what it says to the API."""

import sys
from pathlib import Path

# `local` is a folder of the checkout, installed nowhere.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
