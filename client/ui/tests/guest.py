# SPDX-License-Identifier: GPL-2.0-or-later
"""The inside of a running guest, for end-to-end tests: commands through the QEMU guest agent, and the
real command `bulkheadctl` for everything a user does from outside."""
import base64
import json
import subprocess

from atspi_driver import BUILD, wait_for

URI = "qemu:///session"
CTL = BUILD / "client/cli/bulkheadctl"


def ctl(*arguments, check=True):
    done = subprocess.run([CTL, "--connect", URI, *map(str, arguments)], capture_output=True,
                          text=True, check=False, timeout=600)
    if check and done.returncode:
        raise AssertionError(f"bulkheadctl {arguments}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done


def state(machine):
    return json.loads(ctl("show", machine, "--json").stdout)["state"]


class Guest:
    """A machine with qemu-guest-agent in it."""

    def __init__(self, name):
        self.name = name
        self.uuid = json.loads(ctl("show", name, "--json").stdout)["id"]  # libvirt's name may differ

    def agent(self, command, **arguments):
        request = json.dumps({"execute": command, "arguments": arguments} if arguments
                             else {"execute": command})
        done = subprocess.run(["virsh", "-q", "-c", URI, "qemu-agent-command", self.uuid, request],
                              capture_output=True, text=True, check=False, timeout=60)
        return json.loads(done.stdout)["return"] if done.returncode == 0 else None

    def wait_agent(self, limit=600):
        wait_for("the guest agent", lambda: self.agent("guest-ping") is not None, limit, 2)

    def run(self, script, user="demo", limit=60):
        """Runs a shell script in the guest, in the user's X session; its standard output."""
        argv = ["-u", user, "--", "env", "DISPLAY=:0", f"HOME=/home/{user}", "sh", "-c", script]
        started = self.agent("guest-exec", path="/usr/sbin/runuser", arg=argv,
                             **{"capture-output": True})
        assert started, f"the agent did not run: {script}"
        status = wait_for(script, lambda: self._finished(started["pid"]), limit)
        return base64.b64decode(status.get("out-data", "")).decode()

    def _finished(self, pid):
        status = self.agent("guest-exec-status", pid=pid)
        return status if status and status["exited"] else None

    def screenshot(self, path):
        done = ctl("screenshot", "--force", self.name, path, check=False)
        return path if done.returncode == 0 else None
