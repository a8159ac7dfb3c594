#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Child processes that end when we end, whatever ends us.

`spawn` starts a command through this file run as a program. That program holds a pipe whose other
end is ours; when we are gone, `kill -9` included, the pipe closes and it kills the command and all
that the command started, daemons that forked twice too. A command that ends by itself takes what it
left behind with it.
"""
import ctypes
import os
import select
import signal
import subprocess
import sys
import time

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36


def spawn(command, *, stdout=None, stderr=None, pass_fds=(), env=None, cwd=None):
    """Starts `command` (a list) on a leash; `Popen` of the leash, whose exit status is the command's.
    Closing its stdin, or `stop`, kills everything. FileNotFoundError when there is no such program."""
    program = command[0]
    if os.sep not in program and not _in_path(program, env):
        raise FileNotFoundError(program)
    return subprocess.Popen([sys.executable, "-S", "-E", __file__, *command], stdin=subprocess.PIPE,
                            stdout=stdout, stderr=stderr, pass_fds=pass_fds, env=env, cwd=cwd,
                            start_new_session=True)


def stop(process, timeout=20):
    """Kills a spawned command and all it started, and waits for that."""
    if process.stdin and not process.stdin.closed:
        process.stdin.close()
    process.wait(timeout)


def _in_path(program, env):
    folders = (env or os.environ).get("PATH", os.defpath).split(os.pathsep)
    return any(os.access(os.path.join(folder, program), os.X_OK) for folder in folders)


def _prctl(option, value):
    ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _start(command):
    """The command in a new process, which dies when this one is killed."""
    pid = os.fork()
    if pid:
        return pid
    try:
        _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.closerange(null, null + 1)
        os.execvp(command[0], command)
    except OSError as error:
        print(f"{command[0]}: {error.strerror}", file=sys.stderr, flush=True)
        os._exit(127)


def _children():
    with open(f"/proc/self/task/{os.getpid()}/children", encoding="ascii") as file:
        return [int(pid) for pid in file.read().split()]


def _reap(pid):
    """Collects every dead child; the exit status of `pid` when it is among them, else None."""
    status = None
    try:
        while True:
            dead, how = os.waitpid(-1, os.WNOHANG)
            if dead == 0:
                return status
            if dead == pid:
                status = os.waitstatus_to_exitcode(how)
    except ChildProcessError:
        return status


def _kill_all():
    """Orphans become our children (subreaper), so killing children until none is left gets all."""
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        alive = _children()
        if not alive:
            return
        for pid in alive:
            os.kill(pid, signal.SIGKILL)
        _reap(0)
        time.sleep(0.005)


def _main(command):
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    wake_read, wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    pid = _start(command)
    status = None
    while status is None:
        ready = select.select([0, wake_read], [], [])[0]
        if 0 in ready and not os.read(0, 4096):
            break
        if wake_read in ready:
            os.read(wake_read, 4096)
        status = _reap(pid)
    _kill_all()
    return 137 if status is None else status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
