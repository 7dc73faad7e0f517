"""`python -m local.provider install MIRROR` puts the stand-in into a mirror; `serve` is what tofu starts."""

import sys


def main(argv: list[str]) -> int:
    """Run the command in `argv`. Imports wait until the command is known: tofu starts `serve` several times per command."""
    if argv[:1] == ["serve"]:
        from local.provider.server import serve

        serve()
        return 0
    from local.provider.install import main as install

    return install(argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
