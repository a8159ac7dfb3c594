/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where processors begin: the trampoline, cpu_main() and vcpu_loop(). The others come by INIT and start-up IPIs, one
 * after another; after S3 the first one comes this way too, sent by the firmware.
 */
#include "apic.h"
#include "cpu.h"
#include "x86.h"

#include "../hvm/hvm.h"

#include <hv/frame.h>
#include <hv/lib.h>
#include <hv/log.h>
#include <hv/machine.h>
#include <hv/metal.h>
#include <hv/ops.h>

#define START_LIMIT_US 1000000

extern char ap_trampoline[], ap_trampoline_end[], ap_words[];

struct cpu *starting_cpu; /* read by entry.S */
static paddr_t trampoline;

/* A block of its own for each CPU, so that no two share cache lines. */
struct cpu *cpu_alloc(unsigned id, uint32_t apic_id)
{
    static struct cpu first;
    struct cpu *c = id ? page_alloc() : &first;
    _Static_assert(sizeof(struct cpu) <= PAGE_SIZE, "one page");
    if (!c)
        return NULL;
    c->self = c;
    c->id = id;
    c->apic_id = apic_id;
    c->stack_top = id ? stack_alloc() : 0; /* the first one's: when there is memory, hv_main() */
    spin_init(&c->timer_lock, LOCK_SCHED);
    list_init(&c->timers);
    hv_cpus[id] = c;
    return c;
}

noreturn void cpu_main(struct cpu *c);
noreturn void cpu_main(struct cpu *c)
{
    paging_load();
    traps_init(c);
    apic_cpu_on();
    if (hv->cpu_on())
        panic("CPU %u cannot do what the first one can.", c->id);
    c->alarm = ~0ull;
    c->tick = true;
    store_release(&c->online, true); /* pairs with start_one() */
    if (!c->id)
        power_wake();
    vcpu_loop();
}

/* Leads who comes by the trampoline to cpu_main(c). */
static void prepare(struct cpu *c)
{
    uint64_t words[] = { trampoline, paging_trampoline(trampoline, true) };
    memcpy(paddr_ptr(trampoline), ap_trampoline, ap_trampoline_end - ap_trampoline);
    memcpy(paddr_ptr(trampoline + (ap_words - ap_trampoline)), words, sizeof(words));
    starting_cpu = c;
}

/* Wakes one CPU and waits for it (MP specification B.4). */
static bool start_one(struct cpu *c)
{
    prepare(c);
    apic_ipi(c->apic_id, APIC_INIT);
    delay_us(10);
    for (unsigned attempt = 0; attempt < 2; attempt++) {
        apic_ipi(c->apic_id, APIC_STARTUP | trampoline >> PAGE_SHIFT);
        for (unsigned us = 0; us < START_LIMIT_US; us += 20) {
            if (load_acquire(&c->online))
                return true;
            delay_us(20);
        }
    }
    return false;
}

/* A page below 1 MiB that is RAM; kept, for S3 needs it again. */
void smp_reserve(void)
{
    trampoline = PAGE_SIZE;
    if (!frame_claim(&trampoline, PAGE_SIZE, DOMID_HV) || trampoline >= 0xa0000)
        panic("There is no memory below 1 MiB to start processors with.");
}

/* The MADT's list loses those that do not start, and begins with the first one: it is in the order of our numbers. */
void smp_start(void)
{
    struct machine_cpu *list = hv_machine.cpu;
    for (unsigned i = 1; i < hv_machine.nr_cpus && list[0].apic_id != hv_cpus[0]->apic_id; i++) {
        struct machine_cpu one = list[0];
        list[0] = list[i];
        list[i] = one;
    }
    for (unsigned i = 1; i < hv_machine.nr_cpus; i++) {
        struct cpu *c = cpu_alloc(hv_nr_cpus, list[i].apic_id);
        if (!c)
            break;
        if (start_one(c))
            list[hv_nr_cpus++] = list[i];
        else
            log_line("The processor with APIC id %u does not start; it is left out.", list[i].apic_id);
    }
    paging_trampoline(trampoline, false);
}

paddr_t smp_waking_vector(void)
{
    prepare(hv_cpus[0]);
    return trampoline;
}

void smp_resume(void)
{
    for (unsigned i = 1; i < hv_nr_cpus; i++)
        if (!start_one(hv_cpus[i]))
            panic("CPU %u does not wake up.", i);
    paging_trampoline(trampoline, false);
}
