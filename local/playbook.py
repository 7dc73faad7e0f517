"""Read a playbook's output as it comes: show where it is, keep what it said last."""

import re
import textwrap
import time
from dataclasses import dataclass, field

from local.say import say

# Ansible's default callback: a banner for each play and task, then what a debug task prints, indented under `msg:`.
_BANNER = re.compile(r"^(PLAY|TASK|RUNNING HANDLER|PLAY RECAP) (?:\[(.*)\] )?\*+$")
_RECAP = re.compile(r"^(\S+)\s+: ok=(\d+)\s+changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)")


@dataclass
class Watch:
    """Feed it lines; it prints a line for each play that ended and collects the rest."""

    quiet: bool = False
    messages: list[list[str]] = field(default_factory=list)
    changed: dict[str, int] = field(default_factory=dict)
    plays: dict[str, float] = field(default_factory=dict)
    _play: str = ""
    _since: float = 0.0
    _message: list[str] | None = None

    @property
    def last_message(self) -> list[str]:
        """The lines of the last debug message, without its indentation."""
        return self.messages[-1] if self.messages else []

    def line(self, text: str) -> None:
        """Take one line of output."""
        if banner := _BANNER.match(text):
            self._end_message()
            if banner[1].startswith("PLAY"):
                self._end_play(banner[2] or "")
        elif recap := _RECAP.match(text):
            self.changed[recap[1]] = int(recap[3])
        elif re.match(r"^    msg:", text):
            self._end_message()
            inline = text.partition("msg:")[2].strip()
            self._message = [inline] if inline and inline not in ("|-", "|", ">-") else []
        elif self._message is not None and text.startswith("     "):
            self._message.append(text)
        elif text.strip():
            self._end_message()
        elif self._message:
            self._message.append("")

    def _end_message(self) -> None:
        if self._message:
            self.messages.append(textwrap.dedent("\n".join(self._message)).strip("\n").splitlines())
        self._message = None

    def _end_play(self, following: str) -> None:
        now = time.monotonic()
        if self._play:
            self.plays[self._play] = now - self._since
            if not self.quiet:
                say(f"        {now - self._since:5.0f} s  {self._play}")
        self._play, self._since = following, now
