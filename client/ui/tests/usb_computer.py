# SPDX-License-Identifier: GPL-2.0-or-later
"""A computer whose USB devices are the test's to plug: umockdev, in a process of its own, because
whoever sends udev events has to run under umockdev's preload library, and pytest should not."""
import json
import subprocess
import sys

HUB = "/devices/pci0000:00/0000:00:14.0/usb1"


class Computer:
    def __init__(self):
        self.process = subprocess.Popen(["umockdev-wrapper", "/usr/bin/python3", __file__],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.root = self.process.stdout.readline().strip()
        self.add("", 1, "1d6b:0002", "Root Hub", usb_class="09")

    def close(self):
        self.process.stdin.close()
        self.process.wait(10)

    def env(self):
        """What an app needs to see this computer's devices."""
        return {"LD_PRELOAD": "libumockdev-preload.so.0", "UMOCKDEV_DIR": self.root}

    def tell(self, *command):
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().strip()
        assert answer == "ok", answer

    def add(self, port, number, ids, product, serial=None, usb_class="00"):
        vendor, identity = ids.split(":")
        path = HUB + ("/" + port if port else "")
        lines = [f"P: {path}", f"N: bus/usb/001/{number:03}", "E: DEVTYPE=usb_device",
                 "E: SUBSYSTEM=usb", "A: busnum=1\\n", f"A: devnum={number}\\n",
                 f"A: idVendor={vendor}\\n", f"A: idProduct={identity}\\n",
                 f"A: bDeviceClass={usb_class}\\n", f"A: product={product}\\n"]
        if serial:
            lines.append(f"A: serial={serial}\\n")
        self.tell("add", "\n".join(lines) + "\n")
        return "/sys" + path

    def plug(self, *arguments, **options):
        """A device in a port of the root hub ("1-3"): added, then bound. Returns its sysfs path."""
        path = self.add(*arguments, **options)
        self.tell("uevent", path, "bind")
        return path

    def unplug(self, path):
        self.tell("uevent", path, "unbind")
        self.tell("uevent", path, "remove")
        self.tell("remove", path)


def main():
    import gi
    gi.require_version("UMockdev", "1.0")
    from gi.repository import UMockdev
    bed = UMockdev.Testbed.new()
    print(bed.get_root_dir(), flush=True)
    calls = {"add": bed.add_from_string, "uevent": bed.uevent, "remove": bed.remove_device}
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        calls[name](*arguments)
        print("ok", flush=True)


if __name__ == "__main__":
    main()
