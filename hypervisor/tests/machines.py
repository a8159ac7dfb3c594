# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tests on the machine share: which PC they run on, and work that goes on inside it."""
import contextlib

from bench.config import Config
from bench.errors import BenchError

PLAIN = Config(hypervisor="bulkhead", nic="virtio")

# In the control domain: $1 parts of 16 MiB go to the bench's echo server and come back, and are compared; meanwhile the
# disk is written, flushed, and read again past all caches.
LOAD = r"""set -e
head -c 16M /dev/urandom >/run/sample
disk() {
    rounds=0
    while [ -e /run/busy ]; do
        cp /run/sample /var/tmp/load && sync /var/tmp/load
        dd if=/var/tmp/load bs=1M iflag=direct status=none | cmp - /run/sample
        rounds=$((rounds + 1))
    done
    echo "disk $rounds"
}
parts() { for part in $(seq "$1"); do echo "part $part"; cat /run/sample; done; }
touch /run/busy
disk &
parts "$1" | nc -N 10.0.2.100 7 | cmp - <(parts "$1") || broken=yes
rm /run/busy
wait $!
[ -z "$broken" ] && echo "network $1"
"""


def settled(machine):
    """The tools answer, and nothing is left to start."""
    machine.run("xl list && xenstore-ls -s >/dev/null", timeout=120)
    machine.run("systemctl is-system-running --wait || true", timeout=300)


def until(machine, command, timeout=60):
    """Waits inside the machine until a shell line succeeds; its output."""
    return machine.run(f"for i in $(seq {timeout * 10}); do {command} && exit 0; sleep 0.1; done; exit 1",
                       timeout=timeout + 30).out


def under_load(machine, parts):
    """Network both ways and disk at once; (parts that came back, rounds of the disk), all compared."""
    until(machine, "ip -4 addr | grep -q 'inet 10.0.2.'")
    said = machine.run(["/bin/bash", "-c", LOAD, "load", str(parts)], timeout=900).out.split()
    return int(said[said.index("network") + 1]), int(said[said.index("disk") + 1])


def lose(machine, command):
    """Has a command run after which nothing may answer any more."""
    with contextlib.suppress(BenchError):
        machine.run(f"({command}) >/dev/null 2>&1 </dev/null &", timeout=5)
