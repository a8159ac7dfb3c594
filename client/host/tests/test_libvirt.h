/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the tests of the libvirt driver share: blocking forms of the calls, for straight-line tests,
 * and looks at the session from outside. Everything asserts: a failure is a failed test. */
#pragma once

#include <bulkhead/error.h>
#include <bulkhead/host.h>

#include "await.h"

#define URI "qemu:///session"

/* Waits longer than await.h: QEMU under TCG on a busy computer takes its time. */
#define AWAIT_LONG(condition)                                                                      \
    do {                                                                                           \
        gint64 await_end = g_get_monotonic_time() + 60 * G_USEC_PER_SEC;                           \
        while (!(condition)) {                                                                     \
            await_ms(5);                                                                           \
            g_assert_cmpint(g_get_monotonic_time(), <, await_end);                                 \
        }                                                                                          \
    } while (0)

#define AWAIT_STATE(machine, wanted) AWAIT_LONG(bh_machine_get_state(machine) == (wanted))

BhHost *open_host(void);
void close_host(BhHost *host);
BhMachine *try_create(BhHost *host, const BhMachineSpec *spec, BhJob *job, GError **error);
BhMachineSpec *tiny_spec(const char *name);
BhMachine *create(BhHost *host, const char *name);
gboolean try_act(BhMachine *machine, BhVerb verb, BhJob *job, GError **error);
void act(BhMachine *machine, BhVerb verb);
BhDeleted *delete_machine(BhMachine *machine);
void restore(BhDeleted *deleted);
void purge(BhDeleted *deleted);
void remove_for_good(BhMachine *machine);
char *virsh(const char *format, ...) G_GNUC_PRINTF(1, 2);
void assert_no_files_left(void);
pid_t read_pid(const char *file);
pid_t qemu_pid(const char *domain_name);
guint count_machines(BhHost *host);
void write_image(const char *path, const guint8 *boot, gsize length, gsize size);
void write_medium(const char *path); /* an ISO without anything to boot */
void set_text(char **field, const char *value);

void add_change_tests(void);
void add_fault_tests(void);
void add_install_tests(void);
