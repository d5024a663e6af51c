"""What a driver reads when its cluster has ended: the reason, as far as anybody knows it."""

from __future__ import annotations

import os
import signal
import subprocess

import pytest
from cluster import daemon, killed_at_the_end, read_until, start_driver

DRIVER = """
import whipray as ray
ray.init(address="auto")
@ray.remote
def f():
    import time
    time.sleep(1000)
r = f.remote()
print("ready", flush=True)
try:
    ray.get(r, timeout=60)
except ray.exceptions.LocalRayletDiedError as error:
    print("died", error, flush=True)
try:
    f.remote()
except ray.exceptions.LocalRayletDiedError as error:
    print("again", error, flush=True)
try:
    ray.nodes()
except ray.exceptions.LocalRayletDiedError as error:
    print("call", error, flush=True)
"""


def test_a_driver_of_a_cluster_that_was_stopped_reads_so(short_dir):
    env = {**os.environ, "WHIPRAY_TMPDIR": short_dir, "HOME": short_dir}
    whipray = os.path.join(os.environ["WHIPRAY_BIN_DIR"], "whipray")

    def run(*words: str) -> None:
        subprocess.run([whipray, *words], check=True, env=env, timeout=60, capture_output=True)

    run("start", "--head", "--num-cpus", "1")
    try:
        with killed_at_the_end(start_driver(DRIVER, env=env)) as driver:
            read_until(driver, "ready")
            run("stop")
            why = "the raylet of this node has died: the cluster was ended by `whipray stop`"
            assert read_until(driver, "died") == why
            assert read_until(driver, "again") == why
            assert why in read_until(driver, "call")
    finally:
        run("stop")


@pytest.mark.parametrize(
    ("number", "said"), [("SIGKILL", "ended by SIGKILL"), ("SIGABRT", "SIGABRT")]
)
def test_the_owner_of_a_cluster_reads_how_its_raylet_ended_and_where_its_log_is(number, said):
    import whipray as ray

    context = ray.init(num_cpus=1, log_to_driver=False)
    try:

        @ray.remote
        def f():
            import time

            time.sleep(1000)

        r = f.remote()
        os.kill(daemon("raylet"), getattr(signal, number))
        with pytest.raises(ray.exceptions.LocalRayletDiedError) as died:
            ray.get(r, timeout=60)
        text = str(died.value)
        assert text.startswith("the raylet of this node has died"), text
        assert said in text, text
        log = os.path.join(context.address_info["session_dir"], "logs", "raylet.out")
        assert f"its log is {log}" in text, text
    finally:
        ray.shutdown()
