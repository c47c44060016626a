"""Generate everything that follows from the protos: `make gen`.

Compiles the protos, with comments, into `.build/florin.binpb`, which buf lints and compares; writes
`gen/python` (messages, gRPC stubs, types); then lets `tools/generate_texts.py` write what else follows, in
a process of its own that sees the new code.

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
IMAGE = BUILD / "florin.binpb"
PYTHON_OUT = ROOT / "gen" / "python"
SITE_PACKAGES = Path(sysconfig.get_paths()["purelib"])
WELL_KNOWN = Path(grpc_tools.__file__).parent / "_proto"

# Error details travel inside `google.rpc.Status`; without them in the descriptor set Envoy leaves the
# bodies of errors out.
EXTRA_FILES = ("google/rpc/status.proto", "google/rpc/error_details.proto")
VALIDATE_PROTO = "buf/validate/validate.proto"


def run_protoc(*arguments: str, protos: Path = PROTOS) -> None:
    """Run the protoc inside grpcio-tools; raise SystemExit with its message if it refuses."""
    command = ["protoc", f"-I{protos}", f"-I{SITE_PACKAGES}", f"-I{WELL_KNOWN}", *arguments]
    if protoc.main(command) != 0:
        raise SystemExit("protoc refused the protos; its message is above")


def compile_image(image: Path, protos: Path = PROTOS) -> None:
    """Compile all protos of a folder, with what they import and their comments, into one file."""
    image.parent.mkdir(parents=True, exist_ok=True)
    run_protoc(
        f"--descriptor_set_in={validate_descriptor_set(image.parent)}",
        f"--descriptor_set_out={image}",
        "--include_imports",
        "--include_source_info",
        *_proto_names(protos),
        *EXTRA_FILES,
        protos=protos,
    )


def validate_descriptor_set(folder: Path) -> Path:
    """Write buf/validate's descriptor, taken from the installed protovalidate, and return the file."""
    file = FileDescriptorProto.FromString(validate_pb.desc().proto.to_binary())
    path = folder / "validate.binpb"
    path.write_bytes(FileDescriptorSet(file=[file]).SerializeToString())
    return path


def generate(out: Path) -> None:
    """Generate the Python modules below `out`."""
    validate = validate_descriptor_set(BUILD)
    files = _proto_names(PROTOS)
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


def _proto_names(protos: Path) -> list[str]:
    return sorted(str(path.relative_to(protos)) for path in protos.rglob("*.proto"))


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
    command = [sys.executable, "-m", "tools.generate_texts", *options]
    path = os.pathsep.join([str(PYTHON_OUT), os.environ.get("PYTHONPATH", "")])
    if subprocess.run(command, cwd=ROOT, env=os.environ | {"PYTHONPATH": path}, check=False).returncode:
        raise SystemExit(1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--check", action="store_true", help="fail if anything committed would change")
    parser.add_argument("--image", type=Path, help="only compile the protos into this file")
    parser.add_argument("--protos", type=Path, default=PROTOS, help="with --image: the protos to compile")
    arguments = parser.parse_args()
    if arguments.image:
        compile_image(arguments.image, arguments.protos)
        return
    compile_image(IMAGE)
    generate(PYTHON_OUT)
    if arguments.check:
        check_clean()
    run_docs(["--check"] if arguments.check else [])


if __name__ == "__main__":
    main()
