"""ray-compat section 20: start, stop, status."""

import os
import socket
import subprocess
import sys
import time

import pytest
from compat_helpers import AGAINST

pytestmark = pytest.mark.usefixtures("no_cluster")


@pytest.fixture
def cli(short_path):
    """Runs the command with a folder of its own, and stops what it started."""
    name = "RAY_TMPDIR" if AGAINST == "ray" else "WHIPRAY_TMPDIR"
    env = {**os.environ, name: str(short_path)}
    if AGAINST == "ray":
        command = [os.path.join(os.path.dirname(sys.executable), "ray")]
    else:
        command = [sys.executable, "-m", "whipray._private.cli"]

    limit = 250 if AGAINST == "ray" else 90  # each of Ray's commands imports all of it

    def run(*arguments):
        return subprocess.run(
            [*command, *arguments], env=env, capture_output=True, text=True, timeout=limit
        )

    run.env = env
    run.command = command
    yield run
    run("stop", "--force")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start(cli):
    done = cli("start", "--head", "--num-cpus=2", f"--port={free_port()}")
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def status_of(cli):
    """The status; Ray's is empty for some seconds after its start."""
    end = time.monotonic() + 60
    while True:
        done = cli("status")
        if AGAINST != "ray" or "CPU" in done.stdout or time.monotonic() > end:
            return done


def test_start_status_stop(cli):
    text = start(cli).stdout
    assert "stop" in text or "address" in text.lower()
    status = status_of(cli)
    assert status.returncode == 0 and "CPU" in status.stdout
    assert cli("stop").returncode == 0
    assert cli("status").returncode != 0


def test_init_finds_the_started_cluster(cli, program):
    start(cli)
    done = program(
        """
        import ray
        ray.init(address="auto")

        @ray.remote
        def f():
            return "joined"

        print(ray.get(f.remote()), ray.cluster_resources()["CPU"])
        """,
        env=cli.env,
    )
    assert "joined 2.0" in done.stdout


def test_detached_actor_outlives_its_driver(cli, program):
    start(cli)
    for step in ("make", "use"):
        done = program(
            f"""
            import ray
            ray.init(address="auto", namespace="cli")

            @ray.remote
            class Stays:
                n = 0
                def add(self):
                    self.n += 1
                    return self.n

            if {step!r} == "make":
                actor = Stays.options(name="stays", lifetime="detached").remote()
            else:
                actor = ray.get_actor("stays")
            print("N", ray.get(actor.add.remote()))
            """,
            env=cli.env,
        )
    assert "N 2" in done.stdout


def test_status_without_a_cluster(cli):
    assert cli("status").returncode != 0


def test_start_with_resources(cli, program):
    port = f"--port={free_port()}"
    done = cli("start", "--head", "--num-cpus=1", "--num-gpus=3", '--resources={"disk": 2}', port)
    assert done.returncode == 0, done.stdout + done.stderr
    found = program(
        """
        import ray
        ray.init(address="auto")
        total = ray.cluster_resources()
        print("HAS", total["CPU"], total["GPU"], total["disk"])
        """,
        env=cli.env,
    )
    assert "HAS 1.0 3.0 2.0" in found.stdout


def test_start_with_what_describes_the_node(cli, program, short_path):
    labels = short_path / "labels.yaml"
    labels.write_text('"zone": "east"\n')
    done = cli(
        "start",
        "--head",
        "--num-cpus=1",
        f"--port={free_port()}",
        "--labels=rack=r1",
        f"--labels-file={labels}",
        "--memory=1000000000",
        "--object-store-memory=200000000",
        "--node-name=head node",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    done = program(
        """
        import ray
        ray.init(address="auto")
        node = ray.nodes()[0]
        print("LABELS", node["Labels"]["rack"], node["Labels"]["zone"])
        print("MEMORY", node["Resources"]["memory"])
        print("STORE", 190_000_000 < node["Resources"]["object_store_memory"] <= 200_000_000)
        print("NODE", node["NodeName"])
        """,
        env=cli.env,
    )
    assert "LABELS r1 east" in done.stdout
    assert "MEMORY 1000000000.0" in done.stdout and "STORE True" in done.stdout
    assert "NODE head node" in done.stdout


def test_start_block_stays_until_the_cluster_ends(cli):
    command = [*cli.command, "start", "--head", "--num-cpus=1", f"--port={free_port()}", "--block"]
    with subprocess.Popen(command, env=cli.env, stdout=subprocess.PIPE, text=True) as blocked:
        lines = iter(blocked.stdout.readline, "")
        assert any("stop" in line or "block" in line for line in lines)
        assert blocked.poll() is None
        assert cli("stop").returncode == 0
        for _ in lines:
            pass
        blocked.wait(60)
