/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The console as hypercalls use it: the control domain's output and input, and the log ring. Implemented in
 * cpu/console.c.
 */
#pragma once

#include <hv/types.h>

struct domain;

/* Output of a domain, passed on as it is. */
void console_guest_write(struct domain *d, const char *text, size_t length);
/* Typed characters meant for the control domain; how many there were. */
size_t console_read(char *to, size_t size);
/* Copies out of the log ring: from *index when `incremental`, else from its beginning; *index is then behind what was
 * copied. `clear` forgets everything afterwards. Returns how many bytes. */
size_t log_ring_read(char *to, size_t size, uint32_t *index, bool clear, bool incremental);
/* As if the key had been pressed on the serial console after the switch to the hypervisor. */
void console_debug_key(char key);
