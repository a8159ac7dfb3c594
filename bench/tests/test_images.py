# SPDX-License-Identifier: GPL-2.0-or-later
"""Images: the cache's promises, the archives and partitions; nothing here needs the network or
minutes."""
import fcntl
import json
import os
import shutil
import subprocess
import threading
import time
from pathlib import Path

import pytest

from bench.errors import BenchError
from bench.images import cache, catalog, cli, esp, initramfs, job, kernel, stage


@pytest.fixture(name="root")
def make_root(tmp_path, monkeypatch):
    """An empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = cache.root()
    folder.mkdir(parents=True)
    return folder


@pytest.fixture(name="builds")
def make_builds(monkeypatch):
    """A builder that only notes its calls."""
    calls = []

    def run(name, work, _say):
        calls.append(name)
        (work / "out").mkdir()
        (work / "out" / "disk.qcow2").write_bytes(b"disk")

    monkeypatch.setattr(job, "run", run)
    return calls


def test_builds_once_and_keeps_it_read_only(root, builds):
    image = cache.get("control-domain")
    again = cache.get("control-domain")
    assert builds == ["control-domain"] and image == again
    assert image.folder.parent == root and image.file("disk.qcow2").read_bytes() == b"disk"
    assert cache.is_read_only(image)


def test_builds_what_an_image_needs_first(root, builds):
    cache.get("efi-guest")
    assert builds == ["tiny-guest", "efi-guest"]


def test_a_failed_build_leaves_nothing(root, monkeypatch):
    def run(_name, work, _say):
        (work / "half").write_bytes(b"half a disk")
        raise BenchError("no")

    monkeypatch.setattr(job, "run", run)
    with pytest.raises(BenchError):
        cache.get("control-domain")
    assert [path.name for path in root.iterdir()] == [".control-domain.lock"]


def test_leftovers_of_a_killed_build_are_removed(root, builds):
    old = root / ".control-domain.build.killed"
    (old / "root").mkdir(parents=True)
    cache.get("control-domain")
    assert not old.exists()


def test_a_folder_without_its_note_is_not_an_image(root, builds):
    image = cache._image("control-domain")
    assert not cache._is_complete(image.folder)


def test_a_second_process_waits_and_does_not_build(root, builds):
    said = []
    image = cache._image("control-domain")
    with open(root / ".control-domain.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        other = threading.Thread(target=cache.get, args=("control-domain", said.append))
        other.start()
        deadline = time.monotonic() + 10
        while not said and time.monotonic() < deadline:
            time.sleep(0.01)
        image.folder.mkdir()
        (image.folder / cache.NOTE).write_text("{}", encoding="ascii")
    other.join(10)
    assert said == ["Waiting for another process that builds the image control-domain"]
    assert not builds


def test_list_and_prune(root, builds, capsys):
    cache.get("tiny-guest")
    old = root / "tiny-guest-0000"
    old.mkdir()
    note = {"name": "tiny-guest", "hash": "0000", "built": 1, "seconds": 2}
    (old / cache.NOTE).write_text(json.dumps(note), encoding="ascii")
    cli.main([])
    listing = capsys.readouterr().out.splitlines()
    assert "(old)" in listing[0] and "(old)" not in listing[1]
    assert "efi-guest                not built" in listing
    cli.main(["prune"])
    assert not old.exists() and cache.get("tiny-guest").folder.exists() and builds == ["tiny-guest"]


def test_unknown_image():
    with pytest.raises(BenchError, match="control-domain-desktop"):
        cache.get("windows")


def test_the_hash_follows_the_recipe(tmp_path, monkeypatch):
    copy = tmp_path / "bench/images"
    shutil.copytree(catalog.HERE, copy, symlinks=True)
    shutil.copytree(catalog.TREE / "client/demo/recipe", tmp_path / "client/demo/recipe",
                    symlinks=True)
    before = {name: catalog.key(name) for name in catalog.names()}
    monkeypatch.setattr(catalog, "HERE", copy)
    monkeypatch.setattr(catalog, "TREE", tmp_path)
    assert {name: catalog.key(name) for name in catalog.names()} == before
    with open(copy / "tiny-guest/modules", "a", encoding="ascii") as file:
        file.write("# more\n")
    changed = {name for name in catalog.names() if catalog.key(name) != before[name]}
    assert changed == {"tiny-guest", "efi-guest"}


def test_missing_tools_are_named(root, monkeypatch):
    monkeypatch.setitem(job.TOOLS, "no-such-tool", "no-such-package")
    with pytest.raises(BenchError, match="sudo apt install .*no-such-package"):
        cache.get("tiny-guest")


def test_a_full_disk_is_noticed_before(root, monkeypatch):
    monkeypatch.setattr(job, "NEED_MIB", 1 << 40)
    with pytest.raises(BenchError, match="MiB free"):
        cache.get("tiny-guest")


@pytest.mark.parametrize("line, reason", [
    ("mke2fs: No space left on device", "disk is full"),
    ("Err:1 Temporary failure resolving 'deb.debian.org'", "cannot be reached"),
    ("The following signatures couldn't be verified: NO_PUBKEY", "signature"),
    ("--- Making the disk\nboom", "Making the disk"),
])
def test_a_log_is_explained(line, reason):
    assert reason in job.explain(line)[0]


@pytest.mark.skipif(not shutil.which("cpio"), reason="needs cpio")
def test_cpio_archive_is_read_by_others(tmp_path):
    tree = tmp_path / "tree"
    (tree / "bin").mkdir(parents=True)
    (tree / "bin/sh").write_bytes(b"abc")
    (tree / "sbin").symlink_to("bin")
    initramfs.write_cpio(tree, tmp_path / "archive")
    with open(tmp_path / "archive", "rb") as archive:
        listing = subprocess.run(["cpio", "-t", "--quiet"], stdin=archive, capture_output=True,
                                 text=True, check=True).stdout
    # Folders before what is in them; the rest in any order.
    names = listing.split()
    assert sorted(names) == ["bin", "bin/sh", "sbin"] and names.index("bin") < names.index("bin/sh")


def test_modules_with_what_they_need(tmp_path):
    (tmp_path / "modules.dep").write_text("kernel/fs/ext4.ko: kernel/fs/jbd2.ko\n"
                                        "kernel/fs/jbd2.ko:\n", encoding="ascii")
    (tmp_path / "modules.builtin").write_text("kernel/lib/crc-16.ko\n", encoding="ascii")
    assert initramfs.closure(tmp_path, ["ext4", "crc_16"]) == ["kernel/fs/ext4.ko",
                                                               "kernel/fs/jbd2.ko"]
    with pytest.raises(BenchError, match="zfs"):
        initramfs.closure(tmp_path, ["zfs"])


def test_not_a_kernel():
    for data in (b"", bytes(2048), b"MZ" + bytes(0x1F0) + b"HdrS"):
        with pytest.raises(BenchError):
            kernel.extract_elf(data)


def test_esp_holds_the_files(tmp_path):
    local = tmp_path / "loader"
    local.write_bytes(b"MZ" * 1000)
    image = esp.make(tmp_path / "esp.img",
                     {esp.LOADER: local, "EFI/BOOT/BOOTX64.cfg": b"[global]\n", "top": b"1"})
    listing = subprocess.run(["mdir", "-b", "-/", "-i", image, "::/"], capture_output=True,
                             text=True, check=True).stdout
    assert {"::/EFI/BOOT/BOOTX64.EFI", "::/EFI/BOOT/BOOTX64.cfg", "::/top"} <= set(listing.split())
    text = subprocess.run(["mtype", "-i", image, "::/EFI/BOOT/BOOTX64.cfg"], capture_output=True,
                          check=True).stdout
    assert text == b"[global]\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["esp.img", "loader"]


def test_esp_grows_with_its_files(tmp_path):
    assert esp.needed_size([1]) == esp.SMALLEST_FAT32
    big = tmp_path / "big"
    with open(big, "wb") as file:
        file.truncate(150 << 20)
    image = esp.make(tmp_path / "esp.img", {"EFI/BOOT/kernel": big})
    assert 150 << 20 < image.stat().st_size < 165 << 20


@pytest.mark.parametrize("files",
                         [{"/abs": b""}, {"../up": b""}, {"": b""}, {"gone": "/no/such/file"}])
def test_esp_with_bad_files(tmp_path, files):
    with pytest.raises(BenchError):
        esp.make(tmp_path / "esp.img", files)
    assert not any(tmp_path.iterdir())


def test_esp_where_it_cannot_be():
    with pytest.raises(BenchError, match="No such file"):
        esp.make("/no/such/folder/esp.img", {"a": b""})


def test_esp_without_tools(tmp_path, monkeypatch):
    def run(*_command, **_options):
        raise FileNotFoundError(2, "No such file or directory", "mkfs.vfat")

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(BenchError, match="sudo apt install mtools dosfstools"):
        esp.make(tmp_path / "esp.img", {"a": b""})
    assert not any(tmp_path.iterdir())


def test_stage_of_no_build(tmp_path):
    with pytest.raises(BenchError, match="is not a build folder"):
        stage.make(tmp_path / "stage.img", tmp_path)


def test_recipes_are_complete():
    for name in catalog.names():
        module = catalog.builder(name)
        for file in module.files(name):
            assert (catalog.HERE / file).exists(), file
    for script in ("control-domain/init", "control-domain/rootfs/usr/lib/bench/xen",
                   "tiny-guest/rootfs/init"):
        assert os.access(catalog.HERE / script, os.X_OK)
        subprocess.run(["sh", "-n", catalog.HERE / script], check=True)


def test_lines_are_short():
    for file in Path(catalog.HERE).glob("*.py"):
        assert all(len(line) <= 100 for line in file.read_text(encoding="utf-8").splitlines()), file
