/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The machine as tests see it: some RAM, a settable clock, recorded kicks, a PCI bus of bytes. */
#pragma once

#include <hv/metal.h>

/* `ram_mib` of RAM (sparse) from address 0, the first MiB left out of the allocator. Once a process, before anything
 * else. */
void fake_metal_init(unsigned ram_mib);

extern _Atomic uint64_t fake_now;        /* ns */
extern _Atomic unsigned fake_kicks[256]; /* by CPU */
extern _Thread_local unsigned fake_cpu;  /* this thread's number */
extern unsigned fake_nr_cpus;
extern uint64_t fake_alarm;         /* the last metal_set_alarm */
extern uint8_t fake_pci[256][4096]; /* configuration space by devfn, of bus 0 */
extern unsigned fake_flushes;

uint32_t frame_refs(mfn_t m); /* 0: free */

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            fake_fail(__FILE__, __LINE__, #condition);                                                                 \
    } while (0)
noreturn void fake_fail(const char *file, int line, const char *what);
