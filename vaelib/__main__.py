"""`python -m vaelib`, and the command `vaelib`."""

from __future__ import annotations


def main() -> None:
    try:
        from vaelib.cli import app
    except ModuleNotFoundError as error:
        raise SystemExit(
            f"The command line needs {error.name}, which is missing. "
            "Install it: pip install -e '.[train]', in this project's folder"
        ) from error
    app(prog_name="vaelib")


if __name__ == "__main__":
    main()
