# SPDX-License-Identifier: GPL-2.0-or-later
"""EFI system partitions as disk images, from any loader and files; no root, nothing mounted."""
import os
import subprocess
import tempfile
from pathlib import Path, PurePosixPath

from bench.errors import BenchError

LOADER = "EFI/BOOT/BOOTX64.EFI"
# What FAT takes besides the files, and room for the firmware to leave its own.
SPARE = 4 << 20
CLUSTER = 4096
SMALLEST_FAT32 = 36 << 20


def make(target, files):
    """Makes the FAT image `target` (one file system on the whole disk) with `files`: a dict from
    paths inside it to local paths or bytes. OVMF boots EFI/BOOT/BOOTX64.EFI. Replaces an older
    `target`; leaves nothing when it fails (BenchError)."""
    target = Path(target)
    contents = {_inner_path(path): content for path, content in files.items()}
    size = needed_size(_sizes(target, contents), len(_folders(contents)))
    with _errors(target):
        descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        os.close(descriptor)
        try:
            _format(name, size)
            _fill(name, contents)
            os.chmod(name, 0o644)
            os.replace(name, target)
        finally:
            Path(name).unlink(missing_ok=True)
    return target


def needed_size(file_sizes, folder_count=0):
    """Bytes of the image that holds files of these sizes: whole MiB, enough for FAT32, which is
    what firmware expects."""
    clusters = sum(-(-size // CLUSTER) for size in file_sizes) + 2 * folder_count
    needed = max(clusters * CLUSTER * 101 // 100 + SPARE, SMALLEST_FAT32)
    return -(-needed // 2**20) * 2**20


def _inner_path(path):
    inner = PurePosixPath(path)
    if inner.is_absolute() or ".." in inner.parts or not inner.parts:
        raise BenchError(f"'{path}' cannot be a file on an EFI partition.",
                         "It is not a path inside of it.")
    return inner


def _folders(contents):
    """All folders the files are in, outer ones first."""
    found = {parent for path in contents for parent in path.parents if parent.parts}
    return sorted(found, key=lambda folder: (len(folder.parts), str(folder)))


def _sizes(target, contents):
    try:
        return [len(content) if isinstance(content, bytes) else os.stat(content).st_size
                for content in contents.values()]
    except OSError as error:
        raise BenchError(f"The EFI partition {target} cannot be made.",
                         f"{error.filename}: {error.strerror}") from error


class _errors:
    """Turns what can go wrong with programs and files into a BenchError."""

    def __init__(self, target):
        self.target = target

    def __enter__(self):
        return self

    def __exit__(self, _kind, error, _trace):
        what = f"The EFI partition {self.target} cannot be made."
        if isinstance(error, FileNotFoundError) and error.filename in ("mkfs.vfat", "mcopy", "mmd"):
            raise BenchError(what, f"{error.filename} is not installed.",
                             "sudo apt install mtools dosfstools") from error
        if isinstance(error, OSError):
            raise BenchError(what, f"{error.filename or self.target}: {error.strerror}") from error
        if isinstance(error, subprocess.CalledProcessError):
            raise BenchError(what, f"{error.cmd[0]}: {error.stderr.strip()}") from error


def _run(*command, **options):
    env = dict(os.environ, LC_ALL="C",
               PATH=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin", MTOOLS_SKIP_CHECK="1")
    options.setdefault("stdin", subprocess.DEVNULL)
    subprocess.run([str(word) for word in command], check=True, stdout=subprocess.PIPE,
                   stderr=subprocess.PIPE, text=True, env=env, **options)


def _format(image, size):
    os.truncate(image, size)
    _run("mkfs.vfat", "-F", "32", "-s", CLUSTER // 512 if size >= 300 << 20 else 1, "-n", "EFI",
         image)


def _fill(image, contents):
    folders = _folders(contents)
    if folders:
        _run("mmd", "-i", image, *(f"::/{folder}" for folder in folders))
    for path, content in contents.items():
        if isinstance(content, bytes):
            with tempfile.NamedTemporaryFile() as file:
                file.write(content)
                file.flush()
                _run("mcopy", "-i", image, file.name, f"::/{path}")
        else:
            _run("mcopy", "-i", image, content, f"::/{path}")
