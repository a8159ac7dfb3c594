# SPDX-License-Identifier: GPL-2.0-or-later
"""Sound, end to end: a tone played in the demo desktop comes out of a private PulseAudio daemon's null
sink, as loud as the app's volume says."""
import array
import base64
import math
import os
import subprocess
import time

import pytest

from atspi_driver import wait_for

TONE, RATE = 440, 8000
OTHERS = (110, 220, 330, 660, 1000, 1760)


class Speaker:
    """A sound server whose only sink goes nowhere, but can be recorded."""

    def __init__(self, folder):
        self.folder, self.address = folder, f"unix:{folder / 'native'}"
        self.start()

    def start(self):
        env = dict(os.environ, HOME=str(self.folder), PULSE_RUNTIME_PATH=str(self.folder))
        self.process = subprocess.Popen(
            ["pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1", "--use-pid-file=no",
             "--realtime=no", "--high-priority=no",
             "-L", f"module-native-protocol-unix socket={self.folder / 'native'} auth-anonymous=1",
             "-L", "module-null-sink sink_name=speaker"], env=env, stderr=subprocess.DEVNULL)
        wait_for("the sound server", lambda: subprocess.run(
            ["pactl", "-s", self.address, "info"], capture_output=True, check=False).returncode == 0)

    def kill(self):
        self.process.kill()
        self.process.wait()
        (self.folder / "native").unlink(missing_ok=True)


@pytest.fixture(scope="module")
def speaker(tmp_path_factory, desktop):
    one = Speaker(tmp_path_factory.mktemp("pulse"))
    yield one
    one.kill()


def record(server, seconds=1.5):
    """What is heard, as 16-bit samples."""
    process = subprocess.Popen(["parec", "-s", server.address, "-d", "speaker.monitor", "--raw", "--channels=1",
                                f"--rate={RATE}", "--format=s16le", "--latency-msec=50"],
                               stdout=subprocess.PIPE)
    data = process.stdout.read(int(seconds * RATE) * 2)
    process.kill()
    process.wait()
    return array.array("h", data)


def level(samples, frequency):
    """The amplitude at a frequency (Goertzel)."""
    turn = 2 * math.pi * frequency / RATE
    real = sum(s * math.cos(turn * i) for i, s in enumerate(samples))
    imaginary = sum(s * math.sin(turn * i) for i, s in enumerate(samples))
    return 2 * math.hypot(real, imaginary) / max(1, len(samples))


def heard(server):
    """The tone's amplitude where it is heard best, or 0 when something else is heard. An emulated guest
    on a busy computer plays with gaps, so the recording is looked at in pieces of 50 ms."""
    samples, piece, best = record(server), RATE // 20, 0
    for at in range(0, len(samples) - piece, piece):
        part = samples[at:at + piece]
        tone = level(part, TONE)
        if tone > best and tone > 4 * max(level(part, other) for other in OTHERS):
            best = tone
    return best


def is_silent(server):
    return max(map(abs, record(server))) <= 2


@pytest.fixture
def app(real, demo_desktop, speaker):
    app = real("--machine", demo_desktop.name, env={"PULSE_SERVER": speaker.address})
    demo_desktop.seen()
    return app


def stop(guest):
    guest.run("pkill -x pacat; while pgrep -x pacat; do sleep 0.2; done; true")


def play(guest):
    guest.run("(while cat /tmp/tone; do :; done | XDG_RUNTIME_DIR=/run/user/1000 setsid pacat --raw "
              f"--rate={RATE} --channels=1 --format=s16le) >/tmp/pacat.log 2>&1 &")


@pytest.fixture
def tone(demo_desktop):
    """The guest plays until the test ends."""
    wave = array.array("h", (int(20000 * math.sin(2 * math.pi * TONE * i / RATE))
                             for i in range(RATE)))
    demo_desktop.run(f"echo {base64.b64encode(wave.tobytes()).decode()} | base64 -d > /tmp/tone")
    play(demo_desktop)
    yield
    stop(demo_desktop)


def set_volume(app, value):
    if not app.all("slider", "Volume"):
        app.click("toggle button", "Sound")
    app.find("slider", "Volume").get_value_iface().set_current_value(value)


def test_the_guest_is_heard_muted_and_quieter(app, tone, speaker):
    loud = wait_for("the tone", lambda: heard(speaker), 60, 0.5)
    assert loud > 500
    app.click("toggle button", "Sound")
    mute = app.click("check box", "Mute")
    wait_for("silence", lambda: is_silent(speaker), 15)
    mute.get_action_iface().do_action(0)
    wait_for("the tone again", lambda: heard(speaker) > loud * 0.7, 15)

    # PulseAudio's volumes are cubic, as every desktop's are: half the way is an eighth of the amplitude.
    set_volume(app, 0.5)
    wait_for("half the volume", lambda: loud / 8 * 0.7 < heard(speaker) < loud / 8 * 1.4, 20)
    set_volume(app, 0)
    wait_for("silence", lambda: is_silent(speaker), 15)
    set_volume(app, 1)
    wait_for("the tone again", lambda: heard(speaker) > loud * 0.7, 15)


def test_the_sound_server_may_die_and_come_back(app, tone, speaker):
    wait_for("the tone", lambda: heard(speaker), 60, 0.5)
    speaker.kill()
    time.sleep(1)  # sound goes on coming, and finds no server
    assert app.process.poll() is None
    speaker.start()
    wait_for("the tone on the new server", lambda: heard(speaker), 30, 0.5)
