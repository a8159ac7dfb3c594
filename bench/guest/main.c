/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The measuring guest: what operations of a virtual machine cost, in TSC ticks. Under the bench's
 * icount clock a tick is one instruction of the emulated machine, so the figures are instruction
 * counts and repeat exactly ("-icount shift=0,sleep=off": without sleep=off the clock follows the
 * real one whenever all CPUs are idle, and the rows with HLT do not repeat).
 *
 * One ELF (PVH), no C library, no disk. How it is started:
 *
 *   QEMU, KVM:  qemu-system-x86_64 -kernel measure.elf -append "tests=cpuid" -serial stdio
 *   Xen PVH:    type="pvh"  kernel="measure.elf"  cmdline="tests=hypercall"  tsc_mode="native"
 *   Xen HVM:    the same with type="hvm" and xen_platform_pci=0
 *   others:     whatever else offers the PVH entry, such as our own hypervisor
 *
 * xen_platform_pci=0 makes libxl start the device model's machine "pc", whose firmware enters a PVH
 * kernel; the default "xenfv" cannot. Without tsc_mode="native" Xen may make every reading of the
 * clock an exit: the row "overhead" shows it.
 *
 * Command line, key=value words (options.h); every key has a default:
 *
 *   tests=A,B     rows of the group A, or whose name contains A, ...; all when left out
 *   rounds=400    samples per row, 1..4096
 *   settle=N      ticks of silence before each row, for who reads the console (2000000)
 *   patience=N    ticks until a wait has failed (4000000000)
 *   role=ping     and role=pong: two instances measure what goes between them (rows_pair.c)
 *   peer=DOMID    the other instance; left out, xenstore tells
 *   console=A,B   of xen, com1, e9 (port 0xe9); left out: xen under Xen, com1 elsewhere
 *   exit=PORT     end through QEMU's isa-debug-exit: its status is 33 for ok, 35 for failed
 *
 * Output, one line each; all other lines are for people:
 *
 *   MEASURE-START version=1 hypervisor=KVMKVMKVM boot=pvh cpu=AuthenticAMD cpus=2 ...
 *   MEASURE cpuid min=3152 median=3152 max=3170 rounds=400 unit=ticks
 *   MEASURE hpet_read skipped reason=absent
 *   MEASURE x failed reason=exception-13 rip=1001234
 *   MEASURE-END ok
 *   MEASURE-END failed rows=1 reason=...       (the reason only when the run ended before its time)
 *
 * A failed row is preceded by the dump of its exception and followed by the next row. After the end
 * the machine is switched off: SCHEDOP_shutdown under Xen, else ACPI, else reset, else triple
 * fault.
 *
 * A sample is the difference of two clock readings around one operation; eight more run first,
 * unrecorded. Nothing is subtracted. The row "overhead" is the same with an operation that does
 * nothing: whoever wants the operation alone subtracts that row's median himself. The median is the
 * lower one of the two in the middle.
 *
 * The groups are described in their files: rows_cpu.c rows_apic.c rows_board.c rows_qemu.c
 * rows_hypercall.c rows_grant.c rows_touch.c rows_timer.c rows_smp.c rows_pair.c, run in this
 * order. Nothing is touched that ACPI, CPUID or PCI did not show before. tests=fault makes the
 * guest fault on purpose (rows_fault.c).
 */
#include "apic.h"
#include "boot.h"
#include "console.h"
#include "cpu.h"
#include "measure.h"
#include "platform.h"
#include "x86.h"
#include "xen.h"

static void console_choose(void)
{
    const char *list = options.console;

    if (!list[0]) {
        if (!platform.xen || !console_use_xen())
            console_use_com1();
        return;
    }
    if (options_listed(list, "xen") && platform.xen)
        console_use_xen();
    if (options_listed(list, "com1"))
        console_use_com1();
    if (options_listed(list, "e9"))
        console_use_debug_port();
}

static const char *yes_no(bool b)
{
    return b ? "yes" : "no";
}

static void start_line(void)
{
    console_print("MEASURE-START version=1 hypervisor=%s", platform.hypervisor);
    if (platform.xen)
        console_print(" xen=%u.%u domid=%d", platform.xen_version >> 16,
                      platform.xen_version & 0xffff, xen_domid());
    console_print(" boot=pvh cpu=%s cpus=%u board=%s x2apic=%s ioapic=%x hpet=%x pm_timer=%x",
                  platform.cpu, platform.cpus, yes_no(platform.board), yes_no(platform.x2apic),
                  platform.ioapic, platform.hpet, platform.pm_timer);
    console_print(" rounds=%lu\n", options.rounds);
    console_print("command line: %s\n", boot.command_line);
    if (options.bad[0])
        console_print("not understood: %s\n", options.bad);
}

/* why: NULL, or what ended the run before its time. */
static void __attribute__((noreturn)) end(const char *why)
{
    unsigned failed = measure_failures();

    if (why)
        console_print("MEASURE-END failed rows=%u reason=%s\n", failed, why);
    else if (failed)
        console_print("MEASURE-END failed rows=%u\n", failed);
    else
        console_print("MEASURE-END ok\n");
    platform_power_off(options.exit_port, !why && !failed);
}

void guest_fail(const char *why)
{
    end(why);
}

static void rows_all(void)
{
    rows_cpu();
    rows_apic();
    rows_board();
    rows_qemu();
    rows_hypercall();
    rows_grant();
    rows_touch();
    rows_timer();
    rows_smp();
    if (options_listed(options.tests, "fault"))
        rows_fault();
}

/* Legacy interrupts would arrive on vectors of exceptions. */
static void silence_pics(void)
{
    if (!platform.board)
        return;
    port_out8(0x21, 0xff);
    port_out8(0xa1, 0xff);
}

void guest_main(uint32_t info)
{
    const char *wrong;

    cpu_init(0);
    wrong = boot_read(info);
    options_parse(&options, boot.command_line);
    platform_detect();
    xen_init();
    console_choose();
    if (wrong)
        guest_fail(wrong);
    acpi_read(boot.rsdp);
    start_line();
    paging_protect();
    silence_pics();
    apic_init();
    if (options.role == ROLE_ALONE || options.tests[0])
        rows_all();
    rows_pair();
    end(NULL);
}
