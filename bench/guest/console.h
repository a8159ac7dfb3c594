/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where the lines go: the Xen console ring, COM1, the debug port 0xe9; any of them at once. A
 * console nobody reads never stops the guest: after a bound its output is dropped.
 */
#ifndef BENCH_GUEST_CONSOLE_H
#define BENCH_GUEST_CONSOLE_H

#include <stdbool.h>

void console_use_com1(void);
void console_use_debug_port(void);
/* Needs hypercalls; false when this domain has no console: neither a ring nor, as control domain,
 * the hypervisor's. */
bool console_use_xen(void);
void console_print(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Waits, within a bound, until all output is gone. */
void console_drain(void);

#endif
