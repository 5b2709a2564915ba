"""The agent of test_crash.py: pays for the jobs that it is told, eight at once, and says which are done. Killed at any moment.
Usage: payer.py KEY FACILITATOR LANES URL JOB..."""
from __future__ import annotations

import base64
import json
import sys
from concurrent.futures import ThreadPoolExecutor

from tallystick import Agent


def main() -> None:
    key, facilitator, lanes, url, *jobs = sys.argv[1:]
    agent = Agent(key, facilitator, lanes=lanes)
    print("ready", flush=True)

    def pay(job: str) -> None:
        answer = client.get(url, params={"job": job}, headers={"Idempotency-Key": f"job-{job}"})
        if answer.status_code == 200:
            said = json.loads(base64.b64decode(answer.headers["payment-response"]))
            sys.stdout.write(f"done {job} {said['transaction']}\n")
            sys.stdout.flush()
        else:
            print(job, answer.status_code, dict(answer.headers), file=sys.stderr)

    with agent.client(timeout=60) as client, ThreadPoolExecutor(8) as pool:
        list(pool.map(pay, jobs))
    agent.close()


if __name__ == "__main__":
    main()
