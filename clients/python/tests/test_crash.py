"""kill -9 of the agent at seeded points, and of the engine beside every tenth of them: nothing lost, nothing paid twice.
CRASHES=1000 SEED=1 ENGINE_KILLS=0.5 is a long run."""
from __future__ import annotations

import os
import pathlib
import random
import secrets
import signal
import subprocess
import sys
import threading
import time

from engine import BUYER, Engine
from test_pay import shop

from tallystick import AgentKey

CRASHES, JOBS = int(os.environ.get("CRASHES", "12")), 16
ENGINE_KILLS = float(os.environ.get("ENGINE_KILLS", "0.1"))
PAYER = pathlib.Path(__file__).with_name("payer.py")


def test_every_job_is_paid_once(tmp_path: pathlib.Path) -> None:
    pick = random.Random(int(os.environ.get("SEED", "1")))
    engine = Engine(tmp_path).start().settle()
    secret = secrets.token_hex(32)
    engine.cli("signer", "add", "--party", BUYER, "--key", AgentKey(secret).signer.hex())
    waiting: dict[str, None] = {}
    done: dict[str, str] = {}
    jobs = kills = 0

    def life(url: str, after: int = -1, pause: float = 0) -> None:
        """One life of the agent; it ends by itself, or is killed a moment after so many jobs are done."""
        child = subprocess.Popen(
            [sys.executable, str(PAYER), secret, engine.url, str(tmp_path / "agent.lanes"), url, *waiting],
            stdout=subprocess.PIPE, text=True)
        assert child.stdout
        timer = threading.Timer(pause, child.kill)
        for lived, line in enumerate(child.stdout):
            if lived == after:
                timer.start()
            if line.startswith("done ") and line.endswith("\n"):
                _, job, transaction = line.split()
                assert job not in done, f"job {job} was done before"
                done[job] = transaction
                del waiting[job]
        child.wait()
        timer.cancel()

    with shop(engine.url) as store:
        for _ in range(CRASHES):
            for _ in range(JOBS):
                jobs += 1
                waiting[str(jobs)] = None
            living = threading.Thread(target=life, args=(store.paid, pick.randrange(JOBS), pick.random() * 0.03))
            is_both, pause = pick.random() < ENGINE_KILLS, pick.random() * 0.5
            living.start()
            if is_both:
                kills += 1
                time.sleep(pause)
                engine.end(signal.SIGKILL)
                engine.start()
            living.join()
        for _ in range(5):
            if waiting:
                life(store.paid)
        assert not waiting, "every job came to its end"
    assert len(done) == len(set(done.values())) == jobs, "each has a commitment of its own"
    assert engine.owed() == jobs * 100, "the engine's books: each once"
    engine.end()
    print(f"{CRASHES} kills of the agent, {kills} of the engine, {jobs} jobs: 0 lost, 0 paid twice")
