# SPDX-License-Identifier: GPL-2.0-or-later
"""The cache of images: one read-only folder per version of an image, complete or absent.

A build happens in a folder beside its target and ends with a rename. A lock per image lets other
processes wait; what a killed build left behind is removed by the next one.
"""
import contextlib
import fcntl
import json
import os
import shutil
import stat
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from bench.errors import BenchError
from bench.images import catalog, job

NOTE = "image.json"


@dataclass(frozen=True)
class Image:
    """A built image: files by fixed names in `folder`. They are read-only: runs use
    copy-on-write."""
    name: str
    hash: str
    folder: Path

    def file(self, name):
        return self.folder / name


def root():
    """Where images are kept."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "bulkhead" / "bench" / "images"


def get(name, say=None):
    """The image `name`, built first when it is not in the cache. BenchError when it cannot be
    built."""
    say = say or _say
    image = _image(name)
    if _is_complete(image.folder):
        return image
    for needed in catalog.builder(name).NEEDS:
        get(needed, say)
    try:
        image.folder.parent.mkdir(parents=True, exist_ok=True)
        with _lock(name, say):
            if not _is_complete(image.folder):
                _build(image, say)
    except OSError as error:
        raise BenchError(f"The image {name} could not be built.",
                         f"{error.filename or root()}: {error.strerror}",
                         "Make room or give rights there, or set XDG_CACHE_HOME "
                         "to another place.") from error
    return image


def _image(name):
    key = catalog.key(name)
    return Image(name, key, root() / f"{name}-{key}")


def _is_complete(folder):
    return (folder / NOTE).is_file()


def _say(text):
    print(text, file=sys.stderr, flush=True)


@contextlib.contextmanager
def _lock(name, say):
    with open(root() / f".{name}.lock", "a", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"Waiting for another process that builds the image {name}")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _build(image, say):
    """With the lock held. Leaves the complete image or nothing."""
    remove_leftovers(image.name)
    started = time.monotonic()
    say(f"Building the image {image.name} ({image.hash}), once; it is kept in {image.folder}")
    work = Path(tempfile.mkdtemp(prefix=f".{image.name}.build.", dir=root()))
    try:
        job.run(image.name, work, say)
        out = work / "out"
        seconds = round(time.monotonic() - started)
        _publish(out, image, seconds)
    finally:
        job.remove_tree(work)
    say(f"Built {image.name} in {seconds} s: {describe_sizes(image.folder)}")


def _publish(out, image, seconds):
    note = {"name": image.name, "hash": image.hash, "built": int(time.time()), "seconds": seconds}
    (out / NOTE).write_text(json.dumps(note) + "\n", encoding="ascii")
    for file in out.iterdir():
        file.chmod(0o444)
        _sync(file)
    _sync(out)
    os.rename(out, image.folder)
    _sync(image.folder.parent)


def _sync(path):
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def remove_leftovers(name):
    """Removes what killed builds of the image left behind. Only with its lock held."""
    for old in root().glob(f".{name}.build.*"):
        job.remove_tree(old)


def describe_sizes(folder):
    """Each file with what it takes on the disk."""
    files = sorted(file for file in folder.iterdir() if file.name != NOTE)
    return ", ".join(f"{file.name} {taken(file) / 2**20:.1f} MiB" for file in files)


def taken(file):
    return file.stat().st_blocks * 512


@dataclass(frozen=True)
class Entry:
    """One folder of the cache, for lists."""
    image: Image
    current: bool
    size: int
    built: float
    seconds: int


def entries():
    """What the cache holds, newest last."""
    found = [_entry(note) for note in root().glob(f"*/{NOTE}")]
    return sorted(found, key=lambda entry: entry.built)


def _entry(note):
    fields = json.loads(note.read_text(encoding="ascii"))
    name = fields["name"]
    current = name in catalog.names() and catalog.key(name) == fields["hash"]
    size = sum(taken(file) for file in note.parent.iterdir())
    return Entry(Image(name, fields["hash"], note.parent), current, size, fields["built"],
                 fields["seconds"])


def remove(entry):
    """Takes one image out of the cache; runs that have its files open keep them."""
    with _lock(entry.image.name, _say):
        (entry.image.folder / NOTE).unlink(missing_ok=True)
        shutil.rmtree(entry.image.folder, ignore_errors=True)


def prune():
    """Removes every image that the present recipes do not make, and leftovers of killed builds.
    Returns what was removed."""
    old = [entry for entry in entries() if not entry.current]
    for entry in old:
        remove(entry)
    for name in catalog.names():
        if root().is_dir() and any(root().glob(f".{name}.build.*")):
            with _lock(name, _say):
                remove_leftovers(name)
    return old


def is_read_only(image):
    """Whether nobody made the files of the image writable."""
    return not any(file.stat().st_mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH)
                   for file in image.folder.iterdir())
