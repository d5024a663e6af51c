"""A cluster of this process's own: its raylet, started and ended."""

from __future__ import annotations

import contextlib
import datetime
import os
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from whipray._private import config, paths
from whipray.exceptions import RaySystemError

START_SECONDS = 60.0
STOP_SECONDS = 10.0
END_SECONDS = 1.0
SOCKET_PATH_MAX = 107
"""Bytes, without the zero at the end: sun_path of sockaddr_un has 108."""
PACKAGE = Path(__file__).absolute().parent.parent
"""Not resolved: in a build tree the files are links, with the extension beside the links."""


def find_program(name: str) -> str:
    """Find one of Whipray's programs.

    It is looked for in ``WHIPRAY_BIN_DIR``, in the package, in its build tree, on the PATH.

    Raises
    ------
    RaySystemError
        If it is nowhere; the text says where it was looked for.
    """
    chosen = os.environ.get("WHIPRAY_BIN_DIR")
    folders = [Path(chosen)] if chosen else []
    folders += [PACKAGE / "bin", PACKAGE.parent.parent / "bin"]  # installed; in a build tree
    for folder in folders:
        path = folder / name
        if path.is_file() and os.access(path, os.X_OK):
            return str(path)
    found = None if chosen else shutil.which(name)
    if found is None:
        places = ", ".join(str(folder) for folder in folders)
        raise RaySystemError(f"the program {name!r} is not in {places}; is Whipray built?")
    return found


def new_session_dir(base: Path) -> Path:
    """Make the folder of a new session and let ``session_latest`` name it.

    Raises
    ------
    ValueError
        If the path of its sockets would be longer than the system's limit.
    """
    stamp = datetime.datetime.now().strftime("%Y-%m-%d_%H-%M-%S_%f")
    folder = base / f"session_{stamp}_{os.getpid()}"
    if len(os.fsencode(folder / "sockets" / "raylet")) > SOCKET_PATH_MAX:
        raise ValueError(
            f"{folder} is too long for the path of a socket; choose a shorter WHIPRAY_TMPDIR "
            "or _temp_dir"
        )
    base.parent.mkdir(parents=True, exist_ok=True)
    paths.make_private(base)
    for path in (folder, folder / "sockets", folder / "logs"):
        path.mkdir(mode=0o700)
    link = base / "session_latest"
    fresh = base / f".session_latest_{os.getpid()}"
    with contextlib.suppress(OSError):
        fresh.symlink_to(folder.name)
        fresh.replace(link)
    return folder


def _pairs(values: Mapping[str, Any]) -> str:
    for name in values:
        if "=" in name or "," in name:
            raise ValueError(f"{name!r} cannot be a name here: it has '=' or ','")
    return ",".join(f"{name}={value}" for name, value in values.items())


class Node:
    """A raylet that this process started and that ends with it.

    Parameters
    ----------
    num_cpus, num_gpus : float, optional
        What the node has; None lets the raylet count.
    resources : mapping, optional
        Custom resources.
    labels : mapping, optional
        Labels of the node.
    object_store_memory, memory : int, optional
        Bytes.
    settings : mapping, optional
        Names and values of ``--config``.
    """

    def __init__(
        self,
        *,
        num_cpus: float | None = None,
        num_gpus: float | None = None,
        resources: Mapping[str, float] | None = None,
        labels: Mapping[str, str] | None = None,
        object_store_memory: int | None = None,
        memory: int | None = None,
        node_ip: str | None = None,
        node_name: str | None = None,
        temp_dir: str | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        program = find_program("whipray-raylet")
        self.session_dir = new_session_dir(paths.base_dir(temp_dir))
        self._token = paths.token()
        token_file = self.session_dir / "auth_token"
        descriptor = os.open(token_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(self._token + "\n")
        command = [
            program,
            "--head",
            "--session-dir",
            str(self.session_dir),
            "--token-file",
            str(token_file),
            "--bin-dir",
            str(Path(program).parent),
            "--log-file",
            str(self.session_dir / "logs" / "raylet.out"),
        ]
        for option, value in (
            ("--num-cpus", num_cpus),
            ("--num-gpus", num_gpus),
            ("--object-store-memory", object_store_memory),
            ("--memory", memory),
            ("--node-ip", node_ip),
            ("--node-name", node_name),
            ("--resources", _pairs(resources) if resources else None),
            ("--labels", _pairs(labels) if labels else None),
        ):
            if value is not None:
                command += [option, _plain(value)]
        for name, value in (settings or {}).items():
            command += ["--config", f"{name}={_plain(value)}"]
        self._owner = -1
        self._end_awaited = False
        self._process: subprocess.Popen[bytes] | None = None
        self._start(command)

    def _start(self, command: list[str]) -> None:
        owner_read, owner_write = os.pipe2(os.O_CLOEXEC)
        ready_read, ready_write = os.pipe2(os.O_CLOEXEC)
        command = [*command, "--owner-fd", str(owner_read), "--ready-fd", str(ready_write)]
        log = self.session_dir / "logs" / "raylet.err"
        try:
            with open(log, "ab") as output:
                # A session of its own: Ctrl-C in the terminal is for the driver alone.
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    pass_fds=(owner_read, ready_write),
                    env=child_environment(),
                    cwd=self.session_dir,  # no module of the driver's folder may be met by chance
                    start_new_session=True,
                )
        except BaseException:
            os.close(owner_write)
            os.close(ready_read)
            raise
        finally:
            os.close(owner_read)
            os.close(ready_write)
        self._owner = owner_write
        try:
            said = _read_ready(ready_read, START_SECONDS)
        except BaseException:
            self.stop()
            raise
        finally:
            os.close(ready_read)
        if said != "OK":
            tail = _tail(log) or _tail(self.session_dir / "logs" / "raylet.out")
            self.stop()
            reason = said.removeprefix("ERROR").strip() or "it ended before it was ready"
            if reason.startswith(
                "object_store_memory: "
            ):  # an argument that does not suit this machine
                raise ValueError(reason)
            raise RaySystemError(
                f"the cluster could not be started: {reason}"
                + (f"\nits last lines in {log}:\n{tail}" if tail else "")
            )

    @property
    def socket_path(self) -> str:
        """The raylet's Unix socket."""
        return str(self.session_dir / "sockets" / "raylet")

    @property
    def token(self) -> str:
        """The cluster's token."""
        return self._token

    @property
    def pid(self) -> int:
        """Process id of the raylet."""
        assert self._process is not None
        return self._process.pid

    def stop(self) -> None:
        """End the cluster and everything that runs in it; safe to call twice."""
        if self._owner >= 0:
            os.close(self._owner)
            self._owner = -1
        process = self._process
        self._process = None
        if process is None:
            return
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
        # What is not for reading afterwards goes; logs stay.
        shutil.rmtree(self.session_dir / "sockets", ignore_errors=True)
        with contextlib.suppress(OSError):
            (self.session_dir / "auth_token").unlink()

    def how_it_ended(self) -> str:
        """Say how the raylet's process ended and where its log is, as the end of a sentence."""
        said = f"its log is {self.session_dir / 'logs' / 'raylet.out'}"
        process = self._process
        if process is None:
            return said
        if not self._end_awaited:  # its sockets close a moment before its process is gone
            self._end_awaited = True
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(END_SECONDS)
        code = process.poll()
        if code is None or code == 0:
            return said
        if code < 0:
            try:
                name = signal.Signals(-code).name
            except ValueError:
                name = f"signal {-code}"
            return f"its process (pid {process.pid}) was ended by {name}; {said}"
        return f"its process (pid {process.pid}) exited with status {code}; {said}"

    def forget_after_fork(self) -> None:
        """In a forked child: the cluster is the parent's and must not outlive it by this copy."""
        if self._owner >= 0:
            with contextlib.suppress(OSError):
                os.close(self._owner)
            self._owner = -1
        self._process = None


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def child_environment() -> dict[str, str]:
    """Environment of the daemons: this one's, with the package to be found."""
    env = dict(os.environ)
    root = PACKAGE.parent
    before = env.get("PYTHONPATH", "")
    installed = root.name in ("site-packages", "dist-packages")
    if not installed and str(root) not in before.split(os.pathsep):
        env["PYTHONPATH"] = os.pathsep.join(part for part in (str(root), before) if part)
    if config.alias_active:
        for name, value in os.environ.items():
            if name.startswith("RAY_"):
                env.setdefault("WHIPRAY_" + name.removeprefix("RAY_"), value)
    return env


def _read_ready(descriptor: int, seconds: float) -> str:
    """Read the one line of the ready pipe; empty at its end."""
    deadline = time.monotonic() + seconds
    text = b""
    while not text.endswith(b"\n"):
        left = deadline - time.monotonic()
        if left <= 0:
            raise RaySystemError(f"the cluster was not ready within {seconds:.0f} s")
        readable, _, _ = select.select([descriptor], [], [], min(left, 0.1))
        if not readable:
            continue
        data = os.read(descriptor, 4096)
        if not data:
            break
        text += data
    return text.decode("utf-8", "replace").strip()


def _tail(path: Path, lines: int = 10) -> str:
    try:
        return "\n".join(path.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
    except OSError:
        return ""
