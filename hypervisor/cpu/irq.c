/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which interrupt of the host is whose: vectors 0x30 to 0xdf of each CPU, the lines of the IOAPICs, and the bindings of
 * guests' interrupts to them (irq.h).
 *
 * Two locks. irq_lock guards everything that changes slowly: bindings, lines, which vector is taken. Each CPU's table
 * of vectors has its own (LOCK_IRQ_CPU, a level above): whoever changes a slot holds both, the handler needs only its
 * CPU's. A slot therefore holds by value what the handler wants to know, and a binding may be freed once no slot names
 * it any more.
 *
 * When an interrupt moves to another CPU, the old vector goes on working for STALE_NS: a message may be on its way, and
 * an edge that nobody hears is lost for ever.
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
#define NR_BUCKETS 512
#define STALE_NS 100000000ull

enum route_flags { ROUTE_GSI = 1, ROUTE_LOGICAL = 2, ROUTE_LEVEL = 4, ROUTE_LOWEST = 8 };

/* What happens when a vector comes. */
struct route {
    uint32_t dest; /* of the guest's message; ROUTE_GSI: the line */
    uint8_t vector, mode, flags;
};

struct slot {
    struct binding *b; /* NULL: free */
    struct route route;
};

struct cpu_vectors {
    spinlock_t lock; /* LOCK_IRQ_CPU: slot[] */
    unsigned next;   /* where the search for a free one begins; irq_lock */
    struct slot slot[NR_VECTORS];
};
_Static_assert(sizeof(struct cpu_vectors) <= PAGE_SIZE, "a page for each CPU");

/* An interrupt that has a vector. All of it irq_lock, but for `d`, constant while a slot names the binding. */
struct binding {
    struct binding *next; /* in its bucket, or of the free ones */
    struct domain *d;
    uint32_t sbdf; /* the requester the remapping entry is for */
    int entry;     /* -1: none */
    uint16_t index, cpu, old_cpu;
    uint8_t vector, old_vector; /* 0: none */
    uint64_t moved;             /* when old_vector became old, ns */
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
static struct cpu_vectors *vectors[MAX_CPUS];
static struct binding *buckets[NR_BUCKETS], *free_bindings;
static struct line lines[NR_LINES];
static unsigned nr_lines;
static bool has_eoi_register[BOARD_MAX_IOAPICS];

/* --- vectors --- */

static void slot_set(unsigned cpu, uint8_t vector, struct binding *b, struct route route)
{
    struct cpu_vectors *c = vectors[cpu];
    spin_lock(&c->lock);
    c->slot[vector - VECTOR_FIRST] = (struct slot){ b, route };
    spin_unlock(&c->lock);
}

static void slot_clear(unsigned cpu, uint8_t vector)
{
    if (vector)
        slot_set(cpu, vector, NULL, (struct route){ 0 });
}

/* Free, or kept for late interrupts longer than any can take. */
static bool slot_usable(const struct slot *s, unsigned cpu, uint8_t vector, uint64_t now)
{
    if (!s->b)
        return true;
    return (s->b->cpu != cpu || s->b->vector != vector) && now - s->b->moved > STALE_NS;
}

/* A vector of this CPU, 0: none left. `want` when it is free: a device whose message changes in one word only cannot
 * send a torn one. */
static uint8_t vector_find(unsigned cpu, uint8_t want)
{
    struct cpu_vectors *c = vectors[cpu];
    uint64_t now = metal_now();
    unsigned start = want ? want - (unsigned)VECTOR_FIRST : c->next;
    for (unsigned i = 0; i < NR_VECTORS; i++) {
        unsigned n = (start + i) % NR_VECTORS;
        if (!slot_usable(&c->slot[n], cpu, VECTOR_FIRST + n, now))
            continue;
        if (c->slot[n].b)
            c->slot[n].b->old_vector = 0;
        c->next = (n + 1) % NR_VECTORS;
        return VECTOR_FIRST + n;
    }
    return 0;
}

/* --- bindings --- */

static struct binding *binding_new(struct domain *d, uint32_t sbdf, unsigned index)
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
    *b = (struct binding){ .d = d, .sbdf = sbdf, .entry = -1, .index = index };
    return b;
}

static void binding_drop(struct binding *b)
{
    slot_clear(b->cpu, b->vector);
    slot_clear(b->old_cpu, b->old_vector);
    if (b->entry >= 0)
        iommu_remap_free(b->sbdf, b->entry);
    b->next = free_bindings;
    free_bindings = b;
}

/* Gives the binding a vector near `cpu` and makes it do what `r` says. On an error it is as before. */
static int binding_place(struct binding *b, unsigned cpu, struct route r)
{
    bool gsi = r.flags & ROUTE_GSI;
    if (b->vector && b->cpu == cpu && !gsi) {
        slot_set(cpu, b->vector, b, r);
        return 0;
    }
    uint8_t vector = b->cpu == cpu ? b->vector : 0;
    bool move = !vector;
    unsigned cpus = metal_nr_cpus();
    for (unsigned i = 0; !vector && i < cpus; i++) {
        cpu = (cpu + (i > 0)) % cpus;
        vector = vector_find(cpu, b->vector);
    }
    if (!vector)
        return -ENOSPC;
    if (move)
        slot_set(cpu, vector, b, r);
    int rc = iommu_remap(b->sbdf, &b->entry, vector, apic_id_of(cpu), gsi && r.flags & ROUTE_LEVEL, &b->host);
    if (rc) {
        if (move)
            slot_clear(cpu, vector);
        return rc;
    }
    if (!move)
        return 0;
    slot_clear(b->old_cpu, b->old_vector);
    b->old_cpu = b->cpu;
    b->old_vector = b->vector;
    b->moved = metal_now();
    if (b->old_vector)
        slot_set(b->old_cpu, b->old_vector, b, r);
    b->cpu = cpu;
    b->vector = vector;
    return 0;
}

/* The CPU of a vCPU, within reach of a message: without remapping that is an 8-bit APIC id. */
static unsigned cpu_of(const struct domain *d, unsigned vcpu)
{
    const struct vcpu *v = vcpu < d->max_vcpus ? d->vcpu[vcpu] : NULL;
    unsigned cpu = v ? load_relaxed(&v->cpu) : 0;
    if (cpu >= metal_nr_cpus() || (apic_id_of(cpu) > 254 && !iommu_remaps_interrupts()))
        return 0;
    return cpu;
}

/* --- message interrupts --- */

/* SDM 3A 10.11. Fixed, lowest priority and NMI are what devices may send. */
static bool route_decode(const struct msi_message *m, struct route *r)
{
    uint8_t mode = m->data >> 8 & 7;
    bool logical = m->address & 4, hint = m->address & 8;
    *r = (struct route){ .dest = m->address >> 12 & 0xff, .vector = m->data, .mode = mode };
    r->flags = (logical ? ROUTE_LOGICAL : 0) | (m->data & 0x8000 ? ROUTE_LEVEL : 0) |
               (mode == 1 || (hint && logical) ? ROUTE_LOWEST : 0);
    if (m->address >> 20 != 0xfee)
        return false;
    return mode == 4 || (mode <= 1 && r->vector >= 16);
}

static struct binding **msi_find(uint32_t sbdf, unsigned index)
{
    uint32_t hash = (sbdf * 2048 + index) * 0x9e3779b1u;
    struct binding **at = &buckets[hash % NR_BUCKETS];
    while (*at && ((*at)->sbdf != sbdf || (*at)->index != index))
        at = &(*at)->next;
    return at;
}

static void msi_drop(struct binding **at)
{
    struct binding *b = *at;
    *at = b->next;
    binding_drop(b);
}

int irq_bind_msi(struct domain *d, uint32_t sbdf, unsigned index, struct msi_message guest, struct msi_message *out)
{
    struct route r;
    if (!route_decode(&guest, &r) || index > UINT16_MAX)
        return -EINVAL;
    unsigned cpu = cpu_of(d, vlapic_target(d, r.dest, r.flags & ROUTE_LOGICAL));
    spin_lock(&irq_lock);
    struct binding **at = msi_find(sbdf, index);
    if (*at && (*at)->d != d)
        msi_drop(at);
    at = msi_find(sbdf, index);
    struct binding *b = *at;
    if (!b) {
        b = binding_new(d, sbdf, index);
        *at = b;
    }
    int rc = b ? binding_place(b, cpu, r) : -ENOMEM;
    if (!rc)
        *out = b->host;
    else if (b && !b->vector)
        msi_drop(at);
    spin_unlock(&irq_lock);
    return rc;
}

void irq_unbind_msi(struct domain *d, uint32_t sbdf, unsigned index)
{
    spin_lock(&irq_lock);
    struct binding **at = msi_find(sbdf, index);
    if (*at && (*at)->d == d)
        msi_drop(at);
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

/*
 * Tells the IOAPIC that a level-triggered interrupt is over. The local APIC's EOI does so by its vector, but in a
 * remapped entry (AMD-Vi) there is an index where the vector was. The old chips, which have no register for it, forget
 * by becoming edge-triggered for a moment, masked.
 */
static void line_ack(const struct line *l)
{
    if (has_eoi_register[l->io]) {
        ioapic_directed_eoi(l->io, l->entry);
        return;
    }
    ioapic_write(l->io, IOAPIC_ENTRY(l->pin), ((uint32_t)l->entry & ~BIT(15)) | BIT(16));
    ioapic_write(l->io, IOAPIC_ENTRY(l->pin), (uint32_t)l->entry | BIT(16));
}

/* The whole entry; masked as long as its halves do not fit. */
static void line_program(const struct line *l)
{
    ioapic_write(l->io, IOAPIC_ENTRY(l->pin), (uint32_t)l->entry | BIT(16));
    ioapic_write(l->io, IOAPIC_ENTRY(l->pin) + 1, l->entry >> 32);
    if (l->level && !(l->masks & MASK_SERVICE))
        line_ack(l);
    line_apply(l);
}

void irq_init(unsigned nr_cpus)
{
    for (unsigned cpu = 0; cpu < nr_cpus; cpu++) {
        vectors[cpu] = page_alloc();
        BUG_ON(!vectors[cpu]);
        spin_init(&vectors[cpu]->lock, LOCK_IRQ_CPU);
    }
    for (unsigned io = 0; io < hv_board.nr_ioapics; io++) {
        uint64_t base = hv_board.ioapic[io].gsi_base;
        ioapic_map(io, hv_board.ioapic[io].address);
        uint32_t version = ioapic_read(io, IOAPIC_VERSION);
        unsigned pins = (version >> 16 & 0xff) + 1;
        if (base + pins > NR_LINES || pins > 120) {
            log_line("IOAPIC %u cannot be used: too many lines.", hv_board.ioapic[io].id);
            continue;
        }
        has_eoi_register[io] = (uint8_t)version >= 0x20;
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
    int rc = l->b ? -EBUSY : iommu_remap(sbdf, &entry, vector, apic_id_of(0), wired->level, &m);
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

static int line_bind(struct line *l, struct domain *d, unsigned cpu, struct route r, bool active_low)
{
    uint32_t sbdf;
    if (l->host || (l->b && l->b->d != d))
        return -EBUSY;
    int rc = requester_of(l, &sbdf);
    if (rc)
        return rc;
    struct binding *b = l->b ? l->b : binding_new(d, sbdf, 0);
    if (!b)
        return -ENOMEM;
    rc = binding_place(b, cpu, r);
    if (rc) {
        if (!l->b)
            binding_drop(b);
        return rc;
    }
    bool level = r.flags & ROUTE_LEVEL, bound = l->b;
    uint64_t entry = iommu_ioapic_rte(&b->host, level, active_low, false);
    l->masks &= l->level && level ? MASK_GUEST | MASK_SERVICE : MASK_GUEST;
    l->b = b;
    l->level = level;
    if (bound && l->entry == entry) { /* an edge would be lost while it is masked for the change */
        line_apply(l);
        return 0;
    }
    l->entry = entry;
    line_program(l);
    return 0;
}

int irq_bind_gsi(struct domain *d, unsigned gsi, bool level, bool active_low, unsigned vcpu)
{
    if (gsi >= NR_LINES || !lines[gsi].exists || vcpu >= d->max_vcpus || !d->vcpu[vcpu])
        return -EINVAL;
    struct route r = { .dest = gsi, .flags = ROUTE_GSI | (level ? ROUTE_LEVEL : 0) };
    unsigned cpu = cpu_of(d, vcpu);
    spin_lock(&irq_lock);
    int rc = line_bind(&lines[gsi], d, cpu, r, active_low);
    spin_unlock(&irq_lock);
    return rc;
}

void irq_unbind_gsi(unsigned gsi)
{
    struct line *l = &lines[gsi];
    spin_lock(&irq_lock);
    line_mask(l, MASK_UNBOUND, MASK_GUEST | MASK_SERVICE);
    binding_drop(l->b);
    l->b = NULL;
    spin_unlock(&irq_lock);
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
            line_ack(l);
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

/* Level-triggered: masked until the guest's EOI, so that the EOI here cannot make it come again at once. */
static void gsi_handle(struct domain *d, unsigned gsi)
{
    struct line *l = &lines[gsi];
    spin_lock(&irq_lock);
    bool mine = l->b && l->b->d == d; /* it may have been unbound since the slot was read */
    if (mine && l->level)
        line_mask(l, MASK_SERVICE, 0);
    spin_unlock(&irq_lock);
    apic_eoi();
    if (mine)
        virqchip_host_gsi(d, gsi);
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

void irq_handle(uint8_t vector)
{
    if (vector < VECTOR_FIRST || vector > VECTOR_LAST) {
        reserved_handle(vector);
        return;
    }
    struct cpu_vectors *c = vectors[metal_cpu()];
    struct domain *gsi_of = NULL;
    spin_lock(&c->lock);
    struct slot s = c->slot[vector - VECTOR_FIRST];
    if (s.b && s.route.flags & ROUTE_GSI) {
        gsi_of = s.b->d;
        atomic_fetch_add_explicit(&gsi_of->refs, 1, memory_order_relaxed); /* > 0: it still has a binding */
    } else if (s.b) {
        vlapic_deliver(s.b->d, s.route.dest, s.route.flags & ROUTE_LOGICAL, s.route.mode, s.route.vector,
                       s.route.flags & ROUTE_LEVEL, s.route.flags & ROUTE_LOWEST);
    }
    spin_unlock(&c->lock);
    if (gsi_of) {
        gsi_handle(gsi_of, s.route.dest);
        domain_put(gsi_of);
        return;
    }
    apic_eoi();
    if (!s.b)
        unbound(vector);
}
