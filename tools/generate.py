"""Generate everything that follows from the protos: `make gen`.

Writes `gen/python` (messages, gRPC stubs, types) and two descriptor sets in `.build`: `florin.binpb`
with comments, for buf's lint and breaking checks, and the same compiled set that Envoy transcodes by. Then
`tools/generate_docs.py` writes the reference pages, in a process of its own that sees the new code.

google/* comes from the `googleapis-common-protos` package and buf/validate from the descriptor inside
`protovalidate`; neither is copied into `protos/`.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import grpc_tools
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from grpc_tools import protoc
from protovalidate._gen.buf.validate import validate_pb

ROOT = Path(__file__).resolve().parent.parent
PROTOS = ROOT / "protos"
BUILD = ROOT / ".build"
PYTHON_OUT = ROOT / "gen" / "python"
SITE_PACKAGES = Path(sysconfig.get_paths()["purelib"])
WELL_KNOWN = Path(grpc_tools.__file__).parent / "_proto"

# Error details travel inside `google.rpc.Status`; without them in the descriptor set Envoy leaves the
# bodies of errors out.
EXTRA_FILES = ("google/rpc/status.proto", "google/rpc/error_details.proto")
VALIDATE_PROTO = "buf/validate/validate.proto"


def run_protoc(*arguments: str) -> None:
    """Run the protoc inside grpcio-tools; raise SystemExit with its message if it refuses."""
    command = ["protoc", f"-I{PROTOS}", f"-I{SITE_PACKAGES}", f"-I{WELL_KNOWN}", *arguments]
    if protoc.main(command) != 0:
        raise SystemExit("protoc refused the protos; its message is above")


def validate_descriptor_set() -> Path:
    """Write buf/validate's descriptor, taken from the installed protovalidate, and return the file."""
    file = FileDescriptorProto.FromString(validate_pb.desc().proto.to_binary())
    path = BUILD / "validate.binpb"
    path.write_bytes(FileDescriptorSet(file=[file]).SerializeToString())
    return path


def generate(out: Path) -> None:
    """Generate all outputs, the Python ones below `out`."""
    BUILD.mkdir(exist_ok=True)
    validate = validate_descriptor_set()
    files = sorted(str(path.relative_to(PROTOS)) for path in PROTOS.rglob("*.proto"))
    run_protoc(
        f"--descriptor_set_in={validate}",
        f"--descriptor_set_out={BUILD / 'florin.binpb'}",
        "--include_imports",
        "--include_source_info",
        *files,
        *EXTRA_FILES,
    )
    for package in ("florin", "buf"):
        shutil.rmtree(out / package, ignore_errors=True)
    out.mkdir(parents=True, exist_ok=True)
    scripts = Path(sys.executable).parent
    run_protoc(
        f"--descriptor_set_in={validate}",
        f"--plugin=protoc-gen-mypy={scripts / 'protoc-gen-mypy'}",
        f"--plugin=protoc-gen-mypy_grpc={scripts / 'protoc-gen-mypy_grpc'}",
        f"--python_out={out}",
        f"--mypy_out=quiet:{out}",
        *files,
        VALIDATE_PROTO,
    )
    services = [name for name in files if name.endswith("_service.proto")]
    run_protoc(
        f"--descriptor_set_in={validate}",
        f"--plugin=protoc-gen-mypy_grpc={scripts / 'protoc-gen-mypy_grpc'}",
        f"--grpc_python_out={out}",
        f"--mypy_grpc_out=quiet:{out}",
        *services,
    )
    for package in ("florin", "buf"):
        (out / package / "py.typed").touch()


def check_clean() -> None:
    """Exit with the differing files if `gen/` is not what the protos generate."""
    status = subprocess.run(
        ["git", "status", "--porcelain", "--", "gen"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    if status:
        raise SystemExit(f"gen/ is not what the protos generate; commit the result of `make gen`:\n{status}")


def run_docs(options: list[str]) -> None:
    """Write or check the reference pages; exit with the message of what is wrong."""
    command = [sys.executable, "-m", "tools.generate_docs", *options]
    path = os.pathsep.join([str(PYTHON_OUT), os.environ.get("PYTHONPATH", "")])
    if subprocess.run(command, cwd=ROOT, env=os.environ | {"PYTHONPATH": path}, check=False).returncode:
        raise SystemExit(1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--check", action="store_true", help="fail if gen/ differs from the committed state")
    arguments = parser.parse_args()
    generate(PYTHON_OUT)
    if arguments.check:
        check_clean()
    run_docs(["--check"] if arguments.check else [])


if __name__ == "__main__":
    main()
