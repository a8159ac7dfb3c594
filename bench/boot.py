# SPDX-License-Identifier: GPL-2.0-or-later
"""From a Config to a machine whose control domain answers."""
import os
import shutil
from pathlib import Path

from bench import files, hypervisors, images, qemu_command, staging
from bench.errors import BenchError
from bench.qemu import QemuMachine
from bench.runfolder import RunFolder

# Seconds until a machine that still does not answer is given up; a quiet computer needs a tenth.
LIMITS = {"none": 300, "xen": 900, "bulkhead": 900}
INTEL_LIMIT = 900


def limit(config):
    """Seconds until a machine of this kind is given up."""
    return INTEL_LIMIT if config.cpu == "intel" else LIMITS[config.hypervisor]


def boot(config, name="bench", wait=True, timeout=None, runs=None):
    """A machine, up (unless `wait` is false: then just powered on). It ends with this process at the
    latest. BenchError when it cannot start or does not come up within `timeout` seconds; then
    nothing is left running."""
    images.get(config.image)  # built before there is a run folder: it may take minutes
    folder = RunFolder(name, runs)
    try:
        machine = _new_machine(config, folder, name)
    except BaseException:
        folder.close("failed to start")
        raise
    return _bring_up(machine, wait, timeout)


def again(machine, wait=True, timeout=None, name=None):
    """Boots the disks of a machine that was switched off or lost its power, in a run folder of its own.
    The old run's disks are moved, not copied."""
    machine.folder.keep_disks = True
    machine.close("ended, its disks go on")
    folder = RunFolder(name or machine.name, machine.folder.path.parent)
    shutil.rmtree(folder.path / "disks")
    (machine.folder.path / "disks").rename(folder.path / "disks")
    try:
        machine = _new_machine(machine.config, folder, name or machine.name, fresh=False)
    except BaseException:
        folder.close("failed to start")
        raise
    return _bring_up(machine, wait, timeout)


def _bring_up(machine, wait, timeout):
    try:
        machine.power_on()
        if wait:
            machine.wait_up(timeout or limit(machine.config))
    except BaseException:
        machine.close("did not come up")
        raise
    return machine


def _new_machine(config, folder, name, fresh=True):
    if config.cpu == "intel":
        from bench.bochs import BochsMachine
        return BochsMachine(config, folder, name)
    return QemuMachine(config, folder, name, parts(config, folder, fresh))


def parts(config, folder, fresh=True, stage=None):
    """The files of a QEMU machine, made in the run folder (or found there unless `fresh`). `stage`: another
    stage disk than that of the current build."""
    image = images.get(config.image)
    found = qemu_command.Parts(qmp_fd=-1, console_fds={}, agent_fd=-1, disks=disks(config, folder, fresh, stage),
                               sound=str(folder.path / "sound.wav"))
    if config.boot == "direct":
        found.direct = hypervisors.direct(config, image)
        return found
    esp, variables = folder.path / "disks/esp.img", folder.path / "disks/variables.fd"
    if fresh:
        images.esp.make(esp, hypervisors.esp_files(config, image))
        try:
            shutil.copyfile(qemu_command.OVMF_VARS, variables)
        except FileNotFoundError:
            raise BenchError("The EFI firmware OVMF is not installed.", "", "Install the package ovmf.")
    found.variables = str(variables)
    found.esp = {"driver": "raw", "node-name": "esp",
                 "file": {"driver": "file", "filename": str(esp)}}
    return found


def disks(config, folder, fresh=True, stage=None):
    """Names and block devices of the machine's disks: root, the tree's build, further images, data."""
    place = folder.path / "disks"
    found = [("root", _overlay(images.get(config.image).folder / "disk.qcow2", place / "root.qcow2",
                               "root", fresh))]
    if config.stage:
        found.append(("stage", _read_only(stage or staging.current(), "stage")))
    for number, name in enumerate(config.disks):
        base, file_format = further_disk(name)
        found.append((f"disk{number}", _overlay(base, place / f"disk{number}.qcow2", f"disk{number}",
                                                fresh, file_format)))
    if config.data:
        found.append(("data", data_disk(place, config.data, fresh)))
    return found


def further_disk(name):
    """(file, format) of a disk that is named: a cached image, the demo desktop, or a file."""
    if name in images.names():
        return images.get(name).folder / "disk.qcow2", "qcow2"
    path = demo_desktop() if name == "demo-desktop" else Path(name)
    if not path.is_file():
        remedy = "Build it: client/demo/bulkhead-demo-build" if name == "demo-desktop" else \
            f"Name a file, or one of: demo-desktop, {', '.join(images.names())}."
        raise BenchError(f"There is no disk {name}.", f"{path} does not exist.", remedy)
    return path.resolve(), "qcow2" if path.suffix == ".qcow2" else "raw"


def demo_desktop():
    """Where the demo desktop's builder puts it."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("BULKHEAD_DEMO_IMAGE") or cache / "bulkhead/demo-desktop.qcow2")


def _overlay(base, target, node, fresh, base_format="qcow2"):
    if fresh:
        files.overlay(base, target, base_format)
    return {"driver": "qcow2", "node-name": node, "discard": "unmap",
            "file": {"driver": "file", "filename": str(target)}}


def _read_only(path, node):
    return {"driver": "raw", "node-name": node, "read-only": True,
            "file": {"driver": "file", "filename": str(path)}}


def data_disk(place, mib, fresh):
    """The data disk, behind a log of its writes (see powercut.py). Its state at power-on is kept."""
    disk, log = place / "data.img", place / "data.log"
    if fresh:
        files.empty(disk, mib)
    files.copy_sparse(disk, f"{disk}.base")
    log.write_bytes(b"")
    raw = {"driver": "raw", "file": {"driver": "file", "filename": str(disk)}}
    return {"driver": "blklogwrites", "node-name": "data", "log-sector-size": 512, "file": raw,
            "log": {"driver": "raw", "file": {"driver": "file", "filename": str(log)}}}
