/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The fake driver: a host in memory that behaves like a real one, for unit and UI tests.
 *
 * URI: fake:///?machines=N&running=M&delay=MS&accel=kvm|tcg&features=no-tpm,... Operations take
 * delay milliseconds and report progress. In-process tests inject faults with the calls below; out
 * of process, a running app's fake host reads one command a line from the FIFO or socket named by
 * control=PATH.
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

G_END_DECLS
