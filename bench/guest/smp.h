/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The second vCPU: brought up by INIT and STARTUP, then told how to wait for the first one's IPIs.
 */
#ifndef BENCH_GUEST_SMP_H
#define BENCH_GUEST_SMP_H

#include <stdbool.h>
#include <stdint.h>

enum ap_state { AP_OFF, AP_HALTED, AP_SPINNING };

/* False when it did not answer within the bound. */
bool ap_start(uint32_t apic_id, uint64_t patience);
void ap_tell(enum ap_state state);
bool ap_arrived(enum ap_state state);

#endif
