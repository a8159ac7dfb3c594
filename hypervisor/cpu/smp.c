/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The other processors: INIT and start-up IPIs, one after another, each into vcpu_loop. */
#include "apic.h"
#include <hv/board.h>
#include "cpu.h"
#include "x86.h"

#include "../hvm/run.h"

#include <hv/frame.h>
#include <hv/lib.h>
#include <hv/log.h>
#include <hv/metal.h>
#include <hv/ops.h>

#define START_LIMIT_US 1000000

extern char ap_trampoline[], ap_trampoline_end[], ap_base[], ap_cr3[], ap_entry[];
void ap_start(void);

struct cpu *ap_cpu; /* whose start is under way; read by entry.S */
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
    c->alarm = ~0ull;
    spin_init(&c->timer_lock, LOCK_SCHED);
    list_init(&c->timers);
    hv_cpus[id] = c;
    return c;
}

noreturn void ap_main(struct cpu *c);
noreturn void ap_main(struct cpu *c)
{
    paging_load();
    traps_init(c);
    apic_cpu_on();
    if (hv->cpu_on())
        panic("CPU %u cannot do what the first one can.", c->id);
    store_release(&c->online, true);
    vcpu_loop();
}

static void put_word(const char *symbol, uint64_t value)
{
    memcpy((char *)paddr_ptr(trampoline) + (symbol - ap_trampoline), &value, sizeof(value));
}

/* Wakes one CPU and waits for it (MP specification B.4). */
static bool start_one(struct cpu *c)
{
    ap_cpu = c;
    apic_init_ipi(c->apic_id);
    delay_us(10);
    for (unsigned attempt = 0; attempt < 2; attempt++) {
        apic_startup_ipi(c->apic_id, trampoline >> PAGE_SHIFT);
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
    const struct boot_range *r = paddr_ptr(hv_bootinfo->ranges);
    for (unsigned i = 0; i < hv_bootinfo->nr_ranges && !trampoline; i++, r++)
        for (paddr_t at = MAX(r->start, PAGE_SIZE); r->kind == BOOT_RAM && at + PAGE_SIZE <= MIN(r->end, 0xa0000);
             at += PAGE_SIZE)
            if (!frame_claim(at, at + PAGE_SIZE, DOMID_HV)) {
                trampoline = at;
                break;
            }
}

static void prepare(void)
{
    paddr_t root = paging_trampoline(trampoline);
    memcpy(paddr_ptr(trampoline), ap_trampoline, ap_trampoline_end - ap_trampoline);
    put_word(ap_base, trampoline);
    put_word(ap_cr3, root);
    put_word(ap_entry, (uint64_t)ap_start);
}

void smp_start(void)
{
    if (hv_board.nr_cpus < 2)
        return;
    if (!trampoline) {
        log_line("There is no memory below 1 MiB to start the other processors with; only one is used.");
        return;
    }
    prepare();
    for (unsigned i = 0; i < hv_board.nr_cpus; i++) {
        uint32_t id = hv_board.apic_id[i];
        if (id == hv_cpus[0]->apic_id)
            continue;
        struct cpu *c = cpu_alloc(hv_nr_cpus, id);
        if (!c)
            break;
        c->stack_top = stack_alloc();
        if (start_one(c))
            hv_nr_cpus++;
        else
            log_line("The processor with APIC id %u does not start; it is left out.", id);
    }
    paging_trampoline_done(trampoline);
}
