# SPDX-License-Identifier: GPL-2.0-or-later
"""Sound, end to end: a tone played in the demo desktop comes out of a private PulseAudio daemon's null
sink, as loud as the app's volume says."""
import array
import base64
import math
import os
import subprocess

import pytest

from atspi_driver import wait_for

TONE, RATE = 440, 8000
OTHERS = (110, 220, 330, 660, 1000, 1760)


@pytest.fixture(scope="module")
def speaker(tmp_path_factory, desktop):
    """The server's address; what its only sink plays can be recorded."""
    folder = tmp_path_factory.mktemp("pulse")
    address = folder / "native"
    env = dict(os.environ, HOME=str(folder), PULSE_RUNTIME_PATH=str(folder))
    process = subprocess.Popen(
        ["pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1", "--use-pid-file=no",
         "--realtime=no", "--high-priority=no",
         "-L", f"module-native-protocol-unix socket={address} auth-anonymous=1",
         "-L", "module-null-sink sink_name=speaker"], env=env, stderr=subprocess.DEVNULL)
    server = f"unix:{address}"
    wait_for("the sound server", lambda: subprocess.run(
        ["pactl", "-s", server, "info"], capture_output=True, check=False).returncode == 0)
    yield server
    process.terminate()
    process.wait()


def record(server, seconds=1.5):
    """What is heard, as 16-bit samples."""
    process = subprocess.Popen(["parec", "-s", server, "-d", "speaker.monitor", "--raw", "--channels=1",
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
    """The tone's amplitude when it is the tone that is heard, else 0."""
    samples = record(server)
    tone = level(samples, TONE)
    return tone if tone > 4 * max(level(samples, other) for other in OTHERS) else 0


def is_silent(server):
    return max(map(abs, record(server))) <= 2


@pytest.fixture
def app(real, demo_desktop, speaker):
    app = real("--machine", demo_desktop.name, env={"PULSE_SERVER": speaker})
    demo_desktop.seen()
    return app


@pytest.fixture
def tone(demo_desktop):
    """The guest plays until the test ends."""
    wave = array.array("h", (int(20000 * math.sin(2 * math.pi * TONE * i / RATE))
                             for i in range(RATE)))
    demo_desktop.run(f"echo {base64.b64encode(wave.tobytes()).decode()} | base64 -d > /tmp/tone")
    demo_desktop.run("(while cat /tmp/tone; do :; done | XDG_RUNTIME_DIR=/run/user/1000 setsid pacat --raw "
                     f"--rate={RATE} --channels=1 --format=s16le) >/tmp/pacat.log 2>&1 &")
    yield
    demo_desktop.run("pkill -x pacat; rm -f /tmp/tone; true")


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
    subprocess.run(["pactl", "-s", speaker, "unload-module", "module-native-protocol-unix"],
                   check=False)
    assert app.process.poll() is None
