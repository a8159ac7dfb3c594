# SPDX-License-Identifier: GPL-2.0-or-later
"""A whole bench, frozen: memory, devices and disks of a booted machine, to start from in seconds.

`resume` is what tests use: it boots a machine once, lets a function prepare it, keeps the snapshot in
the cache under a hash of all that went into it, and from then on gives each caller a machine of its
own that goes on from there. Several may run side by side. A snapshot is complete or absent: it is
made in a folder beside its place and renamed.
"""
import fcntl
import hashlib
import inspect
import json
import os
import random
import shlex
import shutil
import tempfile
import time
from pathlib import Path

from bench import boot, devices, emulator, files, images, staging
from bench.config import Config
from bench.errors import BenchError
from bench.qemu import QemuMachine
from bench.runfolder import RunFolder

FORMAT = 2  # of the folder; an older one is not looked for
KEEP = 8
STATE_LIMIT = 300
IDLE_LIMIT = 60
# The guest pauses while its memory is written: no limit, nobody waits for it.
BANDWIDTH = 1 << 40


def cache_folder():
    return images.cache.root().parent / "snapshots"


def save(machine, target):
    """Writes a snapshot of a running machine into the folder `target`, in place of an older one. The machine
    runs on afterwards. BenchError when a device cannot be saved (QEMU's NVMe and AMD-Vi cannot)."""
    if not isinstance(machine, QemuMachine):
        machine.cannot("make snapshots")
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        _write(machine, part)
        old = Path(f"{part}.old")
        if target.exists():
            os.rename(target, old)
        os.rename(part, target)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise BenchError("The snapshot could not be written.", str(error), "Free some space.") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    machine.folder.event(f"snapshot {target}")


def _write(machine, part):
    if machine.config.data:
        raise BenchError("A machine with a data disk cannot be saved.",
                         "Its log of writes begins at power-on.", "Boot it without --data.")
    _stop_between_guests(machine)
    try:
        machine.qmp.execute("migrate-set-parameters", max_bandwidth=BANDWIDTH)
        machine.qmp.execute("migrate", uri=f"exec:cat > {shlex.quote(str(part / 'state'))}")
        _await_migration(machine)
        shutil.copytree(machine.folder.path / "disks", part / "disks", copy_function=files.copy_sparse)
    finally:
        if machine.alive():
            machine.qmp.execute("cont")
    if machine.config.stage:
        _keep_stage(machine, part)
    description = {"config": machine.config.as_dict(), "name": machine.name,
                   "plugged": [vars(plug) for plug in machine.plugged],
                   "folder": str(machine.folder.path)}
    (part / "machine.json").write_text(json.dumps(description, indent=1))


def _keep_stage(machine, part):
    """The machine has the stage mounted, so what resumes it needs that very one."""
    used = dict(machine.parts.disks)["stage"]["file"]["filename"]
    try:
        os.link(used, part / "stage.img")
    except OSError:
        files.copy_sparse(used, part / "stage.img")


def _stop_between_guests(machine):
    """Stops the machine when every processor sleeps. QEMU cannot load a processor that was saved within a
    nested guest, and one that sleeps is in no guest: hypervisors intercept HLT."""
    deadline = time.monotonic() + IDLE_LIMIT
    while True:
        machine.qmp.execute("stop")
        registers = machine.qmp.execute("human-monitor-command", command_line="info registers -a")
        awake = registers.count("HLT=0")
        if awake == 0:
            return
        if time.monotonic() > deadline:
            break
        machine.qmp.execute("cont")
        time.sleep(random.uniform(0.002, 0.05))
    if machine.config.hypervisor != "none":
        machine.qmp.execute("cont")
        raise BenchError("The machine is too busy to be saved.",
                         f"For {IDLE_LIMIT} seconds {awake} of its processors never slept at the same time.",
                         "Try again when the control domain and its guests are idle.")


def _await_migration(machine):
    deadline = time.monotonic() + STATE_LIMIT
    while time.monotonic() < deadline:
        state = machine.qmp.execute("query-migrate")
        if state.get("status") == "completed":
            return
        if state.get("status") in ("failed", "cancelled"):
            raise BenchError("The machine's state could not be saved.", state.get("error-desc", ""))
        time.sleep(0.02)
    raise BenchError(f"The machine's state was not saved within {STATE_LIMIT} seconds.")


def load(source, name="bench", runs=None):
    """A machine that goes on from the snapshot in folder `source`, with disks of its own."""
    source = Path(source)
    try:
        description = json.loads((source / "machine.json").read_text())
    except (OSError, ValueError) as error:
        raise BenchError(f"There is no snapshot in {source}.", str(error), "Make one: bench snapshot")
    config = Config.from_dict(description["config"])
    folder = RunFolder(name, runs)
    try:
        machine = QemuMachine(config, folder, name, _parts(config, source, description, folder))
        machine.plugged = _plugs(description, source, folder)
        machine.qmp.execute("migrate-incoming", uri=f"exec:cat {shlex.quote(str(source / 'state'))}")
        _await_resume(machine)
        machine.power_on()
        machine.wait_up(60)
    except BaseException:
        folder.close("failed to start")
        raise
    os.utime(source)
    return machine


def _await_resume(machine):
    deadline = time.monotonic() + STATE_LIMIT
    while time.monotonic() < deadline:
        status = machine.qmp.execute("query-status")["status"]
        if status != "inmigrate":
            return
        time.sleep(0.02)
    raise BenchError(f"The snapshot was not loaded within {STATE_LIMIT} seconds.", machine.last_words())


def _parts(config, source, description, folder):
    """As at the snapshot, but with disks on top of the snapshot's."""
    place = folder.path / "disks"
    for path in (source / "disks").iterdir():
        if path.suffix == ".qcow2":
            files.overlay(path, place / path.name)
        else:
            files.copy_sparse(path, place / path.name)
    found = boot.parts(config, folder, fresh=False, stage=source / "stage.img")
    found.plugged = [(plug.blockdevs, plug.device) for plug in _plugs(description, source, folder)]
    found.incoming = "defer"
    return found


def _plugs(description, source, folder):
    plugs = [devices.Plug(**values) for values in description["plugged"]]
    for plug in plugs:
        if plug.image and Path(plug.image).parent == Path(description["folder"]) / "disks":
            plug.image = str(folder.path / "disks" / Path(plug.image).name)
            plug.blockdevs[0]["file"]["filename"] = plug.image
    return plugs


def resume(config, name="bench", prepare=None, runs=None):
    """A machine booted from `config` and prepared by `prepare(machine)`, from the cache when it was
    done before. The key is the configuration, the images, the emulator and prepare's source."""
    place = cache_folder() / f"{name}-{_key(config, prepare)}"
    cache_folder().mkdir(parents=True, exist_ok=True)
    with open(cache_folder() / f".{name}.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / "machine.json").exists():
            with boot.boot(config, name, runs=runs) as machine:
                if prepare:
                    prepare(machine)
                save(machine, place)
            prune()
    return load(place, name, runs)


def _key(config, prepare):
    digest = hashlib.sha256(f"{FORMAT} {config.hash()}".encode())
    digest.update(images.get(config.image).hash.encode())
    for name in config.disks:
        path = boot.further_disk(name)[0]
        digest.update(f"{path} {path.stat().st_mtime_ns}".encode())
    if config.stage:
        digest.update(staging.current().name.encode())
    digest.update(emulator.command()[0].encode())
    if prepare:
        digest.update(inspect.getsource(prepare).encode())
    return digest.hexdigest()[:16]


def prune(keep=KEEP):
    """Removes the snapshots of `resume` that were not used for longest; never what a person named."""
    found = sorted((path for path in cache_folder().iterdir() if path.is_dir()),
                   key=lambda path: path.stat().st_mtime, reverse=True)
    ours = [path for path in found if not path.name.startswith((".", "named-"))]
    for path in ours[keep:]:
        shutil.rmtree(path, ignore_errors=True)


def by_name(name):
    """The folder of a snapshot that a person named; it must be a plain name."""
    if not name or "/" in name or name.startswith("."):
        raise BenchError(f"'{name}' is no name for a snapshot.", "", "Use letters and digits.")
    return cache_folder() / f"named-{name}"


def named():
    """Names of the snapshots that people made."""
    if not cache_folder().is_dir():
        return []
    return sorted(path.name.removeprefix("named-") for path in cache_folder().glob("named-*"))
