# SPDX-License-Identifier: GPL-2.0-or-later
"""The client inside a bench machine: bulkheadctl as the user bench, and a guest it made."""
import base64
import json
import time

from bench.errors import BenchTimeout

USER = "bench"
URI = "qemu:///session"
GUEST = "tiny"
IMAGE = "/usr/local/share/bulkhead/efi-guest.qcow2"
# Without libosinfo's database: reading it takes an emulated processor half a minute, and it knows
# nothing of the tiny guest.
NO_OSINFO = "/run/no-osinfo"
# Every character on the guest's consoles costs an exit of an emulated processor.
OPTIONS = "console=ttyS0 console=tty0 quiet mitigations=off"


class Client:
    """bulkheadctl in a machine; `home` is the user's folder."""

    def __init__(self, machine, user=USER, uri=URI, home=None):
        self.machine, self.uri = machine, uri
        home = home or ("/root" if user == "root" else f"/home/{user}")
        runtime = [] if user == "root" else ["XDG_RUNTIME_DIR=/run/user/1000"]
        self.prefix = ["/usr/sbin/runuser", "-u", user, "--", "/usr/bin/env", "-C", home,
                       f"HOME={home}", f"OSINFO_SYSTEM_DIR={NO_OSINFO}", "LC_ALL=C.UTF-8",
                       "PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", *runtime]

    def run(self, *words, timeout=120, check=True):
        """Any program, as the user."""
        return self.machine.run([*self.prefix, *map(str, words)], timeout=timeout, check=check)

    def ctl(self, *words, timeout=180, check=True):
        return self.run("bulkheadctl", "-c", self.uri, "--progress=none", *words, timeout=timeout,
                        check=check)

    def json(self, *words, timeout=180):
        return json.loads(self.ctl("-j", *words, timeout=timeout).out)

    def virsh(self, *words, timeout=60, check=True):
        return self.run("virsh", "-q", "-c", self.uri, *words, timeout=timeout, check=check)

    def monitor(self, guest, command, **arguments):
        """A command of QEMU's own monitor."""
        request = json.dumps({"execute": command, "arguments": arguments})
        return json.loads(self.virsh("qemu-monitor-command", guest, request).out)["return"]

    def make_guest(self, name=GUEST, image=IMAGE):
        """Imports the tiny guest's disk and has its kernel started directly: as EFI guest it would end
        the emulator. (Under SVM, QEMU 7.2's TCG fails an assertion when a guest writes CR8 while an
        interrupt waits, and OVMF does that at each timer interrupt.)"""
        self.ctl("new", f"--image={image}", f"--name={name}", "--bios", "--memory=256M", "--cpus=1")
        tiny = "/usr/local/share/bulkhead/tiny"
        add = (f"<kernel>{tiny}/vmlinuz</kernel><initrd>{tiny}/initrd.img</initrd>"
               f"<cmdline>{OPTIONS}</cmdline>")
        self.run("sh", "-c", f"virsh -q -c {self.uri} dumpxml --inactive {name} | "
                 f"sed 's#</type>#&{add}#' >~/define.xml && virsh -q -c {self.uri} define ~/define.xml")


class Guest:
    """Commands in a guest, through its agent."""

    def __init__(self, client, name=GUEST):
        self.client, self.name = client, name

    def agent(self, command, check=True, **arguments):
        request = {"execute": command}
        if arguments:
            request["arguments"] = arguments
        result = self.client.virsh("qemu-agent-command", self.name, json.dumps(request),
                                   "--timeout", "10", check=check)
        return json.loads(result.out)["return"] if result.status == 0 else None

    def await_up(self, timeout=240):
        """Waits until the guest's agent answers."""
        wait_for(lambda: self.agent("guest-ping", check=False) is not None, timeout,
                 f"the guest {self.name} answers")

    def start(self, script):
        """Starts a shell script; its process id."""
        return self.agent("guest-exec", path="/bin/sh", arg=["-c", script],
                          **{"capture-output": True})["pid"]

    def result(self, pid, timeout=60):
        """(status, output) of a started script, when it has ended."""
        state = {}

        def ended():
            state.update(self.agent("guest-exec-status", pid=pid))
            return state["exited"]
        wait_for(ended, timeout, "a script in the guest ends")
        text = base64.b64decode(state.get("out-data", "") or state.get("err-data", ""))
        return state.get("exitcode", -1), text.decode("utf-8", "replace")

    def run(self, script, timeout=60):
        """Output of a shell script in the guest, which must succeed."""
        status, text = self.result(self.start(script), timeout)
        assert status == 0, f"in the guest: {script}\nstatus {status}: {text}"
        return text

    def wait_until(self, script, timeout=60):
        """Waits in the guest until a test is true."""
        self.run(f"end=$(($(date +%s) + {timeout})); until {script}; do "
                 "[ $(date +%s) -lt $end ] || exit 1; usleep 100000; done", timeout + 30)


def wait_for(true, timeout, what):
    """Asks until `true()` is; what it asks is slow enough to need no pause."""
    deadline = time.monotonic() + timeout
    while not true():
        if time.monotonic() > deadline:
            raise BenchTimeout(f"Not within {timeout} seconds: {what}.")
        time.sleep(0.05)


def prepare(machine):
    """A control domain whose user has a running guest called tiny under KVM."""
    machine.run(f"mkdir -p {NO_OSINFO}")
    client = Client(machine)
    client.ctl("host")  # proves KVM, so that machines are made for it
    client.make_guest()
    client.ctl("start", GUEST, "--wait")
    Guest(client).await_up(400)


def resume(bench):
    """(machine, client, guest): from the snapshot that all tests of the client share."""
    from bench.config import Config
    machine = bench.resume(Config(), "kvm-guest", prepare)
    client = Client(machine)
    return machine, client, Guest(client)
