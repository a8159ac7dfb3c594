# SPDX-License-Identifier: GPL-2.0-or-later
"""The command `bench`: boots virtual PCs, drives them, and measures in them."""
import argparse
import json
import os
import signal
import sys
import time
from pathlib import Path

from bench import boot, control, runfolder, snapshot
from bench.config import CHOICES, Config, parse_size
from bench.errors import BenchError
from bench.images import cli as images_cli
from bench.measure import cli as measure_cli

EPILOG = """A machine runs as long as its `bench boot` does (or until `bench off`, with --detach). The other
verbs, in another terminal, act on the running machine; -m chooses among several. docs/bench.md has
examples."""


def main(arguments=None):
    options = parser().parse_args(arguments)
    # A terminated bench ends as cleanly as an interrupted one.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        return options.act(options) or 0
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1


def parser():
    top = argparse.ArgumentParser(prog="bench", description=__doc__.split("\n")[0], epilog=EPILOG)
    top.add_argument("-m", "--machine", metavar="NAME", help="which running machine")
    verbs = top.add_subparsers(metavar="VERB", required=True)
    _add_boot(verbs)
    _add_driving(verbs)
    _add_keeping(verbs)
    command = _verb(verbs, "images", lambda o: images_cli.main(o.rest), "list, build and prune images")
    command.add_argument("rest", nargs=argparse.REMAINDER, metavar="ACTION")
    measure_cli.add(verbs)
    return top


def _verb(verbs, name, act, help):
    command = verbs.add_parser(name, help=help, description=help)
    command.set_defaults(act=act)
    return command


# --- boot -------------------------------------------------------------------------------------------

def _add_boot(verbs):
    command = _verb(verbs, "boot", _boot, "power on a machine and wait until its control domain answers")
    add_config(command)
    _add_holding(command)
    command = _verb(verbs, "resume", _resume, "go on from a snapshot")
    command.add_argument("snapshot", help="a name given to 'bench snapshot'")
    _add_holding(command)


def _add_holding(command):
    command.add_argument("--name", default="bench", help="the machine's name (default: bench)")
    command.add_argument("-d", "--detach", action="store_true", help="return when it is up; it runs on")
    command.add_argument("--no-wait", action="store_true", help="do not wait for the control domain")
    command.add_argument("--timeout", type=float, metavar="SECONDS", help="how long to wait for it")


def add_config(command):
    """The options that describe a machine."""
    for name, choices in CHOICES.items():
        default = Config.__dataclass_fields__[name].default
        shown = choices if default in choices else (*choices, "auto")
        command.add_argument(f"--{name}", choices=shown, default=default, help=f"(default: {default})")
    command.add_argument("--cpu-model", default="", metavar="MODEL", help="the emulator's CPU model")
    command.add_argument("--smp", type=int, default=0, metavar="N", help="processors (default: 2; Intel 1)")
    command.add_argument("--mem", type=_size, default=0, metavar="SIZE", help="memory, such as 6G")
    command.add_argument("--icount", action="store_true", help="instructions are the clock: repeatable")
    command.add_argument("--single-thread", action="store_true", help="emulate all CPUs in one thread")
    command.add_argument("--usb", action="append", default=[], metavar="KIND[@PORT]",
                         help="a USB device plugged once it is up (repeatable)")
    command.add_argument("--image", default="control-domain", help="the root disk's image")
    command.add_argument("--attach", action="append", default=[], dest="disks", metavar="IMAGE",
                         help="another cached image or disk file as a further disk (repeatable)")
    command.add_argument("--data", type=_size, default=0, metavar="SIZE",
                         help="an empty data disk at /data that loses unflushed writes in a power cut")
    command.add_argument("--no-stage", dest="stage", action="store_false",
                         help="without this tree's build in /usr/local")
    command.add_argument("--kernel-options", default="", metavar="TEXT", help="for the control domain")
    command.add_argument("--hypervisor-options", default="", metavar="TEXT")
    command.add_argument("--loader", default="", metavar="FILE", help="boot any EFI program instead")
    command.add_argument("--program", default="", metavar="ELF",
                         help="a PVH program as control domain of Bulkhead's hypervisor (with --no-wait)")
    command.add_argument("--window", action="store_true", help="show its screen in a window here")


def _size(text):
    try:
        return parse_size(text)
    except BenchError as error:
        raise argparse.ArgumentTypeError(str(error).replace("\n", " "))


def config_of(options):
    fields = Config.__dataclass_fields__
    return Config(**{name: value for name, value in vars(options).items() if name in fields})


def _boot(options):
    config = config_of(options)
    return _hold(options, lambda: boot.boot(config, options.name, False), config)


def _resume(options):
    return _hold(options, lambda: snapshot.load(snapshot.by_name(options.snapshot), options.name), None)


def _hold(options, start, config):
    """Runs the machine in this process (or in one that stays behind) until it ends."""
    if options.name in control.running():
        raise BenchError(f"A machine called '{options.name}' is running already.", "",
                         "Choose another --name, or end it: bench off")
    report = _detach() if options.detach else None
    try:
        with start() as machine:
            server = control.Server(machine)
            try:
                _serve(options, machine, server, config, report)
            finally:
                server.close()
    except BenchError as error:
        if report is None:
            raise
        report(f"bench: {error}", 1)
        return 1
    return 0


def _serve(options, machine, server, config, report):
    if config and not options.no_wait:
        machine.wait_up(options.timeout or boot.limit(config))
        for kind, _, port in (device.partition("@") for device in config.usb):
            machine.plug(kind, port=port or None)
    text = (f"{machine.name} is up after {machine.folder.now():.1f} s. Run folder: {machine.folder.path}"
            if not options.no_wait else f"{machine.name} is on. Run folder: {machine.folder.path}")
    if report:
        report(text, 0)
    else:
        print(text + "\nCtrl+C ends it. In another terminal: bench run uname -a", flush=True)
    while machine.alive() and not server.done.wait(0.5):
        pass


def _detach():
    """Goes on in a child of its own; the parent ends with what `report(text, status)` is told."""
    read, write = os.pipe()
    if os.fork():
        os.close(write)
        with os.fdopen(read) as file:
            status, _, text = file.read().partition(" ")
        print(text or "bench: the machine's process died.", file=sys.stderr if status != "0" else sys.stdout)
        sys.stdout.flush()
        os._exit(int(status or 1))
    os.close(read)
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(null, number)

    def report(text, status):
        with os.fdopen(write, "w") as file:
            file.write(f"{status} {text}")
    return report


# --- drive ------------------------------------------------------------------------------------------

def _add_driving(verbs):
    command = _verb(verbs, "run", _run, "run a command in the control domain")
    command.add_argument("--timeout", type=float, default=60, metavar="SECONDS")
    command.add_argument("command", nargs=argparse.REMAINDER, help="one word is a line for sh")
    command = _verb(verbs, "push", _push, "copy a file into the control domain")
    command.add_argument("local")
    command.add_argument("remote")
    command = _verb(verbs, "pull", _pull, "copy a file out of the control domain")
    command.add_argument("remote")
    command.add_argument("local")
    command = _verb(verbs, "plug", _plug, "plug a device: storage, keyboard, mouse, tablet, audio, serial, "
                    "hub, net, disk or pci")
    command.add_argument("kind")
    command.add_argument("options", nargs="*", metavar="KEY=VALUE",
                         help="id=NAME, port=3 (USB, 3.1 behind a hub; or a PCI slot), size=64, image=FILE, ...")
    command = _verb(verbs, "unplug", lambda o: _ask(o, "unplug", id=o.id), "pull a device out")
    command.add_argument("id")
    command = _verb(verbs, "cd", _cd, "put an image into the CD drive, or take it out")
    command.add_argument("image", nargs="?")
    command = _verb(verbs, "keys", lambda o: _ask(o, "keys", chords=o.chords), "press keys")
    command.add_argument("chords", nargs="+", help="such as ctrl-alt-f1")
    command = _verb(verbs, "type", lambda o: _ask(o, "type", text=o.text), "type text on its keyboard")
    command.add_argument("text")
    command = _verb(verbs, "pointer", lambda o: _ask(o, "pointer", x=o.x, y=o.y, buttons=o.buttons),
                    "move a plugged tablet and click")
    command.add_argument("x", type=float, help="0 to 1")
    command.add_argument("y", type=float, help="0 to 1")
    command.add_argument("buttons", nargs="*", help="left, right, middle")
    command = _verb(verbs, "screenshot", _screenshot, "store the screen as a PNG")
    command.add_argument("file", nargs="?")
    command.add_argument("--client", action="store_true", help="wait until the client can be seen on it")
    command = _verb(verbs, "console", _console, "show what a console said")
    command.add_argument("name", nargs="?", default="main")
    command.add_argument("-f", "--follow", action="store_true", help="go on showing")
    command.add_argument("--send", metavar="TEXT", help="type a line into it instead")
    command = _verb(verbs, "wait", lambda o: _ask(o, "wait", pattern=o.pattern, console=o.console,
                                                  timeout=o.timeout), "wait for a pattern on a console")
    command.add_argument("pattern")
    command.add_argument("--console", default="main")
    command.add_argument("--timeout", type=float, default=60)
    command = _verb(verbs, "fail-disk", lambda o: _ask(o, "fail-disk", disk=o.disk, error=o.error,
                                                       operation=o.operation), "make a disk fail")
    command.add_argument("disk", nargs="?", default="root")
    command.add_argument("--error", default="EIO", choices=("EIO", "ENOSPC"))
    command.add_argument("--operation", default="write", choices=("read", "write", "flush"))
    command = _verb(verbs, "mend-disk", lambda o: _ask(o, "mend-disk", disk=o.disk), "end that")
    command.add_argument("disk", nargs="?", default="root")
    command = _verb(verbs, "snapshot", lambda o: _ask(o, "snapshot", name=o.name), "freeze the machine for "
                    "'bench resume'; it runs on")
    command.add_argument("name")
    for name, help in (("reset", "press reset"), ("power-button", "press the power button"),
                       ("power-cut", "pull the plug"), ("nmi", "send a non-maskable interrupt")):
        _verb(verbs, name, lambda o, name=name: _ask(o, name), help)
    _verb(verbs, "off", _off, "end the machine")


def _ask(options, verb, /, **arguments):
    answer = control.ask(control.choose(options.machine), verb, **arguments)
    if answer is not None:
        print(answer)


def _off(options):
    name = control.choose(options.machine)
    control.ask(name, "off")
    # Its process goes a moment later; then the name is free.
    deadline = time.monotonic() + 3
    while name in control.running() and time.monotonic() < deadline:
        time.sleep(0.05)


def _run(options):
    words = options.command[1:] if options.command[:1] == ["--"] else options.command
    if not words:
        raise BenchError("Run what?", "", "Write a command: bench run uname -a")
    command = words[0] if len(words) == 1 else ["/usr/bin/env", *words]
    answer = control.ask(control.choose(options.machine), "run", command=command, timeout=options.timeout)
    sys.stdout.write(answer["out"])
    sys.stderr.write(answer["err"])
    return answer["status"]


def _push(options):
    _ask(options, "push", local=str(Path(options.local).resolve()), remote=options.remote)


def _pull(options):
    control.ask(control.choose(options.machine), "pull", remote=options.remote,
                local=str(Path(options.local).resolve()))


def _plug(options):
    pairs = dict(option.partition("=")[::2] for option in options.options)
    if "image" in pairs:
        pairs["image"] = str(Path(pairs["image"]).resolve())
    _ask(options, "plug", kind=options.kind, id=pairs.pop("id", None), port=pairs.pop("port", None),
         options=pairs)


def _cd(options):
    if options.image:
        _ask(options, "insert-cd", image=str(Path(options.image).resolve()))
    else:
        _ask(options, "eject-cd")


def _screenshot(options):
    name = control.choose(options.machine)
    path = control.ask(name, "see-client" if options.client else "screenshot")
    if options.file:
        Path(options.file).write_bytes(Path(path).read_bytes())
    print(options.file or path)


def _console(options):
    name = control.choose(options.machine)
    if options.send is not None:
        return control.ask(name, "send", console=options.name, text=options.send + "\n")
    info = control.ask(name, "info")
    if options.name not in info["consoles"]:
        raise BenchError(f"There is no console '{options.name}'.", "",
                         f"There are: {', '.join(info['consoles'])}.")
    path = f"{info['folder']}/consoles/{options.name}.log"
    if options.follow:
        os.execvp("tail", ["tail", "-n", "+1", "-F", path])
    sys.stdout.write(Path(path).read_text("utf-8", "replace"))


# --- keep -------------------------------------------------------------------------------------------

def _add_keeping(verbs):
    command = _verb(verbs, "list", _list, "list running machines, snapshots and the last runs")
    command.add_argument("--json", action="store_true")


def _list(options):
    machines = [control.ask(name, "info") for name in control.running()]
    runs = sorted(runfolder.runs_folder().glob("*/"))[-5:]
    if options.json:
        print(json.dumps({"machines": machines, "snapshots": snapshot.named(),
                          "runs": [str(run) for run in runs]}, indent=1))
        return
    for machine in machines:
        config = machine["config"]
        print(f"running   {machine['name']}: {config['hypervisor']} on {config['cpu']}, "
              f"{machine['seconds']} s, {machine['folder']}")
    for name in snapshot.named():
        print(f"snapshot  {name}")
    for run in runs:
        print(f"run       {run}")
