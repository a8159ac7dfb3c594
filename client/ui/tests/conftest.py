# SPDX-License-Identifier: GPL-2.0-or-later
"""Fixtures of the UI tests: a screen and a bus, an app on the fake host, and what is kept of a
failure (a picture of the screen, the app's messages, the stalls of its main loop)."""
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))
from atspi_driver import BUILD, App, Control, wait_for  # noqa: E402
from real_app import demo_desktop, moving, moving_image, real  # noqa: E402,F401

ARTIFACTS = Path(os.environ.get("BULKHEAD_ARTIFACTS", tempfile.gettempdir()))


def prefer():
    """The screen must not be what the app waits for when other work has the CPUs (root only)."""
    try:
        os.nice(-10)
    except PermissionError:
        pass


def start_screen():
    """Xvfb on a free display; it tells which."""
    read, write = os.pipe()
    process = subprocess.Popen(["Xvfb", "-displayfd", str(write), "-screen", "0", "1280x1024x24",
                                "-nolisten", "tcp", "-noreset"], pass_fds=[write], preexec_fn=prefer,
                               stderr=subprocess.DEVNULL)
    os.close(write)
    with os.fdopen(read) as pipe:
        os.environ["DISPLAY"] = ":" + pipe.readline().strip()
    wait_for("the screen", lambda: subprocess.run(["xdotool", "getdisplaygeometry"], check=False,
                                                  capture_output=True).returncode == 0)
    return process


def start_bus():
    process = subprocess.Popen(["dbus-daemon", "--session", "--nofork", "--print-address=1"],
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    os.environ["DBUS_SESSION_BUS_ADDRESS"] = process.stdout.readline().strip()
    return process


def pytest_configure(config):
    # The names AT-SPI recommends instead are not in Debian 12's Python bindings for every interface.
    config.addinivalue_line("filterwarnings", "ignore:Atspi.*:DeprecationWarning")


@pytest.fixture(scope="session")
def desktop():
    """A screen, a session bus and a window manager: those of the caller, else private ones."""
    started = []
    if not os.environ.get("DISPLAY"):
        os.environ.pop("DBUS_SESSION_BUS_ADDRESS", None)
        started.append(start_screen())
    if not os.environ.get("DBUS_SESSION_BUS_ADDRESS"):
        started.append(start_bus())
    yield
    for process in reversed(started):
        process.terminate()
        process.wait()


@pytest.fixture(scope="module")
def window_manager(desktop):
    process = subprocess.Popen(["xfwm4", "--compositor=off"], stderr=subprocess.DEVNULL)
    yield process
    process.kill()
    process.wait()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    setattr(item, "report_" + call.when, outcome.get_result())


def keep_failure(request, app):
    name = request.node.name.replace("/", "_")
    ARTIFACTS.mkdir(parents=True, exist_ok=True)
    subprocess.run(["import", "-window", "root", ARTIFACTS / f"{name}.png"], check=False)
    print(app.stderr.read_text(errors="replace"))


@pytest.fixture
def start(request, desktop, tmp_path):
    """start(query, *arguments): the app on a fake host. It must end without a stall of its main
    loop and without a critical message; tests that allow stalls say so by start.stalls = True."""
    if not (BUILD / "client/ui/bulkhead").exists():
        pytest.skip(f"no app in {BUILD} (BULKHEAD_BUILD)")
    apps = []

    def run(query="machines=0", *arguments, **options):
        folder = tmp_path / f"app{len(apps)}"
        folder.mkdir()
        control = folder / "control"
        app = App(folder, "--connect", f"fake:///?control={control}&{query}", *arguments, **options)
        app.control = Control(control)
        apps.append(app)
        return app

    run.stalls = False
    run.stall_limit = 100
    yield run
    failed = getattr(request.node, "report_call", None) is None or request.node.report_call.failed
    for app in apps:
        if failed:
            keep_failure(request, app)
        crashed = not app.stopped and app.process.poll() not in (None, 0)
        app.stop()
        if not failed:
            assert not crashed, app.stderr.read_text(errors="replace")
            messages = app.stderr.read_text(errors="replace")
            assert "CRITICAL" not in messages and "Gtk-WARNING" not in messages, messages
            stalls = app.stalls(limit=run.stall_limit)
            assert run.stalls or not stalls, f"main loop stalls: {stalls}"
