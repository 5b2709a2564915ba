"""The README's commands, as they stand, one after the other in one shell, in a fresh folder that looks like the clone.
A newcomer pastes them: a command that fails, needs something typed over, or leaves out a step, fails here.

What is not as it stands: the engine listens on a port of its own choice, so `127.0.0.1:7450` is replaced by that; the
venv is there already, with the same packages; and the load generator signs 2,000 vouchers instead of 200,000. Targets
of `make` are looked up and not made: CI makes those that belong to it."""
import argparse
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
DEADLINE = 120  # seconds; a bound, not an expectation
# In this order, and no section with commands is left out.
LOOKED_UP = ("See it run", "Change it")
RUN = ("First voucher", "First window", "First bank file", "In production", "How fast is it here?")
# The engine is asked to stop, and waited for, however the commands end.
END = "trap 'kill $! && wait $!' EXIT\nset -e\n"
# What a reader must find in what the commands print, in this order.
PRINTED = (
    "outcome     credited", "OUTCOME_CREDITED at lsn", "200 CREDITED", "200 CREDITED, 4 STALE", "state              closed",
    "Buyer GmbH  b2b2b2b2b2b2b2b2 Seller GmbH", "all agrees          yes", "state          computed",
    "state          submitting", "Please pay EUR", ".1.pain.001.xml", "Upload ", "state          settled",
    "troubles", "token_file  ann.token", "four_eyes = ", "OK: window 2 is open",
)


def sections(text):
    """Title -> the shell blocks under it."""
    found = {}
    for part in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        title, _, body = part.partition("\n")
        blocks = re.findall(r"^```sh\n(.*?)^```$", body, flags=re.MULTILINE | re.DOTALL)
        if blocks:
            found[title] = blocks
    return found


def check_make(blocks):
    """Every command is `make` with targets that there are."""
    for line in "".join(blocks).splitlines():
        command = line.partition("#")[0].split()
        assert command[0] == "make", line
        target = command[1]
        makefile = (ROOT / "Makefile").read_text()
        assert re.search(rf"^{re.escape(target)}:", makefile, re.MULTILINE), f"no target: {line}"
        for variable in command[2:]:
            assert f"$({variable.partition('=')[0]})" in makefile, f"no such variable: {line}"


def anchors(page):
    """The names that GitHub gives to the headings of a page."""
    heads = re.findall(r"^#+ (.*)$", page.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def check_links():
    """Every link of the pages leads to a file that is there, and to a heading in it."""
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "docs" / "adr").glob("*.md"),
             *(ROOT / name / "README.md" for name in
               ("findings", "tests", "clients/typescript", "clients/python", "examples/x402", "examples/cluster"))]
    for page in pages:
        for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
            if link.startswith(("https://", "http://")):
                continue
            path, _, heading = link.partition("#")
            target = (page.parent / path).resolve() if path else page
            assert target.exists(), f"{page.relative_to(ROOT)}: {link} is not there"
            assert not heading or heading in anchors(target), f"{page.relative_to(ROOT)}: no heading {link}"


def check_javascript(text):
    """What it shows of the example in JavaScript stands there, and its vector is a published one."""
    shown, = re.findall(r"^```js\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    assert shown in (ROOT / "docs" / "examples" / "voucher.mjs").read_text(), "the README differs"
    file = json.loads((ROOT / "tests" / "vectors" / "vouchers.json").read_text())
    one = file["vouchers"][0]
    parts = (f"`{file['network_id']}`", f"`{one['signer']}`", f"`{one['payee']}`",
             f"{one['asset']}, {one['lane']}, {one['expires_at']}", f"`{one['channel_id']}`")
    table, = re.findall(r"(?:^\| [a-z ,]+ \| .* \|\n){5}", text, flags=re.MULTILINE)
    assert tuple(row.split(" | ")[1].rstrip(" |") for row in table.splitlines()) == parts, table


def like_the_clone(work, binaries):
    """The folders that the commands name; what they write stays in `work`."""
    (work / "target").mkdir()
    (work / "target" / "release").symlink_to(binaries)
    (work / "proto").symlink_to(ROOT / "proto")
    shutil.copytree(ROOT / "docs", work / "docs", ignore=shutil.ignore_patterns("node_modules"))
    # A copy, since the commands make it again in place, and others may be using this one.
    shutil.copytree(sys.prefix, work / "venv", symlinks=True)


def run(found, work):
    """One shell for all sections, as a person has one. Returns what was printed."""
    ready, printed = work / "ready.json", work / "printed"
    setting = {name: value for name, value in os.environ.items() if not name.startswith("TALLYSTICK_")}
    # What `npm ci` needs is here already, most days.
    setting |= {"npm_config_prefer_offline": "true", "npm_config_loglevel": "error"}
    setting |= {"TALLYSTICK_LISTEN": "127.0.0.1:0", "TALLYSTICK_READY_FILE": str(ready)}
    blocks = [block for title in RUN for block in found[title]]
    assert "tallystick serve" in blocks[0], "the first commands start an engine"
    with printed.open("wb") as out:
        shell = subprocess.Popen(["sh"], cwd=work, env=setting, stdin=subprocess.PIPE, stdout=out,
                                 stderr=subprocess.STDOUT, text=True, start_new_session=True)
    try:
        shell.stdin.write(END + blocks[0])
        shell.stdin.flush()
        until = time.monotonic() + DEADLINE
        while not ready.exists():
            assert time.monotonic() < until, "the engine is not ready"
            try:
                sys.exit(f"the shell ended with {shell.wait(timeout=0.02)}:\n{printed.read_text()}")
            except subprocess.TimeoutExpired:
                pass
        address = json.loads(ready.read_text())["grpc"]
        shell.stdin.write(f"unset TALLYSTICK_LISTEN TALLYSTICK_READY_FILE; export TALLYSTICK_SERVER={address}\n")
        for block in blocks[1:]:
            shell.stdin.write(block.replace("127.0.0.1:7450", address).replace("--vouchers 200000", "--vouchers 2000"))
        shell.stdin.close()
        code = shell.wait(timeout=DEADLINE)
    except BaseException:
        os.killpg(shell.pid, signal.SIGKILL)
        print(printed.read_text(), file=sys.stderr)
        raise
    text = printed.read_text()
    if code:
        sys.exit(f"{text}\nreadme: a command failed with {code}; what it printed is above")
    return text


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--engine", required=True, type=pathlib.Path)
    parser.add_argument("--work", required=True, type=pathlib.Path)
    args = parser.parse_args()
    readme = (ROOT / "README.md").read_text()
    check_javascript(readme)
    check_links()
    found = sections(readme)
    assert sorted(found) == sorted(LOOKED_UP + RUN), f"sections with commands: {sorted(found)}"
    for title in LOOKED_UP:
        check_make(found[title])
    args.work.mkdir()
    like_the_clone(args.work, args.engine.resolve().parent)
    text = run(found, args.work)
    place = 0
    for words in PRINTED:
        place = text.find(words, place)
        assert place >= 0, f"{words!r} is not printed, or not in its place:\n{text}"
    print("python: every command of the README works as it stands")


if __name__ == "__main__":
    main()
