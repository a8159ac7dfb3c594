# SPDX-License-Identifier: GPL-2.0-or-later
"""Bulkhead's hypervisor under an unmodified Debian as its control domain, on the bench: it runs, and it ends."""
import re

from bench.desktop import see_client
from hypervisor.tests.machines import PLAIN, lose


def test_the_control_domain_runs_on_it(machine):
    assert "PVH" in machine.run("dmesg | grep -i 'Booting kernel on Xen'").out
    assert machine.run("systemctl --failed --no-legend").out == ""
    assert machine.run("nproc").out.strip() == "2"
    timer = re.search(r"APIC: .* timer of (\d+) MHz", machine.run("xl dmesg").out)
    assert 950 < int(timer[1]) < 1050  # QEMU's counts nanoseconds, and this computer may have been busy while it was measured
    assert "XSAVE consistency" not in machine.run("dmesg").out  # else user space dies of buffers that are too small
    assert machine.run("test -d /sys/firmware/efi/efivars && ls /sys/firmware/efi/efivars | grep -c Boot").out.strip() != "0"


def test_xens_tools_give_sensible_answers(machine):
    info = machine.run("xl info").out
    assert re.search(r"xen_version +: 4\.17", info) and re.search(r"nr_cpus +: 2\n", info)
    assert re.search(r"Domain-0 +0 +20\d\d +2 ", machine.run("xl list").out)
    assert len(re.findall(r"^Domain-0 +0 +\d", machine.run("xl vcpu-list").out, re.MULTILINE)) == 2
    assert "Bulkhead hypervisor" in machine.run("xl dmesg").out
    assert "Domain-0" in machine.run("xentop -b -i 1").out
    assert "nr_features" in machine.run("xen-cpuid").out
    assert "Host policy: " in machine.run("xen-cpuid -p").out
    assert re.search(r"C1 .*\n +residency +\[ +[1-9]", machine.run("xenpm get-cpuidle-states").out)
    machine.run("xl sched-credit2 -d 0 -w 300 -c 150")
    assert re.search(r"Domain-0 +0 +300 +150", machine.run("xl sched-credit2").out)
    machine.run("xl sched-credit2 -d 0 -w 256 -c 0")
    assert machine.run("xl sched-credit").out == ""  # of pools with that scheduler
    machine.run("xl pci-assignable-list")
    machine.run("xl debug-keys qm")
    log = machine.run("xl dmesg").out
    assert "domains and their vCPUs" in log and "KiB the hypervisor's" in log
    machine.run("xenstore-write /tool/bench yes")
    assert machine.run("xenstore-read /tool/bench").out == "yes\n"


def test_the_client_on_the_control_domains_screen(bench):
    """X on the machine's own VGA, and Bulkhead's client in it."""
    machine = bench.boot(PLAIN.replace(image="control-domain-desktop"), "screen")
    see_client(machine)


def test_clock_variables_reboot_and_power_off(machine):
    """The RTC is set and read, an EFI variable outlives a reboot from within, and power off ends the machine."""
    machine.run("hwclock --set --date '2031-02-03 04:05:06' --utc && hwclock --show --utc | grep -q '^2031-02-03 04:05'")
    variable = "/sys/firmware/efi/efivars/Bench-6d1f0a3e-54a1-4b2f-9f5e-0f6f2d9c7a11"
    machine.run(rf"printf '\007\000\000\000outlives' >{variable}")
    since = machine.consoles["main"].mark()
    lose(machine, "reboot")
    machine.wait("Bulkhead hypervisor", 120, since=since)
    machine.wait_up(300, since)
    assert machine.run(f"cat {variable} | tail -c +5").out == "outlives"
    assert "2031" in machine.run("hwclock --show --utc").out
    lose(machine, "poweroff")
    machine.wait_off(60)
    assert "Call Trace" not in machine.last_words()


def test_a_kernel_panic_is_reported_and_the_machine_reboots(machine):
    """Its counterpart, with reboot=off, is in test_machine_boards.py."""
    since = machine.consoles["main"].mark()
    lose(machine, "echo c >/proc/sysrq-trigger")
    machine.wait("The control domain has crashed", 60, since=since)
    machine.wait("loaded by bulkhead.efi", 120, since=since)


def test_a_crash_of_its_own_can_be_read(machine):
    """Key C: registers or a message, then a backtrace with names."""
    lose(machine, "xl debug-keys C")
    machine.wait("Backtrace:", 60)
    machine.wait("key_crash", 60)
