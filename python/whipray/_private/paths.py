"""Where a cluster's files lie, its token, and how an address is found."""

from __future__ import annotations

import errno
import json
import os
import secrets
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from whipray._private import config

TOKEN_MIN: Final = 16
TOKEN_MAX: Final = 512
PROBE_SECONDS: Final = 5.0
CURRENT_MAX: Final = 1024


def base_dir(parent: str | None = None) -> Path:
    """Folder of all sessions of this user: ``/tmp/whipray-UID``.

    Parameters
    ----------
    parent : str, optional
        Another parent than ``WHIPRAY_TMPDIR`` and ``/tmp``.

    Returns
    -------
    Path
        Absolute: the daemons live in another folder than the driver.
    """
    return Path(parent or config.text("TMPDIR") or "/tmp").absolute() / f"whipray-{os.getuid()}"


def make_private(path: Path) -> None:
    """Make a folder that only this user can enter, or check that it is one.

    Raises
    ------
    PermissionError
        If it is a link, belongs to another user, or others can enter it.
    """
    try:
        path.mkdir(mode=0o700, exist_ok=True)
    except FileExistsError:
        raise PermissionError(f"{path} is no folder") from None
    check_private(path)


def check_private(path: Path) -> None:
    """Check that only this user can enter a folder, which must exist.

    Raises
    ------
    PermissionError
        As `make_private`.
    """
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise PermissionError(f"{path} is a link, not a folder of this user")
    if found.st_uid != os.getuid():
        raise PermissionError(
            f"{path} belongs to user {found.st_uid}, not to {os.getuid()}; choose another place "
            "by WHIPRAY_TMPDIR"
        )
    if stat.S_IMODE(found.st_mode) & 0o077:
        raise PermissionError(f"{path} can be entered by others; chmod 700 {path}")


def token_file() -> Path:
    """The file of the user's token, made at first use.

    ``WHIPRAY_AUTH_TOKEN_PATH`` names another one.
    """
    chosen = config.text("AUTH_TOKEN_PATH")
    path = Path(chosen).expanduser() if chosen else Path.home() / ".whipray" / "auth_token"
    if path.exists():
        return path
    if chosen:
        raise FileNotFoundError(f"WHIPRAY_AUTH_TOKEN_PATH names {path}, which does not exist")
    # Written aside and linked into place: another program never reads half a token.
    fresh = path.parent / f".auth_token_{os.getpid()}_{secrets.token_hex(4)}"
    try:
        # Not its parents: HOME may be a name that stands for "none", like /nonexistent.
        path.parent.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise type(error)(
            error.errno,
            f"the cluster's token cannot be kept in {path}: {error.strerror}; set HOME to a folder "
            "of yours, or name a file with the token by WHIPRAY_AUTH_TOKEN_PATH",
        ) from None
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(secrets.token_hex(32) + "\n")
    try:
        os.link(fresh, path)
    except FileExistsError:  # another program was faster
        pass
    finally:
        fresh.unlink()
    return path


def token() -> str:
    """The token: ``WHIPRAY_AUTH_TOKEN``, or what `token_file` holds.

    Raises
    ------
    PermissionError
        If others can read the file, or it holds no token.
    ValueError
        If the variable holds none.
    """
    given = config.text("AUTH_TOKEN")
    if given:
        return _checked_token(given.strip())
    path = token_file()
    found = path.stat()
    if found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise PermissionError(f"the token file {path} must be this user's alone (chmod 600)")
    text = path.read_text(encoding="utf-8").strip()
    if len(text) < TOKEN_MIN:
        raise PermissionError(f"the token in {path} is shorter than {TOKEN_MIN} characters")
    return text


def _checked_token(text: str) -> str:
    """The token of the variable; the raylet would blame the session's copy of it."""
    if not TOKEN_MIN <= len(text) <= TOKEN_MAX:
        raise ValueError(
            f"the token in WHIPRAY_AUTH_TOKEN has {len(text)} characters; it must have "
            f"{TOKEN_MIN} to {TOKEN_MAX}"
        )
    if not all("!" <= character <= "~" for character in text):
        raise ValueError(
            "the token in WHIPRAY_AUTH_TOKEN has a character that is not printable ASCII"
        )
    return text


def read_session(folder: Path) -> dict[str, Any]:
    """Read ``session.json`` of a session; empty when there is none."""
    try:
        found = json.loads((folder / "session.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def has_raylet(session: Path) -> bool:
    """Whether somebody listens at the session's socket: its file stays when a raylet is killed."""
    path = session / "sockets" / "raylet"
    try:
        if not path.exists():
            return False
    except (OSError, ValueError):  # no file can have such a name
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(PROBE_SECONDS)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:  # another user's, or busy: who connects to it is told
            return True
    return True


def _age_key(path: Path) -> float:
    """When a folder was last changed; 0 for one that a cluster's start has removed meanwhile."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def sessions() -> Iterator[Path]:
    """Folders of sessions whose raylet listens, newest first.

    Raises
    ------
    PermissionError
        If others can change the folder of this user's sessions.
    """
    base = base_dir()
    if base.exists():
        check_private(base)
    found = [path for path in base.glob("session_*") if not path.is_symlink()]
    for path in sorted(found, key=_age_key, reverse=True):
        if has_raylet(path):
            yield path


def running_cluster() -> Path | None:
    """Folder of the cluster that ``whipray start`` left running here, or None.

    The file ``current`` holds its address and, in the second line, its session's folder.

    Raises
    ------
    PermissionError
        If others can write the file: it could lead to anybody's socket.
    """
    base = base_dir()
    try:
        check_private(base)
        descriptor = os.open(base / "current", os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise PermissionError(f"{base / 'current'} is a link, not a plain file") from None
        raise
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.getuid():
            raise PermissionError(f"{base / 'current'} is no plain file of this user")
        lines = os.read(descriptor, CURRENT_MAX).decode("utf-8", "replace").splitlines()
    finally:
        os.close(descriptor)
    if len(lines) < 2:
        return None
    return session_of(lines[1].strip())


def session_of(address: str) -> Path | None:
    """Folder of the session that an address names on this machine, or None.

    Parameters
    ----------
    address : str
        A session's folder, one of its sockets, or the ``host:port`` of its head.
    """
    address = address.removeprefix("unix:")
    if address.startswith("/"):
        path = Path(address)
        if path.parent.name == "sockets":
            path = path.parent.parent
        return path if has_raylet(path) else None
    host, _, port = address.rpartition(":")
    for folder in sessions():
        known = str(read_session(folder).get("gcs_address") or "")
        if known == address:
            return folder
        known_port = known.rpartition(":")[2]
        if host in ("localhost", "127.0.0.1", "0.0.0.0") and known_port == port:
            return folder
    return None
