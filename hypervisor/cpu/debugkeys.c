/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Keys of a person at the serial console (or `xl debug-keys`), each a small report or an action. */
#include "cpu.h"

#include <hv/domain.h>
#include <hv/frame.h>
#include <hv/log.h>
#include <hv/metal.h>
#include <hv/ops.h>
#include <hv/sched.h>

static void key_help(void);

static void key_domains(void)
{
    struct domain *d;
    for (domid_t id = 0; (d = domain_next(id)); id = d->id + 1, domain_put(d)) {
        log_line("Domain %u: %lu pages (at most %lu), p2m of %lu tables, %lu / %lu / %lu leaves of 4K / 2M / 1G", d->id,
                 load_relaxed(&d->p2m.ram), d->max_pages, d->p2m.tables, d->p2m.leaves[1], d->p2m.leaves[2],
                 d->p2m.leaves[3]);
        for (unsigned i = 0; i < d->max_vcpus; i++) {
            struct vcpu *v = d->vcpu[i];
            uint64_t times[4];
            sched_runstate(v, metal_now(), times);
            log_line("  v%u: CPU %u blocked %x work %x rip %lx ran %lu ms", i, load_relaxed(&v->cpu),
                     load_relaxed(&v->blocked), load_relaxed(&v->work), v->regs.rip, times[RUN_RUNNING] / 1000000);
        }
    }
}

static void key_memory(void)
{
    struct frame_stats s;
    frame_stats(&s);
    log_line("Memory: %lu MiB of RAM, %lu MiB free, %lu KiB the hypervisor's", s.total >> 8, s.free >> 8, s.hv << 2);
}

static void key_control(void)
{
    for (unsigned i = 0; hv_control_domain && i < hv_control_domain->max_vcpus; i++)
        if (!(load_relaxed(&hv_control_domain->vcpu[i]->blocked) & BLOCK_DOWN))
            hv->dump(hv_control_domain->vcpu[i]);
}

static void key_reboot(void) { machine_stop(true); }
static void key_crash(void) { panic("A person asked for this crash (key C)."); }

/* As deep as it gets: nothing of it may become a loop. */
static unsigned overflow(volatile unsigned *depth)
{
    volatile unsigned deeper = *depth + 1;
    return deeper ? overflow(&deeper) + deeper : 0;
}

static void key_overflow(void)
{
    volatile unsigned depth = 0;
    overflow(&depth);
}

static const struct {
    char key;
    void (*run)(void);
    const char *help;
} keys[] = {
    { 'h', key_help, "this list" },
    { 'q', key_domains, "domains and their vCPUs" },
    { 'm', key_memory, "memory" },
    { '0', key_control, "registers of the control domain" },
    { 'R', key_reboot, "reboot at once" },
    { 'C', key_crash, "stop with a message, to see one" },
    { 'S', key_overflow, "crash by a full stack, to see a crash dump" },
};

static void key_help(void)
{
    for (unsigned i = 0; i < ARRAY_SIZE(keys); i++)
        log_line("  %c  %s", keys[i].key, keys[i].help);
}

void console_debug_key(char key)
{
    for (unsigned i = 0; i < ARRAY_SIZE(keys); i++)
        if (keys[i].key == key) {
            log_line("Key '%c': %s", key, keys[i].help);
            keys[i].run();
            return;
        }
    log_line("There is no key '%c'; h lists them.", key);
}
