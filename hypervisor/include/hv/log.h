/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the hypervisor says: to the serial line and into a ring that `xl dmesg` reads. Implemented in cpu/console.c.
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

/* --- the console as hypercalls use it ---------------------------------------------------------------------------- */
/* Output of a domain, passed on as it is. */
void console_guest_write(struct domain *d, const char *text, size_t length);
/* Typed characters meant for the control domain; how many there were. */
size_t console_read(char *to, size_t size);
/* Copies out of the log ring: from *index when `incremental`, else from its beginning; *index is then behind what was
 * copied. `clear` forgets everything afterwards. Returns how many bytes. */
size_t log_ring_read(char *to, size_t size, uint32_t *index, bool clear, bool incremental);
/* As if the key had been pressed on the serial console after the switch to the hypervisor. */
void console_debug_key(char key);
