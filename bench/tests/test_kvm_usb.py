# SPDX-License-Identifier: GPL-2.0-or-later
"""USB devices of the bench, handed by bulkheadctl into a KVM guest and back, pulled out and put back."""
import io
import math
import re
import struct
import wave

import pytest

from bench.tests.client_in_bench import GUEST, URI, resume, wait_for

STICK, KEYS, SOUND = "BENCH-STICK", "BENCH-KEYS", "BENCH-SOUND"
KEEPER = "/usr/local/lib/bulkhead/usb-keeper"
# In the control domain: $disk is the stick, as soon as its driver has it.
FIND = f"""for i in $(seq 300); do for file in $(grep -ls {STICK} /sys/bus/usb/devices/*/serial); do
    disk=$(ls ${{file%/serial}}/*:1.0/host*/target*/*:*/block 2>/dev/null) && disk=/dev/$disk &&
    test -b $disk && break 2; done; sleep 0.1; done; test -b "$disk" && """
# In the guest: the disk that is a USB stick now, mounted on /stick.
MOUNT = """mkdir -p /stick; for i in $(seq 100); do for disk in /sys/block/sd*; do
    size=$(cat $disk/size 2>/dev/null || echo 0)
    [ "$size" != 0 ] && mount -t ext4 /dev/${disk##*/} /stick && exit 0; done; usleep 200000; done
    ls /sys/block; dmesg | tail; exit 1"""
TONE_HZ, RATE = 1000, 48000


class Stage:
    """The machine, the client, the guest and what is plugged in."""

    def __init__(self, bench):
        self.machine, self.client, self.guest = resume(bench)
        self.id = self.client.json("show", GUEST)["id"]

    def devices(self):
        """What the client lists: {serial number: device}."""
        return {device["id"].split(":", 2)[2]: device
                for device in self.client.json("usb", "list", GUEST) if device["id"].count(":") == 2}

    def plug(self, kind, serial, **options):
        self.machine.plug(kind, id=serial.lower(), serial=serial, **options)
        wait_for(lambda: serial in self.devices(), 30, f"the client lists {serial}")
        return self.devices()[serial]["id"]

    def attach(self, serial):
        self.client.ctl("usb", "attach", GUEST, self.devices()[serial]["id"])
        assert self.devices()[serial]["machine"] == self.id

    def detach(self, serial):
        self.client.ctl("usb", "detach", GUEST, self.devices()[serial]["id"])
        assert self.devices()[serial]["machine"] is None

    def make_stick(self, **options):
        """A stick with an ext4 file system, and in it what is needed to play sound."""
        self.plug("storage", STICK, **options)
        self.machine.run(FIND + "mkfs.ext4 -q -F -L stick $disk && mkdir -p /mnt && mount $disk /mnt")
        self.machine.push(tone(), "/mnt/tone.wav")
        self.machine.push(b"pcm.usb { type hw card 0 device 0 }\n", "/mnt/alsa.conf")
        self.machine.run("""mkdir /mnt/lib && cp $(which aplay) /mnt/ &&
            cp $(ldd /usr/bin/aplay | grep -o '/[^ ]*') /mnt/lib &&
            cd /mnt && sha256sum aplay tone.wav >sums && cd / && umount /mnt""")

    def keep(self):
        """Has the arbiter run, as the app does, to bring devices back."""
        self.client.run("sh", "-c", f"setsid {KEEPER} {URI} >~/keeper.log 2>&1 </dev/null &")
        self.await_keeper("ready")

    def await_keeper(self, text, since=0, timeout=60):
        """Waits until the arbiter told a line; its place in the log."""
        def told():
            return text in self.kept()[since:]
        wait_for(told, timeout, f"the arbiter tells '{text}'")
        return since + self.kept()[since:].index(text) + len(text)

    def kept(self):
        return self.client.run("cat", "/home/bench/keeper.log").out

    def check_stick(self, files):
        """Back in the control domain: the file system is sound and the files are what they were."""
        self.machine.run(FIND + "{ e2fsck -fp $disk || test $? = 1; }")
        self.machine.run(FIND + f"mount $disk /mnt && cd /mnt && sha256sum -c --quiet {files} && cd / && "
                         "umount /mnt")


@pytest.fixture
def stage(bench):
    return Stage(bench)


def tone():
    """One second of a tone as a WAV file."""
    data = b"".join(struct.pack("<hh", value, value) for value in (
        int(12000 * math.sin(2 * math.pi * TONE_HZ * number / RATE)) for number in range(RATE)))
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(2)
        out.setsampwidth(2)
        out.setframerate(RATE)
        out.writeframes(data)
    return file.getvalue()


def heard(path):
    """(seconds that are not silent, their frequency) in a recording that may still be written."""
    data = path.read_bytes()
    rate = struct.unpack("<I", data[24:28])[0]
    left = [value for value, in struct.iter_unpack("<h2x", data[44:44 + (len(data) - 44) // 4 * 4])]
    loud = crossings = 0
    for number in range(1, len(left)):
        if max(map(abs, left[max(0, number - 3):number + 1])) > 500 if abs(left[number]) <= 500 else 1:
            loud += 1
            crossings += left[number - 1] < 0 <= left[number]
    return loud / rate, crossings * rate / max(loud, 1)


def test_in_and_out(stage):
    """A stick, a keyboard and a sound card go into the running guest, work there, and come back."""
    stage.make_stick()
    stage.plug("keyboard", KEYS)
    stage.plug("audio", SOUND)
    for serial, device in stage.devices().items():
        assert (device["route"], device["machine"]) == ("host", None), (serial, device)
        stage.attach(serial)

    stage.guest.run(MOUNT)
    stage.guest.run("cd /stick && sha256sum -c sums && head -c 4194304 /dev/urandom >data && "
                    "sha256sum data >>sums && sync")

    stage.guest.wait_until("dmesg | grep -q 'QEMU USB Keyboard'")
    # To the guest's shell, and short: an emulated keyboard remembers few keys.
    stage.machine.type(">/k\n")
    stage.guest.wait_until("test -e /k")

    stage.guest.wait_until("test -e /dev/snd/pcmC0D0p")
    stage.guest.run("cd /stick && ALSA_CONFIG_PATH=/stick/alsa.conf lib/ld-linux-x86-64.so.2 "
                    "--library-path /stick/lib ./aplay -q -D usb tone.wav", 120)
    seconds, frequency = heard(stage.machine.folder.path / "sound.wav")
    assert seconds > 0.3 and 700 < frequency < 1300, (seconds, frequency)

    stage.guest.run("umount /stick")
    for serial in (STICK, KEYS, SOUND):
        stage.detach(serial)
    stage.guest.wait_until("! ls /sys/block | grep -q ^sd && ! test -e /dev/snd/pcmC0D0p")
    # The control domain's drivers have them again.
    stage.check_stick("sums")
    tree = stage.machine.run("lsusb -t").out
    assert re.search("usbhid", tree) and re.search("snd-usb-audio", tree), tree


def test_pulled_out_and_put_back(stage):
    """A stick pulled out while the guest writes does no harm; put into another port it comes back by
    itself, and what was synced before is there."""
    stage.keep()
    stage.make_stick(port="3")
    stage.attach(STICK)
    at = stage.await_keeper(f"{STICK} in {GUEST}")
    image = stage.machine.image_of(STICK.lower())
    stage.guest.run(MOUNT)
    stage.guest.run("cd /stick && head -c 4194304 /dev/urandom >data && sha256sum data >>sums && sync")
    size = image.stat().st_blocks
    writing = stage.guest.start("dd if=/dev/zero of=/stick/more bs=64k count=600 conv=fsync")
    wait_for(lambda: image.stat().st_blocks > size, 60, "the guest writes")
    stage.machine.unplug(STICK.lower())

    status, said = stage.guest.result(writing, 120)
    assert status != 0, said
    stage.guest.agent("guest-ping")
    wait_for(lambda: STICK not in stage.devices(), 30, "the client lists the stick no more")
    refused = stage.client.ctl("usb", "attach", GUEST, STICK, check=False)
    assert refused.status != 0 and "no USB device" in refused.err
    wait_for(lambda: "<hostdev" not in stage.client.virsh("dumpxml", GUEST).out, 60,
             "the machine has the lost device no more")
    stage.guest.run("umount -l /stick")

    stage.machine.plug("storage", id="again", serial=STICK, image=str(image), port="9")
    stage.await_keeper(f"{STICK} in {GUEST}", at)
    assert stage.devices()[STICK]["machine"] == stage.id
    assert stage.devices()[STICK]["port"].endswith("9")
    stage.guest.run(MOUNT)
    stage.guest.run("cd /stick && sha256sum -c sums && cd / && umount /stick")
    stage.detach(STICK)
    stage.check_stick("sums")


@pytest.mark.slow
def test_guest_reboot(stage):
    """What is attached stays so when the guest reboots, and by an "always" rule when it is started anew."""
    stage.keep()
    stage.make_stick()
    stage.attach(STICK)
    stage.guest.run(MOUNT)
    stage.guest.run("cp /stick/sums /stick/again && umount /stick")
    boot = stage.guest.run("cat /proc/sys/kernel/random/boot_id")
    stage.client.ctl("reboot", GUEST)
    wait_for(lambda: (stage.guest.agent("guest-ping", check=False) is not None and
                      stage.guest.run("cat /proc/sys/kernel/random/boot_id") != boot),
             300, "the guest has rebooted")
    stage.guest.run(MOUNT)
    stage.guest.run("cmp /stick/sums /stick/again && cd /stick && sha256sum -c sums && cd / && "
                    "umount /stick")
    assert stage.devices()[STICK]["machine"] == stage.id
    stage.client.ctl("usb", "rules", GUEST, stage.devices()[STICK]["id"], "always")
    stage.client.ctl("stop", GUEST, "--force", "--wait")
    assert stage.devices()[STICK]["machine"] is None
    at = len(stage.kept())
    stage.client.ctl("start", GUEST, "--wait")
    stage.await_keeper(f"{STICK} in {GUEST}", at)
    assert stage.devices()[STICK]["machine"] == stage.id
    stage.client.ctl("stop", GUEST, "--force", "--wait")
    stage.check_stick("sums")
