"""Import and use the package without what another system lacks; no test, but a script for one.

    python tests/other_system.py win32|darwin FOLDER

Modules and functions that the system does not have are taken away before anything of the package is
imported, and it is told that it runs there.  Other packages are imported first: they know the real
system.  The last line that is printed is JSON: what `main` returns.
"""

import importlib
import json
import mmap
import os
import pathlib
import pkgutil
import signal
import sys
import types

OTHERS = (
    "alembic.command asyncio concurrent.futures.thread cv2 faiss fastapi fsspec httpx jinja2 "
    "multiprocessing numpy onnx onnxruntime openvino paho.mqtt.client PIL.Image psutil psycopg "
    "pyarrow ray rich.progress safetensors.numpy scipy.ndimage sqlalchemy subprocess tempfile "
    "tifffile torch typer uvicorn"
)
"""Modules of other packages, and those of Python that ask for the system when they are imported."""
MODULES = {"win32": "fcntl grp pty pwd resource syslog termios tty", "darwin": ""}
FUNCTIONS = {
    "win32": "O_DIRECTORY O_NOFOLLOW O_NONBLOCK fork getegid geteuid getloadavg getuid killpg nice "
    "posix_fadvise register_at_fork sched_getaffinity sched_setaffinity sync uname",
    "darwin": "sched_getaffinity sched_setaffinity",
}
ANSWERS = {"read_text": None, "write_text": None, "is_file": False, "is_dir": False}
"""What methods of a path say of files in /proc; None for an error."""


def outside_proc(function, answer=None):
    """The function of a path, for which there is nothing in /proc and /sys."""

    def checked(path, *arguments, **options):
        if not str(path).startswith(("/proc/", "/sys/")):
            return function(path, *arguments, **options)
        if answer is None:
            raise FileNotFoundError(2, "No such file or directory", str(path))
        return answer

    return checked


def take_away(system):
    """Leave what the system has."""
    for name in OTHERS.split():
        try:
            importlib.import_module(name)
        except ImportError:
            continue
    for name in MODULES[system].split():
        sys.modules[name] = None
    for name in FUNCTIONS[system].split():
        delattr(os, name)
    for name, answer in ANSWERS.items():
        setattr(pathlib.Path, name, outside_proc(getattr(pathlib.Path, name), answer))
    if system == "win32":
        del signal.SIGKILL
        for name in [name for name in dir(mmap) if name.startswith("MADV_")]:
            delattr(mmap, name)
        locks = types.SimpleNamespace(LK_NBLCK=1, locking=lambda handle, mode, n_bytes: None)
        sys.modules["msvcrt"] = locks
    sys.platform = system


def import_all(system):
    """Import all modules of the package.  -> names of other packages that are absent."""
    import patchbank

    absent = set()
    for module in pkgutil.walk_packages(patchbank.__path__, "patchbank."):
        if ".migrations." in module.name or module.name.endswith(("__main__", "int8.kernel")):
            continue  # they run when they are imported; the kernel is no module of Python
        try:
            importlib.import_module(module.name)
        except ImportError as error:
            missing = (error.name or "patchbank").partition(".")[0]
            if missing in ("patchbank", *MODULES[system].split()):
                raise
            absent.add(error.name)
    return sorted(absent)


def run(*arguments):
    """Run a command.  -> its exit status."""
    from patchbank.cli import main

    sys.argv = ["patchbank", *map(str, arguments)]
    try:
        return main()
    except SystemExit as error:
        return error.code


def main():
    """-> statuses of commands, absent packages, memory of this process, free memory."""
    system, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    take_away(system)
    absent = import_all(system)
    from patchbank.runtime.file_lock import locked_folder
    from patchbank.runtime.memory import free_bytes
    from patchbank.runtime.process import hold_to, peak_memory

    file, parts = folder / "parts.patchbank", folder / "parts"
    size = ["--image-size", "64x96", "--bank-rows", "50"]
    statuses = [
        run("fit", parts / "train" / "good", "--out", file, *size),
        run("predict", file, parts / "test", "--json", folder / "said.json"),
        run("tune", file, "--false-alarm-rate", "0.2"),
    ]
    with locked_folder(folder):
        hold_to([0])
    return [statuses, absent, peak_memory(), free_bytes()]


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main()) + "\n")
