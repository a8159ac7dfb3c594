/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the hypervisor says: to the serial line and into a ring that `xl dmesg` reads.
 *
 * Formats are printf's: %d %u %x %s %c %p %%, with l, ll, z, width and zero padding.
 * Lines about guests go through log_guest, which has a rate limit: a guest cannot flood the console.
 */
#pragma once

#include <hv/types.h>

struct domain;

void log_line(const char *format, ...) printf_like(1, 2);
/* At most LOG_GUEST_BURST lines a second of each domain; then a count of what was left out. */
void log_guest(struct domain *d, const char *format, ...) printf_like(2, 3);
/* Stops all CPUs after a crash dump. */
noreturn void panic(const char *format, ...) printf_like(1, 2);
