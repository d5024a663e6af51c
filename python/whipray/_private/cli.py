"""The command ``whipray`` of an installed package: becomes the program inside it."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from whipray._private.node import child_environment, find_program
from whipray.exceptions import RaySystemError


def main() -> NoReturn:
    """Replace this process by the program, with the same arguments."""
    try:
        program = find_program("whipray")
    except RaySystemError as error:
        sys.exit(f"whipray: {error}")
    os.execve(program, ["whipray", *sys.argv[1:]], child_environment())


if __name__ == "__main__":
    main()
