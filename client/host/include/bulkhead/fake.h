/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The fake driver: a host in memory that behaves like a real one, for unit and UI tests.
 *
 * URI: fake:///?machines=N&running=N&paused=N&saved=N&crashed=N&deleted=N&delay=MS&accel=kvm|tcg
 * &note=TEXT&features=no-tpm,clone,...&cpus=N&memory=MIB&names=A,B,...&stubborn=1 (guests ignore
 * the power button) &fail=WHAT:CODE:MESSAGE &spice=PATH (of a real SPICE server's Unix socket: what
 * open_display connects to) &control=PATH (a Unix socket it opens for commands, see
 * fake-control.c). Operations take about delay ms, report progress and can be cancelled. In-process
 * tests inject faults with the calls below; operations are named "open", "create", "delete",
 * "undelete", "purge", "apply", "open-display", "screenshot", "send-keys", "read-log",
 * "usb-attach", "usb-detach" and by bh_verb_get_name().
 */
#pragma once

#include <bulkhead/error.h>
#include <bulkhead/host.h>

G_BEGIN_DECLS

#define BH_TYPE_FAKE_HOST (bh_fake_host_get_type())
G_DECLARE_FINAL_TYPE(BhFakeHost, bh_fake_host, BH, FAKE_HOST, BhHost)

/* The next operation named what ("start", "create", "open", "usb-attach", ...) fails with this. */
void bh_fake_host_fail_next(BhFakeHost *self, const char *what, BhErrorCode code,
                            const char *message);
/* The connection is lost; it comes back after ms. */
void bh_fake_host_drop_connection(BhFakeHost *self, guint ms);
/* The machine dies with this log, as when QEMU is killed. */
void bh_fake_host_crash(BhFakeHost *self, BhMachine *machine, const char *log);
/* A change from outside, as with virsh: state, rename, removal. */
void bh_fake_host_force_state(BhFakeHost *self, BhMachine *machine, BhState state);
void bh_fake_host_force_rename(BhFakeHost *self, BhMachine *machine, const char *name);
BhMachine *bh_fake_host_force_add(BhFakeHost *self, const char *name); /* borrowed */

G_END_DECLS
