"""Makes the stubs of the wire contract anew: `generate.py` writes them into the package, `generate.py --check` compares."""
from __future__ import annotations

import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT, PACKAGE = HERE.parents[2], HERE.parent / "src" / "tallystick" / "v1"
FILES = ("vouchers.proto", "operator.proto")


def generate(into: pathlib.Path) -> dict[str, str]:
    """File name -> text."""
    plugins = ("python_out", "mypy_out", "grpc_python_out", "mypy_grpc_out")
    subprocess.run(
        [sys.executable, "-m", "grpc_tools.protoc", "-I", str(ROOT / "proto"), *(f"--{name}={into}" for name in plugins),
         *(f"tallystick/v1/{file}" for file in FILES)], check=True, capture_output=True)
    return {path.name: path.read_text() for path in (into / "tallystick" / "v1").iterdir()}


def current() -> dict[str, str]:
    """What the package has."""
    return {path.name: path.read_text() for path in PACKAGE.glob("*_pb2*")}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        made = generate(pathlib.Path(folder))
    if sys.argv[1:] == ["--check"]:
        differ = sorted(name for name in made.keys() | current().keys() if made.get(name) != current().get(name))
        if differ:
            sys.exit(f"{', '.join(differ)}: not what proto/ says; run clients/python/tests/generate.py")
        return
    PACKAGE.mkdir(exist_ok=True)
    (PACKAGE / "__init__.py").write_text('"""The wire contract, made from proto/ by tests/generate.py."""\n')
    for name, text in made.items():
        (PACKAGE / name).write_text(text)


if __name__ == "__main__":
    main()
