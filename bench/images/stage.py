# SPDX-License-Identifier: GPL-2.0-or-later
"""The stage: this tree's build as a disk, which control domains lay over /usr/local when they start
(control-domain/init)."""
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from bench.errors import BenchError

LABEL = "bulkhead-stage"
SPARE_MIB = 8


def make(target, build, extra=None):
    """Makes the ext4 image `target` with what `meson install` of the folder `build` puts into
    /usr/local. `extra`: a dict from paths inside /usr/local to local paths or bytes; bytes that
    start with #! and copies keep, or get, the right to run. Replaces an older `target`; leaves
    nothing when it fails (BenchError)."""
    target = Path(target)
    what = f"The stage {target} cannot be made."
    if not (Path(build) / "build.ninja").exists():
        raise BenchError(what, f"{build} is not a build folder.", "Make it with: meson setup build")
    try:
        with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as folder:
            root = Path(folder) / "root"
            _install(what, build, root)
            local = root / "usr/local"
            local.mkdir(parents=True, exist_ok=True)
            for path, content in (extra or {}).items():
                _add(what, local, path, content)
            image = Path(folder) / "image"
            _make_image(what, local, image)
            os.replace(image, target)
    except OSError as error:
        raise BenchError(what, f"{error.filename or target}: {error.strerror}",
                         _missing_tool(error)) from error
    return target


def _install(what, build, root):
    """The build must be for /usr/local: programs know their paths. Nothing is built here, so that
    root does not own the build."""
    _run(what, "meson", "install", "-C", build, "--no-rebuild", "--quiet", "--destdir",
         root.resolve())
    others = [str(folder) for folder in root.glob("*/*") if folder != root / "usr/local"]
    if others:
        raise BenchError(what, f"{build} installs outside of /usr/local: {' '.join(others)}",
                         "Set it up with --prefix=/usr/local.")
    schemas = root / "usr/local/share/glib-2.0/schemas"
    if schemas.is_dir():
        _run(what, "glib-compile-schemas", schemas)
    # glib's programs look for these caches, and the disk is read-only.
    applications = root / "usr/local/share/applications"
    if applications.is_dir() and shutil.which("update-desktop-database"):
        _run(what, "update-desktop-database", "--quiet", applications)


def _add(what, local, path, content):
    inner = local / path
    if Path(path).is_absolute() or ".." in Path(path).parts:
        raise BenchError(what, f"'{path}' is not a path inside /usr/local.")
    inner.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, bytes):
        inner.write_bytes(content)
        inner.chmod(0o755 if content.startswith((b"#!", b"\x7fELF")) else 0o644)
    elif Path(content).is_dir():
        shutil.copytree(content, inner, symlinks=True, dirs_exist_ok=True)
    else:
        shutil.copy2(content, inner)


def image_mib(local):
    """How large the image must be: what the files take, a tenth for the file system, and some."""
    taken = sum(-(-file.lstat().st_size // 4096) * 4096 + 512 for file in local.rglob("*"))
    return taken * 11 // 10 // 2**20 + SPARE_MIB


def _make_image(what, local, image):
    with open(image, "wb") as file:
        file.truncate(image_mib(local) << 20)
    # Owned by root inside, whoever makes it.
    _run(what, "mke2fs", "-q", "-F", "-t", "ext4", "-L", LABEL, "-m", "0", "-O", "^has_journal",
         "-E",
         "root_owner=0:0,lazy_itable_init=0", "-d", local, image)
    if os.geteuid() != 0:
        names = [f"/{file.relative_to(local)}" for file in local.rglob("*")]
        orders = "".join(f'set_inode_field "{name}" uid 0\nset_inode_field "{name}" gid 0\n'
                         for name in names)
        _run(what, "debugfs", "-w", "-f", "/dev/stdin", image, text_input=orders)


def _run(what, *command, text_input=""):
    env = dict(os.environ, LC_ALL="C")
    env.pop("DESTDIR", None)
    done = subprocess.run([str(word) for word in command], input=text_input,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, env=env, check=False)
    if done.returncode != 0:
        lines = "\n".join(done.stdout.strip().splitlines()[-5:])
        raise BenchError(what, f"{command[0]} failed:\n{lines}", "Free some space."
                         if "No space left" in lines else "")


def _missing_tool(error):
    packages = {"meson": "meson", "glib-compile-schemas": "libglib2.0-bin", "mke2fs": "e2fsprogs",
                "debugfs": "e2fsprogs"}
    package = packages.get(str(error.filename))
    return f"sudo apt install {package}" if package else ""
