/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which interrupt of the host is whose: vectors 0x30 to 0xdf of each CPU, the lines of the IOAPICs, and the bindings of
 * the control domain's interrupts to them (irq.h).
 *
 * irq_lock guards all of it, but the handler takes no lock for a message: a CPU's slot names a binding, whose route is
 * one word, and bindings are never given back to the allocator. Who reads a slot just before its binding goes delivers
 * what came too late, or what the binding is used for next: the guest gets one interrupt too many.
 *
 * When an interrupt moves to another CPU, the old vector goes on working until it moves again: a message may be on its
 * way, and an edge that nobody hears is lost for ever.
 */
#include "apic.h"
#include "cpu.h"

#include <hv/board.h>
#include <hv/domain.h>
#include <hv/frame.h>
#include <hv/iommu.h>
#include <hv/irq.h>
#include <hv/log.h>
#include <hv/metal.h>
#include <hv/vdev.h>

#define NR_VECTORS (VECTOR_LAST - VECTOR_FIRST + 1)
#define NR_LINES 512

enum route_flags { ROUTE_GSI = 1, ROUTE_LOGICAL = 2, ROUTE_LEVEL = 4 };

/* What happens when a vector comes. */
struct route {
    uint32_t dest; /* of the guest's message; ROUTE_GSI: the line */
    uint8_t vector, mode, flags;
};

/* An interrupt that has a vector. */
struct binding {
    struct binding *next; /* of the free ones */
    _Atomic struct route route;
    uint32_t sbdf;     /* the requester the remapping entry is for */
    int entry;         /* -1: none */
    uint32_t now, old; /* places: CPU << 8 | vector; 0: none */
    struct msi_message host;
};

enum line_mask { MASK_GUEST = 1, MASK_SERVICE = 2, MASK_UNBOUND = 4 };

struct line {
    struct binding *b;
    uint64_t entry; /* of the IOAPIC, without the mask bit */
    uint8_t io, pin, masks /* enum line_mask; 0: open */;
    bool exists, level, host;
};

static spinlock_t irq_lock = SPINLOCK(LOCK_IRQ);
static _Atomic(struct binding *) *vectors[MAX_CPUS]; /* slots; a page of them for each CPU */
static struct binding *free_bindings;
static struct line lines[NR_LINES];
static unsigned nr_lines;

/* --- bindings --- */

static _Atomic(struct binding *) *slot_at(uint32_t place)
{
    return &vectors[place >> 8][(place & 0xff) - VECTOR_FIRST];
}

static void place_leave(uint32_t place)
{
    if (place)
        store_relaxed(slot_at(place), NULL);
}

/* A place for it on `cpu` or, if that is full, on the next one; 0: none left. The vector stays if it can: a device
 * whose message changes in one word only cannot send a torn one. */
static uint32_t place_find(const struct binding *b, unsigned cpu)
{
    unsigned cpus = metal_nr_cpus(), start = b->now ? (b->now & 0xff) - VECTOR_FIRST : 0;
    for (unsigned n = 0; n < cpus * NR_VECTORS; n++) {
        uint32_t place = (cpu + n / NR_VECTORS) % cpus << 8 | (VECTOR_FIRST + (start + n) % NR_VECTORS);
        const struct binding *there = load_relaxed(slot_at(place));
        if (!there || there == b)
            return place;
    }
    return 0;
}

static struct binding *binding_new(uint32_t sbdf)
{
    if (!free_bindings) {
        struct binding *page = page_alloc();
        for (unsigned i = 0; page && i < PAGE_SIZE / sizeof(*page); i++) {
            page[i].next = free_bindings;
            free_bindings = &page[i];
        }
    }
    struct binding *b = free_bindings;
    if (!b)
        return NULL;
    free_bindings = b->next;
    b->sbdf = sbdf;
    b->entry = -1;
    b->now = b->old = 0;
    return b;
}

static void binding_drop(struct binding **at)
{
    struct binding *b = *at;
    if (!b)
        return;
    place_leave(b->now);
    place_leave(b->old);
    if (b->entry >= 0)
        iommu_remap_free(b->sbdf, b->entry);
    b->next = free_bindings;
    free_bindings = b;
    *at = NULL;
}

/* Gives the binding a vector near `cpu` and makes it do what `r` says. On an error it is as before. */
static int binding_place(struct binding *b, unsigned cpu, struct route r)
{
    uint32_t to = place_find(b, cpu);
    if (!to)
        return -ENOSPC;
    bool moves = to != b->now, back = to == b->old, gsi = r.flags & ROUTE_GSI;
    struct route before = load_relaxed(&b->route);
    store_relaxed(&b->route, r);
    if (!moves && !gsi)
        return 0;
    store_release(slot_at(to), b); /* pairs with irq_handle(): the route before the slot */
    int rc = iommu_remap(b->sbdf, &b->entry, to, apic_id_of(to >> 8), gsi && r.flags & ROUTE_LEVEL, &b->host);
    if (rc)
        store_relaxed(&b->route, before);
    if (moves && !back)
        place_leave(rc ? to : b->old);
    if (moves && !rc) {
        b->old = b->now;
        b->now = to;
    }
    return rc;
}

/* The same for *at, which becomes a new binding if it is NULL. */
static int binding_route(struct binding **at, uint32_t sbdf, unsigned cpu, struct route r)
{
    bool new = !*at;
    if (new && !(*at = binding_new(sbdf)))
        return -ENOMEM;
    int rc = binding_place(*at, cpu, r);
    if (rc && new)
        binding_drop(at);
    return rc;
}

/* The CPU of a vCPU, within reach of a message: without remapping that is an 8-bit APIC id. */
static unsigned cpu_of(unsigned vcpu)
{
    unsigned cpu = vcpu < hv_control_domain->max_vcpus ? load_relaxed(&hv_control_domain->vcpu[vcpu]->cpu) : 0;
    return apic_id_of(cpu) > 254 && !iommu_remaps_interrupts() ? 0 : cpu;
}

/* --- message interrupts --- */

/* SDM 3A 10.11. Fixed, lowest priority and NMI are what devices may send. The redirection hint, for one of those that
 * are named, is what lowest priority means. */
static bool route_decode(const struct msi_message *m, struct route *r)
{
    bool logical = m->address & 4, hint = m->address & 8;
    *r = (struct route){ .dest = m->address >> 12 & 0xff, .vector = m->data, .mode = m->data >> 8 & 7 };
    r->flags = (logical ? ROUTE_LOGICAL : 0) | (m->data & 0x8000 ? ROUTE_LEVEL : 0);
    if (r->mode == 0 && logical && hint)
        r->mode = 1;
    return m->address >> 20 == 0xfee && (r->mode == 4 || (r->mode <= 1 && r->vector >= 16));
}

int irq_bind_msi(struct binding **at, uint32_t sbdf, struct msi_message guest, struct msi_message *out)
{
    struct route r;
    if (!route_decode(&guest, &r))
        return -EINVAL;
    unsigned cpu = cpu_of(vlapic_target(hv_control_domain, r.dest, r.flags & ROUTE_LOGICAL));
    spin_lock(&irq_lock);
    int rc = binding_route(at, sbdf, cpu, r);
    if (!rc)
        *out = (*at)->host;
    spin_unlock(&irq_lock);
    return rc;
}

void irq_unbind_msi(struct binding **at)
{
    spin_lock(&irq_lock);
    binding_drop(at);
    spin_unlock(&irq_lock);
}

/* --- lines of the IOAPICs; all of it under irq_lock --- */

static void line_apply(const struct line *l)
{
    ioapic_write(l->io, IOAPIC_ENTRY(l->pin), (uint32_t)l->entry | (l->masks ? BIT(16) : 0));
}

static void line_mask(struct line *l, uint8_t set, uint8_t clear)
{
    uint8_t masks = (l->masks & ~clear) | set;
    bool apply = !masks != !l->masks;
    l->masks = masks;
    if (apply)
        line_apply(l);
}

/* The whole entry; masked as long as its halves do not fit. */
static void line_program(const struct line *l)
{
    ioapic_write(l->io, IOAPIC_ENTRY(l->pin), (uint32_t)l->entry | BIT(16));
    ioapic_write(l->io, IOAPIC_ENTRY(l->pin) + 1, l->entry >> 32);
    if (l->level && !(l->masks & MASK_SERVICE))
        ioapic_directed_eoi(l->io, l->entry);
    line_apply(l);
}

void irq_init(unsigned nr_cpus)
{
    for (unsigned cpu = 0; cpu < nr_cpus; cpu++) {
        vectors[cpu] = page_alloc();
        BUG_ON(!vectors[cpu]);
    }
    for (unsigned io = 0; io < hv_board.nr_ioapics; io++) {
        uint64_t base = hv_board.ioapic[io].gsi_base;
        ioapic_map(io, hv_board.ioapic[io].address);
        unsigned pins = (ioapic_read(io, IOAPIC_VERSION) >> 16 & 0xff) + 1;
        if (base + pins > NR_LINES || pins > 120) {
            log_line("IOAPIC %u cannot be used: too many lines.", hv_board.ioapic[io].id);
            continue;
        }
        for (unsigned pin = 0; pin < pins; pin++) {
            struct line *l = &lines[base + pin];
            *l = (struct line){ .exists = true, .io = io, .pin = pin, .masks = MASK_UNBOUND };
            line_program(l);
        }
        nr_lines = MAX(nr_lines, base + pins);
    }
}

static int requester_of(const struct line *l, uint32_t *sbdf)
{
    int32_t found = iommu_remaps_interrupts() ? iommu_ioapic_sbdf(hv_board.ioapic[l->io].id) : 0;
    *sbdf = found;
    return found < 0 ? -ENODEV : 0;
}

int irq_route_isa(uint8_t irq, uint8_t vector)
{
    const struct board_line *wired = &hv_board.isa[irq];
    struct line *l = wired->gsi < NR_LINES ? &lines[wired->gsi] : NULL;
    uint32_t sbdf;
    if (!l || !l->exists || requester_of(l, &sbdf))
        return -ENODEV;
    struct msi_message m;
    int entry = -1;
    spin_lock(&irq_lock);
    int rc = iommu_remap(sbdf, &entry, vector, apic_id_of(0), wired->level, &m);
    if (!rc) {
        l->host = true;
        l->level = wired->level;
        l->masks = 0;
        l->entry = iommu_ioapic_rte(&m, wired->level, wired->active_low, false);
        line_program(l);
    }
    spin_unlock(&irq_lock);
    return rc;
}

static int line_bind(struct line *l, unsigned cpu, struct route r, bool active_low)
{
    uint32_t sbdf;
    bool level = r.flags & ROUTE_LEVEL, bound = l->b;
    int rc = l->host ? -EBUSY : requester_of(l, &sbdf);
    if (!rc)
        rc = binding_route(&l->b, sbdf, cpu, r);
    if (rc)
        return rc;
    uint64_t entry = iommu_ioapic_rte(&l->b->host, level, active_low, false);
    l->masks &= l->level && level ? MASK_GUEST | MASK_SERVICE : MASK_GUEST;
    l->level = level;
    if (bound && l->entry == entry) { /* an edge would be lost while it is masked for the change */
        line_apply(l);
        return 0;
    }
    l->entry = entry;
    line_program(l);
    return 0;
}

int irq_bind_gsi(unsigned gsi, bool level, bool active_low, unsigned vcpu)
{
    if (gsi >= NR_LINES || !lines[gsi].exists)
        return -EINVAL;
    struct route r = { .dest = gsi, .flags = ROUTE_GSI | (level ? ROUTE_LEVEL : 0) };
    spin_lock(&irq_lock);
    int rc = line_bind(&lines[gsi], cpu_of(vcpu), r, active_low);
    spin_unlock(&irq_lock);
    return rc;
}

void irq_mask_gsi(unsigned gsi, bool masked)
{
    spin_lock(&irq_lock);
    line_mask(&lines[gsi], masked ? MASK_GUEST : 0, masked ? 0 : MASK_GUEST);
    spin_unlock(&irq_lock);
}

void irq_gsi_eoi(unsigned gsi)
{
    struct line *l = &lines[gsi];
    spin_lock(&irq_lock);
    if (l->masks & MASK_SERVICE) {
        if (iommu_remaps_interrupts())
            ioapic_directed_eoi(l->io, l->entry);
        line_mask(l, 0, MASK_SERVICE);
    }
    spin_unlock(&irq_lock);
}

unsigned irq_nr_gsis(void) { return nr_lines; }

void irq_resume(void)
{
    spin_lock(&irq_lock);
    for (unsigned gsi = 0; gsi < nr_lines; gsi++) {
        if (lines[gsi].exists)
            line_program(&lines[gsi]);
    }
    spin_unlock(&irq_lock);
}

/* --- when they come --- */

/* A stray vector can come after an unbind; many of them are a device gone mad, worth a line each time they double. */
static void unbound(uint8_t vector)
{
    static _Atomic uint64_t total;
    uint64_t count = atomic_fetch_add_explicit(&total, 1, memory_order_relaxed) + 1;
    if (!(count & (count - 1)))
        log_line("CPU %u: an interrupt nobody waits for, vector %02x (%lu so far)", metal_cpu(), vector, count);
}

static void reserved_handle(uint8_t vector)
{
    if (vector < VECTOR_FIRST || vector == VECTOR_SPURIOUS) {
        unbound(vector); /* a spurious one was never in service: no EOI */
        return;
    }
    apic_eoi();
    if (vector == VECTOR_TIMER)
        clock_alarm();
    else if (vector == VECTOR_SERIAL)
        console_poll();
    else if (vector != VECTOR_KICK) /* whose purpose was the exit from the guest */
        unbound(vector);
}

/* Level-triggered: masked until the guest's EOI, so that the EOI here cannot make it come again at once. */
static void line_begin(struct line *l)
{
    spin_lock(&irq_lock);
    if (l->level)
        line_mask(l, MASK_SERVICE, 0);
    spin_unlock(&irq_lock);
}

void irq_handle(uint8_t vector)
{
    if (vector < VECTOR_FIRST || vector > VECTOR_LAST) {
        reserved_handle(vector);
        return;
    }
    struct binding *b = load_acquire(slot_at(metal_cpu() << 8 | vector)); /* pairs with binding_place() */
    struct route r = { 0 };
    if (b)
        r = load_relaxed(&b->route);
    else
        unbound(vector);
    bool gsi = r.flags & ROUTE_GSI;
    if (gsi)
        line_begin(&lines[r.dest]);
    else if (b)
        vlapic_deliver(hv_control_domain, r.dest, r.flags & ROUTE_LOGICAL, r.mode, r.vector, r.flags & ROUTE_LEVEL);
    apic_eoi();
    if (gsi)
        virqchip_host_gsi(hv_control_domain, r.dest);
}
