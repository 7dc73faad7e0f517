"""Unpack what the hosts recorded in a cycle: unpack.py FOLDER, one JSON object with `records` on each line of standard input."""

import base64
import io
import json
import sys
import tarfile
from pathlib import Path


def main(folder: str) -> None:
    Path(folder).mkdir(parents=True, exist_ok=True)
    for line in sys.stdin.read().splitlines():
        with tarfile.open(fileobj=io.BytesIO(base64.b64decode(json.loads(line)["records"])), mode="r:gz") as archive:
            archive.extractall(folder, filter="data")


if __name__ == "__main__":
    main(sys.argv[1])
