# SPDX-License-Identifier: GPL-2.0-or-later
"""USB devices behind xHCI, plugged into the control domain, used, and pulled out."""
from hypervisor.tests.machines import until

PRODUCT = "cat /sys/bus/usb/devices/*/product 2>/dev/null | grep -qx '{}'"
STICK = "$(ls /dev/disk/by-id/*STICK* | head -1)"


def comes(machine, kind, product, **options):
    machine.plug(kind, "it", 4, **options)
    until(machine, PRODUCT.format(product))


def goes(machine, product):
    machine.unplug("it")
    until(machine, f"! {PRODUCT.format(product)}")


def test_a_stick_keeps_what_is_written(machine):
    comes(machine, "storage", "QEMU USB HARDDRIVE", size=32, serial="STICK")
    until(machine, f"test -b \"{STICK}\"")
    image = machine.image_of("it")
    machine.run(f"head -c 16M /dev/urandom >/run/sample && dd if=/run/sample of={STICK} bs=1M oflag=direct conv=fsync && "
                f"dd if={STICK} bs=1M count=16 iflag=direct | cmp - /run/sample")
    sample = machine.pull("/run/sample")
    goes(machine, "QEMU USB HARDDRIVE")
    assert image.read_bytes()[:len(sample)] == sample


def test_keys_arrive(machine):
    comes(machine, "keyboard", "QEMU USB Keyboard")
    until(machine, "grep -q 'QEMU USB Keyboard' /proc/bus/input/devices")
    machine.run("event=$(grep -A5 'QEMU USB Keyboard' /proc/bus/input/devices | grep -o 'event[0-9]*' | head -1) && "
                "setsid cat /dev/input/$event >/run/keys </dev/null 2>&1 & until pgrep -f 'cat /dev/input'; do sleep 0.1; done")
    machine.type("bulkhead")
    until(machine, "test $(wc -c </run/keys) -ge 768")  # 8 keys, down and up, each an event and its end, of 24 bytes
    goes(machine, "QEMU USB Keyboard")


def test_sound_is_played_and_its_card_comes_and_goes(machine):
    for _ in range(2):
        comes(machine, "audio", "QEMU USB Audio")
        until(machine, "grep -q USB-Audio /proc/asound/cards")
        machine.run("head -c 384000 /dev/urandom >/run/noise && timeout 60 aplay -q -t raw -f S16_LE -r 48000 -c 2 "
                    "-D hw:$(grep -l . /proc/asound/card*/usbid | head -1 | grep -o '[0-9]*') /run/noise", timeout=90)
        goes(machine, "QEMU USB Audio")
    assert any((machine.folder.path / "sound.wav").read_bytes()[44:])
