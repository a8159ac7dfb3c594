# SPDX-License-Identifier: GPL-2.0-or-later
"""How another terminal talks to a machine: a Unix socket by the machine's name, one JSON object a line.

The process that holds the machine serves; only its user can connect (the folder is 0700). VERBS is
the whole vocabulary: each verb is a function of the machine and its arguments.
"""
import json
import os
import socket
import tempfile
import threading
from pathlib import Path

from bench import desktop, snapshot
from bench.errors import BenchError

REQUEST_LIMIT = 1 << 20


def folder():
    """Where the sockets are; short, because Unix sockets allow 108 bytes."""
    base = os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()
    path = Path(base) / f"bulkhead-bench-{os.getuid()}"
    path.mkdir(mode=0o700, exist_ok=True)
    if path.stat().st_uid != os.getuid() or path.is_symlink():
        raise BenchError(f"{path} is not ours.", "Another user made it.", "Set XDG_RUNTIME_DIR.")
    return path


def _run(machine, command, timeout=60):
    result = machine.run(command, timeout=timeout, check=False)
    return {"status": result.status, "out": result.out, "err": result.err}


def _info(machine):
    return {"name": machine.name, "folder": str(machine.folder.path), "config": machine.config.as_dict(),
            "seconds": round(machine.folder.now()), "consoles": list(machine.consoles),
            "plugged": [plug.id for plug in getattr(machine, "plugged", [])]}


def _wait(machine, pattern, console="main", timeout=60):
    return machine.wait(pattern, timeout, console).group(0)


VERBS = {
    "info": _info,
    "run": _run,
    "wait": _wait,
    "push": lambda machine, local, remote: machine.push(local, remote),
    "pull": lambda machine, remote, local: len(machine.pull(remote, local)),
    "plug": lambda machine, kind, id=None, port=None, options={}: machine.plug(kind, id, port, **options),
    "unplug": lambda machine, id: machine.unplug(id),
    "insert-cd": lambda machine, image: machine.insert_cd(image),
    "eject-cd": lambda machine: machine.eject_cd(),
    "keys": lambda machine, chords: machine.keys(*chords),
    "type": lambda machine, text: machine.type(text),
    "pointer": lambda machine, x, y, buttons=(): machine.pointer(x, y, buttons),
    "send": lambda machine, text, console="main": machine.consoles[console].send(text),
    "screenshot": lambda machine, name="screen": str(machine.screenshot(name)),
    "see-client": lambda machine: str(desktop.see_client(machine)),
    "reset": lambda machine: machine.reset(),
    "power-button": lambda machine: machine.power_button(),
    "nmi": lambda machine: machine.nmi(),
    "power-cut": lambda machine: machine.power_cut(),
    "fail-disk": lambda machine, disk="root", error="EIO", operation="write", once=False:
        machine.fail_disk(disk, error, operation, once),
    "mend-disk": lambda machine, disk="root": machine.mend_disk(disk),
    "snapshot": lambda machine, name: snapshot.save(machine, snapshot.by_name(name)),
    "off": lambda machine: machine.close(),
}


class Server:
    """Serves one machine until `close`. Each connection asks one thing; several may be under way."""

    def __init__(self, machine):
        self.machine = machine
        self.path = folder() / f"{machine.name}.sock"
        self.done = threading.Event()
        self._socket = socket.socket(socket.AF_UNIX)
        try:
            self._bind()
        except OSError as error:
            raise BenchError(f"The socket {self.path} cannot be made.", str(error))
        self._socket.listen()
        threading.Thread(target=self._serve, name="control", daemon=True).start()

    def _bind(self):
        if self.path.exists():
            if is_alive(self.path):
                raise BenchError(f"A machine called '{self.machine.name}' is running already.", "",
                                 "Choose another --name, or end it: bench off")
            self.path.unlink()
        self._socket.bind(str(self.path))

    def _serve(self):
        while True:
            try:
                connection = self._socket.accept()[0]
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection):
        with connection:
            try:
                with connection.makefile("rb") as file:
                    line = file.readline(REQUEST_LIMIT)
                if line:  # or somebody only looked whether we are alive
                    connection.sendall(json.dumps(self._act(line)).encode() + b"\n")
            except OSError:
                pass
        if not self.machine.alive():
            self.done.set()

    def _act(self, line):
        try:
            request = json.loads(line)
            verb = VERBS[request["verb"]]
            return {"return": verb(self.machine, **request.get("arguments", {}))}
        except BenchError as error:
            return {"error": error.args}
        except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
            return {"error": ["The request was not understood.", repr(error), ""]}

    def close(self):
        self._socket.close()
        self.path.unlink(missing_ok=True)


def is_alive(path):
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True


def running():
    """Names of the machines that run; sockets of killed ones are removed."""
    names = []
    for path in sorted(folder().glob("*.sock")):
        if is_alive(path):
            names.append(path.stem)
        else:
            path.unlink(missing_ok=True)
    return names


def choose(name=None):
    """The machine meant: the named one, or the only one."""
    names = running()
    if name and name not in names:
        raise BenchError(f"No machine called '{name}' is running.",
                         f"Running: {', '.join(names)}." if names else "", "Start one: bench boot")
    if not name and len(names) != 1:
        raise BenchError("Which machine?" if names else "No machine is running.",
                         f"Running: {', '.join(names)}." if names else "",
                         "Name it: bench -m NAME VERB" if names else "Start one: bench boot")
    return name or names[0]


def ask(name, verb, /, **arguments):
    """Has a machine do something; what its process answers."""
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(str(folder() / f"{name}.sock"))
        except OSError as error:
            raise BenchError(f"The machine '{name}' does not answer.", str(error), "Start it: bench boot")
        with connection.makefile("rwb") as file:
            file.write(json.dumps({"verb": verb, "arguments": arguments}).encode() + b"\n")
            file.flush()
            line = file.readline()
    if not line:
        raise BenchError(f"The machine '{name}' ended.")
    answer = json.loads(line)
    if "error" in answer:
        raise BenchError(*answer["error"])
    return answer["return"]
