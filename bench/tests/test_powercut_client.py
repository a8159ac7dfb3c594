# SPDX-License-Identifier: GPL-2.0-or-later
"""Power cuts in the middle of the client's disk-changing verbs: nothing of the user's is lost.

All of the user's files are on the data disk, whose unflushed writes a power cut loses. Each round
starts every verb, each on a machine of its own, side by side, cuts the power at some moment, boots
again, and looks: every machine is there with its disk's content, each verb's effect is wholly there
or wholly absent, and what bulkheadctl said was done before the cut is done. What a round undid or
left undone is done again in the next.
"""
import json
import random
import re
import time

import pytest

from bench.config import Config
from bench.tests.client_in_bench import NO_OSINFO, Client, wait_for

HOME = "/data/home"
SOURCE = f"{HOME}/source.img"
STICK = "BENCH-STICK"
# Each has a disk with the content of the source. At a cut `saver` runs, `saved` is saved, `back` and
# `purged` are deleted.
MACHINES = ("bystander", "deleted", "back", "purged", "changed", "saver", "saved")
# Verbs by name: the words, and how to tell from the listed state that it is done, or not begun.
VERBS = {
    "new": ["new", f"--image={SOURCE}", "--name=new", "--bios", "--memory=64M", "--cpus=1"],
    "empty": ["new", "--empty", "--disk=1G", "--name=empty", "--bios", "--memory=64M"],
    "delete": ["delete", "--yes", "deleted"],
    "undelete": ["undelete", "back"],
    "purge": ["purge", "--yes", "purged"],
    "set": ["set", "changed", "--name=renamed", "--memory=96M"],
    "save": ["save", "saver"],
    "discard-save": ["discard-save", "saved"],
    "usb-rules": ["usb", "rules", "bystander", STICK, "always"],
}


# How many verbs have said that they ended when the power goes.
ROUNDS = (2, len(VERBS))


class Bed:
    """One boot of the machine, and what the client says there."""

    def __init__(self, machine):
        self.machine = machine
        self.client = Client(machine, home=HOME)
        machine.run(f"mkdir -p {NO_OSINFO}")
        machine.plug("storage", id="stick", serial=STICK, size=1)

    def first(self):
        """The user's home and the image that all machines' disks are imported from."""
        self.machine.run(f"mkdir -p {HOME} && head -c 8388608 /dev/urandom >{SOURCE} && "
                         f"sha256sum {SOURCE} >/data/sum && chown -R bench: {HOME} && sync")

    def at_once(self, *verbs):
        """Runs verbs side by side, as an impatient user; what each printed. All must succeed."""
        prefix = " ".join(self.client.prefix)
        lines = [f"{prefix} bulkheadctl -c {self.client.uri} --progress=none {words} "
                 f">/tmp/out-{number} 2>/tmp/err-{number} & pids=\"$pids $!\""
                 for number, words in enumerate(verbs)]
        lines += ["for pid in $pids; do wait $pid || failed=yes; done",
                  "test -z \"$failed\" || { tail /tmp/err-*; exit 1; }"]
        lines += [f"cat /tmp/out-{number}; printf '\\036'" for number in range(len(verbs))]
        if not verbs:
            return []
        return self.machine.run("\n".join(lines), timeout=300).out.split("\x1e")

    def look(self):
        """Reads the client's lists."""
        shown, deleted, self.rules = (json.loads(text) for text in self.at_once(
            "-j list", "-j deleted", "-j usb rules")[:3])
        self.machines = {machine["name"]: machine for machine in shown}
        assert len(self.machines) == len(shown), shown
        self.deleted = {machine["name"]: machine for machine in deleted}
        assert len(self.deleted) == len(deleted), deleted

    def stick(self):
        def found():
            return [device["id"] for device in self.client.json("usb", "list")
                    if device["id"].endswith(STICK)]
        wait_for(found, 30, "the client lists the stick")
        return found()[0]

    def state(self, name):
        return self.machines[name]["state"]

    # --- before a cut ---------------------------------------------------------------------------

    def get_ready(self):
        """Brings every machine into the state that its verb begins with. Nothing is synced here: what
        bulkheadctl said is done must outlive the cut."""
        self.at_once("host")  # proves KVM once, not in each verb
        self.look()
        made = [name for name in ("new", "empty") if name in self.machines]
        verbs = [f"delete --yes {name}" for name in made]
        if "renamed" in self.machines:
            verbs.append("set renamed --name=changed --memory=64M")
        if "deleted" in self.deleted:
            verbs.append("undelete deleted")
        if self.rules:
            verbs.append(f"usb rules bystander {self.rules[0]['device']} ask")
        missing = [name for name in MACHINES if name not in self.deleted and name not in self.machines
                   and not (name == "changed" and "renamed" in self.machines)]
        verbs += [f"new --image={SOURCE} --name={name} --bios --memory=64M --cpus=1"
                  for name in missing]
        self.at_once(*verbs)
        self.look()
        verbs = [f"purge --yes {name}" for name in made]
        verbs += [f"delete --yes {name}" for name in ("back", "purged") if name in self.machines]
        wanted = {"saver": ("off", "saved"), "saved": ("off",)}
        verbs += [f"start {name} --wait" for name, states in wanted.items()
                  if self.state(name) in states]
        self.at_once(*verbs)
        if self.state("saved") != "saved":
            self.at_once("save saved")

    def start_verbs(self):
        """Starts all verbs side by side; each tells its end on the console, at once."""
        prefix, stick = " ".join(self.client.prefix), self.stick()
        lines = []
        for verb, words in VERBS.items():
            text = " ".join(stick if word == STICK else word for word in words)
            lines.append(f"({prefix} bulkheadctl -c {self.client.uri} --progress=none {text} "
                         f">/tmp/{verb}.log 2>&1; echo VERB-ENDED {verb} $?. >/dev/ttyS0) "
                         "</dev/null >/dev/null 2>&1 &")
        self.machine.run("\n".join(lines))

    def ended(self):
        """{verb: status} of those that ended so far."""
        text = self.machine.consoles["main"].text
        return {verb: int(status) for verb, status in re.findall(r"VERB-ENDED (\S+) (\d+)\.", text)}

    # --- after a cut ----------------------------------------------------------------------------

    def check(self, done):
        """`done`: the verbs that said so before the cut."""
        self.look()  # the client finishes what the cut interrupted, and two of them side by side
        self.look()  # may each see the other at it
        machines, deleted = self.machines, self.deleted
        self.machine.run("sha256sum -c --quiet /data/sum")
        for name in ("bystander", "saver", "saved"):
            assert name in machines
        self.one_of("delete", done, "deleted" in machines, "deleted" in deleted)
        self.one_of("undelete", done, "back" in deleted, "back" in machines)
        self.one_of("purge", done, "purged" in deleted,
                    "purged" not in deleted and "purged" not in machines)
        self.one_of("new", done, "new" not in machines, "new" in machines)
        self.one_of("empty", done, "empty" not in machines, "empty" in machines)
        # Two changes, each of them whole.
        self.one_of("set", done, any(self.has(name, memory) for name, memory in
                                     (("changed", 64), ("changed", 96), ("renamed", 64))),
                    self.has("renamed", 96))
        self.one_of("save", done, self.state("saver") in ("off", "saved"), self.state("saver") == "saved")
        self.one_of("discard-save", done, self.state("saved") == "saved", self.state("saved") == "off")
        self.one_of("usb-rules", done, not self.rules,
                    [rule["rule"] for rule in self.rules] == ["always"])
        known = set(machines) | set(deleted)
        assert known <= {*MACHINES, "new", "empty", "renamed"}, known
        self.check_disks()
        self.check_saved("saver", "save" in done)
        self.check_saved("saved", True)

    def one_of(self, verb, done, before, after):
        assert after or (before and verb not in done), (
            f"{verb}: {'said to be done' if verb in done else 'under way'} at the cut, now "
            f"{sorted(self.machines)}, deleted {sorted(self.deleted)}, rules {self.rules}")

    def has(self, name, memory):
        return name in self.machines and self.machines[name]["memory_mib"] == memory

    def check_disks(self):
        """Every machine, also a deleted one, has its disk; there is no disk without a machine."""
        folder = f"{HOME}/.local/share/bulkhead/disks"
        names = self.client.run("ls", "-A", folder).out.split()
        disks = {name.split("-")[0]: name for name in names if not name.startswith(".")}
        known = {"changed" if name == "renamed" else name for name in (*self.machines, *self.deleted)}
        assert set(disks) == known, (names, known)
        checks = [f"qemu-img check -q {folder}/{disk} && "
                  f"qemu-img compare -q {SOURCE} {folder}/{disk} || exit 1"
                  for name, disk in disks.items() if name != "empty"]
        self.client.run("sh", "-c", "\n".join(checks))

    def check_saved(self, name, whole):
        """What is saved can be resumed, unless saving was cut short: then the client says so and the
        machine can be started afresh."""
        if self.state(name) != "saved":
            return
        result = self.client.ctl("start", name, "--wait", check=False)
        if result.status != 0:
            assert not whole and "damaged" in result.err, result
            self.client.ctl("discard-save", name)

    def check_debris(self):
        """Half-made files are gone when the client has made another machine."""
        self.client.ctl("new", f"--image={SOURCE}", "--name=last", "--bios", "--memory=64M")
        names = self.client.run("ls", "-A", f"{HOME}/.local/share/bulkhead/disks",
                                f"{HOME}/.local/share/bulkhead/deleted").out.split()
        assert not [name for name in names if name.startswith(".") or name.endswith(".making")], names


def cut(bed, wanted, chance):
    """Cuts the power a little after `wanted` verbs have ended; those that had ended well, by then."""
    wait_for(lambda: len(bed.ended()) >= wanted, 240, f"{wanted} verbs end")
    time.sleep(chance.random() * 0.3)  # not to wait for anything: any moment will do
    bed.machine.power_cut()
    ended = bed.ended()
    assert not any(ended.values()), ended
    return set(ended)


@pytest.mark.parametrize("seed", [random.randrange(1 << 32)])
def test_power_cuts(bench, seed):
    """See the module. The seed chooses the moments."""
    chance = random.Random(seed)
    machine = bench.boot(Config(data=1024), "powercut")
    bed = Bed(machine)
    bed.first()
    for wanted in ROUNDS:
        bed.get_ready()
        bed.start_verbs()
        done = cut(bed, wanted, chance)
        print(f"power cut with seed {seed}: {sorted(done)} were done")
        machine = bench.again(machine)
        bed = Bed(machine)
        bed.check(done)
    bed.check_debris()
