/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A domain's board as a whole: which device answers at which port or address, and the timers of all of them.
 *
 * The ports are all of 8 bits: nobody answers wider accesses. The RTC and the PM timer are the hardware's, and PCI is
 * not of this board: exit/ asks vpci_*. Lock: LOCK_VDEV is taken here around each access, but for the local APIC's,
 * which need none.
 */
#include "devices.h"

#include <hv/frame.h>
#include <hv/metal.h>

/* --- timers --- */
/* vCPU 0 keeps the board's alarm: it looks at vplatform_next() again when that became earlier. */
void vplatform_due(struct domain *d)
{
    struct vplatform *p = d->platform;
    uint64_t due = MIN(p->pit.due, vhpet_due(&p->hpet));
    bool earlier = due < load_relaxed(&p->due);
    store_relaxed(&p->due, due);
    if (earlier && d->vcpu[0])
        vcpu_kick(d->vcpu[0], WORK_TIMER);
}

void vplatform_tick(struct domain *d, uint64_t now)
{
    struct vplatform *p = d->platform;
    if (now < load_relaxed(&p->due))
        return;
    spin_lock(&p->lock);
    vpit_tick(d, now);
    vhpet_tick(d, now);
    spin_unlock(&p->lock);
}

uint64_t vplatform_next(struct domain *d) { return load_relaxed(&d->platform->due); }

/* --- ports --- */
/* No two rows touch each other. */
struct port_row {
    uint16_t first, last;
    bool timed; /* wants to know `now` */
    uint32_t (*in)(struct domain *d, uint16_t port, uint64_t now);
    void (*out)(struct domain *d, uint16_t port, uint8_t value, uint64_t now);
};

static const struct port_row ports[] = {
    { 0x20, 0x21, .in = virqchip_pic_in, .out = virqchip_pic_out },
    { 0x40, 0x43, .timed = true, .in = vpit_in, .out = vpit_out },
    { 0x61, 0x61, .timed = true, .in = vpit_in, .out = vpit_out },
    { 0xa0, 0xa1, .in = virqchip_pic_in, .out = virqchip_pic_out },
    { 0x4d0, 0x4d1, .in = virqchip_pic_in, .out = virqchip_pic_out },
};

static const struct port_row *port_find(uint16_t port)
{
    for (unsigned i = 0; i < ARRAY_SIZE(ports); i++)
        if (port >= ports[i].first && port <= ports[i].last)
            return &ports[i];
    return NULL;
}

bool vplatform_port(struct vcpu *v, uint16_t port, unsigned size, bool in, uint32_t *value)
{
    struct domain *d = v->domain;
    const struct port_row *row = d->platform && size == 1 ? port_find(port) : NULL;
    if (!row)
        return false;
    uint64_t now = row->timed ? metal_now() : 0;
    spin_lock(&d->platform->lock);
    if (in)
        *value = row->in(d, port, now);
    else
        row->out(d, port, *value, now);
    spin_unlock(&d->platform->lock);
    return true;
}

/* --- memory --- */
/* Registers of 32 bits every 16 bytes; the bytes between read as zero, and only whole aligned writes count
 * (SDM 10.4.1). */
static bool lapic_mmio(struct vcpu *v, unsigned offset, unsigned size, bool write, uint64_t *value)
{
    uint32_t word = 0;
    if (!vlapic_enabled(v) || vlapic_x2apic(v))
        return false;
    if (write)
        return !(offset & 15) && size >= 4 ? vlapic_write(v, offset, *value) : true;
    if (offset & 12)
        *value = 0;
    else if (vlapic_read(v, offset & ~15u, &word))
        *value = word >> (offset & 3) * 8;
    return true;
}

static void ioapic_mmio(struct vcpu *v, unsigned offset, unsigned size, bool write, uint64_t *value)
{
    struct vplatform *p = v->domain->platform;
    spin_lock(&p->lock);
    if (write && size >= 4)
        virqchip_ioapic_write(v->domain, offset >> 12, offset & 0xfff, *value);
    else if (write && (offset & 0xfff) == 0) /* old code writes the index as a byte */
        virqchip_ioapic_write(v->domain, offset >> 12, 0, *value & 0xff);
    else if (!write)
        *value = virqchip_ioapic_read(v->domain, offset >> 12, offset & 0xffc) >> (offset & 3) * 8;
    spin_unlock(&p->lock);
}

static void hpet_mmio(struct vcpu *v, unsigned offset, unsigned size, bool write, uint64_t *value)
{
    struct vplatform *p = v->domain->platform;
    uint64_t now = metal_now();
    spin_lock(&p->lock);
    if (write)
        vhpet_write(v->domain, offset, size, *value, now);
    else
        *value = vhpet_read(v->domain, offset, size, now);
    spin_unlock(&p->lock);
}

static unsigned nr_ioapics(const struct vplatform *p) { return (p->nr_gsis + VIOAPIC_PINS - 1) / VIOAPIC_PINS; }

bool vplatform_mmio(struct vcpu *v, gpa_t gpa, unsigned size, bool write, uint64_t *value)
{
    struct vplatform *p = v->domain->platform;
    if (gpa >> PAGE_SHIFT == v->xapic_base >> PAGE_SHIFT)
        return lapic_mmio(v, gpa & 0xfff, size, write, value);
    if (!p)
        return false;
    if (gpa - VIOAPIC_BASE < nr_ioapics(p) * PAGE_SIZE)
        ioapic_mmio(v, gpa - VIOAPIC_BASE, size, write, value);
    else if (gpa - VHPET_BASE < 1024)
        hpet_mmio(v, gpa - VHPET_BASE, size, write, value);
    else
        return false;
    return true;
}

void vplatform_mmio_ranges(struct domain *d, void (*visit)(void *data, uint64_t first, uint64_t count), void *data)
{
    visit(data, 0xfee00000 >> PAGE_SHIFT, 1);
    visit(data, VIOAPIC_BASE >> PAGE_SHIFT, nr_ioapics(d->platform));
    visit(data, VHPET_BASE >> PAGE_SHIFT, 1);
}

/* --- life --- */
int vplatform_init(struct domain *d, unsigned nr_gsis)
{
    if (!nr_gsis)
        return -EINVAL;
    struct vplatform *p = page_alloc();
    if (!p)
        return -ENOMEM;
    spin_init(&p->lock, LOCK_VDEV);
    p->nr_gsis = MIN(nr_gsis, VIOAPIC_MAX_GSIS);
    atomic_init(&p->due, NEVER);
    virqchip_init(p);
    vpit_init(&p->pit);
    vhpet_init(p);
    d->platform = p;
    return 0;
}

void vplatform_free(struct domain *d)
{
    if (!d->platform)
        return;
    virqchip_free(d);
    page_free(d->platform);
    d->platform = NULL;
}
