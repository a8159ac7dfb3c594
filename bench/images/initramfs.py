# SPDX-License-Identifier: GPL-2.0-or-later
"""Small initramfs archives: busybox, a few kernel modules with what they depend on, one init
program.

Far quicker to start on an emulated processor than what initramfs-tools makes with udev in it.
"""
import os
import shutil
import stat
from pathlib import Path

from bench.errors import BenchError


def kernel_version(root):
    """The version of the one kernel in the system `root`."""
    versions = sorted(folder.name for folder in (root / "lib/modules").iterdir())
    if len(versions) != 1:
        raise BenchError("The Debian system has no kernel, or several.",
                         f"lib/modules: {' '.join(versions) or 'empty'}")
    return versions[0]


def read_list(file):
    """The words of a list with comments."""
    lines = file.read_text(encoding="utf-8").splitlines()
    return [word for line in lines for word in line.partition("#")[0].split()]


def make_tree(job, root, tree, init, modules):
    """The folder `tree` with busybox and `modules` from the system `root`, and the program
    `init`."""
    for folder in ("bin", "dev", "proc", "sys", "run", "root", "tmp", "etc"):
        (tree / folder).mkdir(parents=True)
    shutil.copy2(root / "bin/busybox", tree / "bin/busybox")
    for applet in job.read("chroot", root, "busybox", "--list").split():
        if applet != "busybox":
            (tree / "bin" / applet).symlink_to("busybox")
    (tree / "sbin").symlink_to("bin")
    shutil.copy2(init, tree / "init")
    copy_modules(job, root, tree, modules)


def copy_modules(job, root, tree, modules):
    """Copies the modules and all they depend on, and indexes them."""
    version = kernel_version(root)
    source, target = root / "lib/modules" / version, tree / "lib/modules" / version
    for path in closure(source, modules):
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source / path, target / path)
    for index in ("modules.order", "modules.builtin", "modules.builtin.modinfo"):
        shutil.copy2(source / index, target / index)
    inside = root / "tmp/initramfs"
    shutil.copytree(tree / "lib", inside / "lib")
    job.run("chroot", root, "/sbin/depmod", "-b", "/tmp/initramfs", version)
    for index in ("modules.dep", "modules.alias", "modules.symbols", "modules.softdep"):
        shutil.copy2(inside / "lib/modules" / version / index, target / index)
    for index in ("modules.order", "modules.builtin.modinfo"):
        (target / index).unlink()
    shutil.rmtree(inside)


def closure(source, modules):
    """Paths of the modules and of what they depend on, from modules.dep. Built-in ones are left
    out; unknown ones are an error."""
    needs = {}
    for line in (source / "modules.dep").read_text(encoding="ascii").splitlines():
        path, _, rest = line.partition(":")
        needs[path] = rest.split()
    by_name = {module_name(path): path for path in needs}
    builtin = {module_name(path)
               for path in (source / "modules.builtin").read_text(encoding="ascii").split()}
    found = []
    for name in (module_name(module) for module in modules):
        if name in by_name:
            found += [by_name[name], *needs[by_name[name]]]
        elif name not in builtin:
            raise BenchError("A kernel module of the recipe does not exist.",
                             f"{name}: not in {source}")
    return list(dict.fromkeys(found))


def module_name(path):
    return Path(path).name.partition(".ko")[0].replace("-", "_")


def write_cpio(tree, archive):
    """The folder as a cpio archive (newc), everything owned by root."""
    with open(archive, "wb") as out:
        for number, path in enumerate(_walk(tree), 1):
            _write_entry(out, number, str(path.relative_to(tree)), path)
        _write_header(out, 0, "TRAILER!!!", 0, 0)


def _walk(tree):
    for folder, folders, files in os.walk(tree):
        folders.sort()
        yield from (Path(folder) / name for name in sorted(folders + files))


def _write_entry(out, number, name, path):
    status = path.lstat()
    if stat.S_ISLNK(status.st_mode):
        content = os.readlink(path).encode()
    else:
        content = path.read_bytes() if stat.S_ISREG(status.st_mode) else b""
    _write_header(out, number, name, status.st_mode, len(content))
    out.write(content + bytes(-len(content) % 4))


def _write_header(out, number, name, mode, size):
    """The fields of newc: ino mode uid gid nlink mtime filesize devmajor devminor rdevmajor
    rdevminor namesize check."""
    text = name.encode() + b"\0"
    fields = (number, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, len(text), 0)
    header = b"070701" + b"".join(b"%08x" % field for field in fields) + text
    out.write(header + bytes(-len(header) % 4))
