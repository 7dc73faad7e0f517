"""Start a cloud's host again unless somebody has: start_later.py FLAG SECONDS URL, with VULTR_API_KEY in the environment.

Returns at once; a process of its own stays, which neither ^C nor the end of the playbook ends. It goes as soon as FLAG is gone, and starts
the host after SECONDS otherwise.
"""

import os
import sys
import time
import urllib.request
from pathlib import Path

# Seconds for which a cloud that does not do it is asked again.
PATIENCE = 3600


def main(flag: str, seconds: str, url: str) -> None:
    """Wait in a session of its own, then ask."""
    Path(flag).touch()
    if os.fork():
        return
    os.setsid()
    with Path(os.devnull).open("r+b") as nothing:
        for number in (0, 1, 2):
            os.dup2(nothing.fileno(), number)
    until = time.monotonic() + float(seconds)
    while time.monotonic() < until:
        if not Path(flag).exists():
            return
        time.sleep(0.5)
    headers = {"Authorization": f"Bearer {os.environ['VULTR_API_KEY']}"}
    until = time.monotonic() + PATIENCE
    while Path(flag).exists() and time.monotonic() < until:
        try:
            urllib.request.urlopen(urllib.request.Request(url, method="POST", headers=headers), timeout=60)
        except OSError:
            # An error of the API's, or no way to it: nobody else would start the host.
            time.sleep(2)
        else:
            Path(flag).unlink(missing_ok=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
