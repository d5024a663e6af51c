#!/usr/bin/env python3
"""Check that a static library needs only the symbols that a list allows.

    check_symbols.py --library LIB.a [--with OTHER.a]... --allow LIST.txt [--allow-symbol NAME]...

Undefined symbols of LIB.a that neither LIB.a nor an OTHER.a defines must stand in LIST.txt (one a
line; `#` begins a comment; a `*` stands for anything). Names that the compiler or a sanitizer adds
are passed over. Exit status: 0 all allowed, 1 some are not (they are printed with the objects that
need them), 2 wrong use.
"""

import argparse
import fnmatch
import subprocess
import sys

COMPILER = (
    "__asan_*",
    "__ubsan_*",
    "__tsan_*",
    "__sanitizer_*",
    "__stack_chk_fail",
    "_GLOBAL_OFFSET_TABLE_",
    "__gcov_*",
    "llvm_gcda_*",
    "__llvm_profile_*",
    "__popcount*i2",
    "__clz*i2",
    "__ctz*i2",
    "__*ti3",
)


def symbols(library: str) -> tuple[dict[str, set[str]], set[str]]:
    """Return the undefined symbols (with the objects that need them) and the defined ones."""
    undefined: dict[str, set[str]] = {}
    defined: set[str] = set()
    listing = subprocess.run(
        ["nm", "-A", "-P", library], check=True, capture_output=True, text=True
    )
    for line in listing.stdout.splitlines():
        where, _, rest = line.partition(": ")
        fields = rest.split()
        if len(fields) < 2:
            continue
        name, kind = fields[0], fields[1]
        if kind in "Uwv" and (kind == "U" or len(fields) < 3 or int(fields[2] or "0", 16) == 0):
            member = where.rpartition("[")[2].rstrip("]")
            undefined.setdefault(name.partition("@")[0], set()).add(member)
        elif kind.isupper() or kind in "iu":
            defined.add(name)
    return undefined, defined


def read_list(path: str) -> list[str]:
    """Read an allow list."""
    with open(path, encoding="utf-8") as lines:
        names = [line.partition("#")[0].strip() for line in lines]
    return [name for name in names if name]


def main() -> int:
    """Run the check."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--library", required=True)
    parser.add_argument("--with", dest="others", action="append", default=[], metavar="LIBRARY")
    parser.add_argument("--allow", action="append", default=[], metavar="FILE")
    parser.add_argument("--allow-symbol", action="append", default=[], metavar="NAME")
    args = parser.parse_args()

    allowed = list(args.allow_symbol) + list(COMPILER)
    for path in args.allow:
        allowed += read_list(path)
    try:
        undefined, defined = symbols(args.library)
        for other in args.others:
            defined |= symbols(other)[1]
    except subprocess.CalledProcessError as error:
        print(f"check_symbols: {error}: {error.stderr}", file=sys.stderr)
        return 2
    if not undefined and not defined:
        print(f"check_symbols: {args.library} has no symbols at all", file=sys.stderr)
        return 2

    refused = {
        name: members
        for name, members in undefined.items()
        if name not in defined
        and not any(fnmatch.fnmatchcase(name, pattern) for pattern in allowed)
    }
    for name in sorted(refused):
        print(
            f"{args.library}: {name} is not allowed (needed by {', '.join(sorted(refused[name]))})"
        )
    if not refused:
        print(f"{args.library}: {len(undefined)} undefined symbols, all allowed")
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main())
