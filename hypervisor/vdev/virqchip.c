/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The interrupt controllers of the board: IOAPICs (82093AA data sheet, with the EOI register of version 0x20) and the
 * pair of 8259A, whose vectors go to LINT0 of the local APICs.
 *
 * Inputs are asserted or not; the polarity bit of an entry is for the host's line only. Up to input 15 the PICs hear
 * the same lines, with ISA interrupt 0 at GSI 2.
 *
 * The control domain's inputs are the host's: what it writes into an entry is done to the host's line (irq_*). Of those
 * the PICs hear nothing: a kernel that owns the machine uses the IOAPICs our MADT names. Lock: LOCK_VDEV, see
 * devices.h.
 */
#include "devices.h"

#include <hv/irq.h>
#include <hv/lib.h>
#include <hv/log.h>

#define RTE_LOGICAL BIT(11)
#define RTE_LOW BIT(13)
#define RTE_REMOTE_IRR BIT(14)
#define RTE_LEVEL BIT(15)
#define RTE_MASKED BIT(16)
#define RTE_WRITABLE 0xff0000000001afffull

enum { DELIVER_LOWEST = 1, DELIVER_SMI = 2, DELIVER_EXTINT = 7 };

/* --- IOAPIC --- */
static void set_remote_irr(struct irqchip *c, unsigned gsi, bool on)
{
    if (on) {
        c->rte[gsi] |= RTE_REMOTE_IRR;
        c->unacknowledged[gsi / 64] |= BIT(gsi % 64);
    } else {
        c->rte[gsi] &= ~RTE_REMOTE_IRR;
        c->unacknowledged[gsi / 64] &= ~BIT(gsi % 64);
    }
}

static void fire(struct domain *d, unsigned gsi)
{
    struct irqchip *c = &d->platform->chip;
    uint64_t rte = c->rte[gsi];
    uint8_t mode = rte >> 8 & 7;
    bool level = rte & RTE_LEVEL && mode <= DELIVER_LOWEST;
    if (level)
        set_remote_irr(c, gsi, true);
    vlapic_deliver(d, rte >> 56, rte & RTE_LOGICAL, mode, rte, level, mode == DELIVER_LOWEST);
}

/* A level-triggered input that is asserted and not in service goes out. */
static void fire_level(struct domain *d, unsigned gsi)
{
    struct irqchip *c = &d->platform->chip;
    if (c->line[gsi] && (c->rte[gsi] & (RTE_LEVEL | RTE_MASKED | RTE_REMOTE_IRR)) == RTE_LEVEL)
        fire(d, gsi);
}

/* A line that cannot be bound (again) stays as it is; the next write of the entry tries once more. */
static void host_bind(struct domain *d, unsigned gsi, uint8_t want, uint8_t vcpu)
{
    struct irqchip *c = &d->platform->chip;
    int rc = irq_bind_gsi(d, gsi, want & HOST_LEVEL, want & HOST_LOW, vcpu);
    if (rc) {
        log_guest(d, "The host's interrupt line %u cannot be routed (error %d): its device may go unheard.", gsi, -rc);
        return;
    }
    if (c->host[gsi] & HOST_MASKED)
        irq_mask_gsi(gsi, false);
    c->host[gsi] = want | HOST_BOUND | (c->host[gsi] & HOST_WAITS);
    c->host_vcpu[gsi] = vcpu;
}

/* Does to the host's line what the entry says. */
static void host_follow(struct domain *d, unsigned gsi)
{
    struct irqchip *c = &d->platform->chip;
    uint64_t rte = c->rte[gsi];
    uint8_t *host = &c->host[gsi];
    if (*host & HOST_WAITS && !(rte & RTE_REMOTE_IRR)) {
        *host &= ~HOST_WAITS;
        irq_gsi_eoi(gsi);
    }
    if (rte & RTE_MASKED) {
        if ((*host & (HOST_BOUND | HOST_MASKED)) == HOST_BOUND) {
            *host |= HOST_MASKED;
            irq_mask_gsi(gsi, true);
        }
        return;
    }
    uint8_t want = (rte & RTE_LEVEL ? HOST_LEVEL : 0) | (rte & RTE_LOW ? HOST_LOW : 0);
    uint8_t vcpu = vlapic_target(d, rte >> 56, rte & RTE_LOGICAL);
    if ((*host & (HOST_BOUND | HOST_LEVEL | HOST_LOW)) != (want | HOST_BOUND) || c->host_vcpu[gsi] != vcpu) {
        host_bind(d, gsi, want, vcpu);
    } else if (*host & HOST_MASKED) {
        *host &= ~HOST_MASKED;
        irq_mask_gsi(gsi, false);
    }
}

static void rte_write(struct domain *d, unsigned gsi, bool upper, uint32_t value)
{
    struct irqchip *c = &d->platform->chip;
    uint64_t old = c->rte[gsi], mask = upper ? ~0ull << 32 : 0xffffffff;
    uint64_t new = (upper ? (uint64_t)value << 32 : value) & mask &RTE_WRITABLE;
    c->rte[gsi] = (old & ~(mask & RTE_WRITABLE)) | new;
    if (!(c->rte[gsi] & RTE_LEVEL))
        set_remote_irr(c, gsi, false); /* how guests acknowledge on hardware without EOI register */
    if (d->control && gsi != GSI_PIT)
        host_follow(d, gsi);
    fire_level(d, gsi);
}

static void acknowledge(struct domain *d, uint8_t vector, unsigned first, unsigned end)
{
    struct irqchip *c = &d->platform->chip;
    for (unsigned word = first / 64; word * 64 < end; word++) {
        for (uint64_t left = c->unacknowledged[word]; left; left &= left - 1) {
            unsigned gsi = word * 64 + (unsigned)__builtin_ctzll(left);
            if (gsi < first || gsi >= end || (uint8_t)c->rte[gsi] != vector)
                continue;
            set_remote_irr(c, gsi, false);
            if (c->host[gsi] & HOST_WAITS) { /* still asserted: it fires again by itself */
                c->host[gsi] &= ~HOST_WAITS;
                irq_gsi_eoi(gsi);
            }
            fire_level(d, gsi);
        }
    }
}

void virqchip_eoi(struct domain *d, uint8_t vector)
{
    struct vplatform *p = d->platform;
    if (!p)
        return;
    spin_lock(&p->lock);
    acknowledge(d, vector, 0, p->nr_gsis);
    spin_unlock(&p->lock);
}

void virqchip_host_gsi(struct domain *d, unsigned gsi)
{
    struct vplatform *p = d->platform;
    if (!p || gsi >= p->nr_gsis)
        return;
    struct irqchip *c = &p->chip;
    spin_lock(&p->lock);
    uint64_t rte = c->rte[gsi];
    if (!(c->host[gsi] & HOST_BOUND)) {
        /* It was on its way while the binding went. */
    } else if (!(c->host[gsi] & HOST_LEVEL)) {
        if (!(rte & RTE_MASKED))
            fire(d, gsi);
    } else if (rte & RTE_REMOTE_IRR) {
        c->host[gsi] |= HOST_WAITS; /* the guest is not done with the last one */
    } else if (rte & RTE_MASKED) {
        irq_gsi_eoi(gsi); /* the host's line is masked too: it comes back when it is unmasked */
    } else {
        fire(d, gsi);
        if (c->rte[gsi] & RTE_REMOTE_IRR)
            c->host[gsi] |= HOST_WAITS;
        else
            irq_gsi_eoi(gsi); /* a mode without EOI (NMI): nobody else would */
    }
    spin_unlock(&p->lock);
}

static unsigned chip_pins(const struct vplatform *p, unsigned chip)
{
    return MIN(p->nr_gsis - chip * VIOAPIC_PINS, VIOAPIC_PINS);
}

uint32_t virqchip_ioapic_read(struct domain *d, unsigned chip, unsigned offset)
{
    struct vplatform *p = d->platform;
    struct irqchip *c = &p->chip;
    uint8_t reg = c->select[chip];
    if (offset == 0x00)
        return reg;
    if (offset != 0x10)
        return 0;
    if (reg == 0 || reg == 2)
        return (uint32_t)c->id[chip] << 24;
    if (reg == 1)
        return (chip_pins(p, chip) - 1) << 16 | 0x20;
    unsigned pin = (reg - 0x10u) / 2;
    if (reg < 0x10 || pin >= chip_pins(p, chip))
        return 0;
    return c->rte[chip * VIOAPIC_PINS + pin] >> (reg & 1 ? 32 : 0);
}

void virqchip_ioapic_write(struct domain *d, unsigned chip, unsigned offset, uint32_t value)
{
    struct vplatform *p = d->platform;
    struct irqchip *c = &p->chip;
    uint8_t reg = c->select[chip];
    unsigned first = chip * VIOAPIC_PINS, pins = chip_pins(p, chip);
    if (offset == 0x00)
        c->select[chip] = value;
    else if (offset == 0x40)
        acknowledge(d, value, first, first + pins);
    else if (offset == 0x10 && reg == 0)
        c->id[chip] = value >> 24 & 15;
    else if (offset == 0x10 && reg >= 0x10 && (reg - 0x10u) / 2 < pins)
        rte_write(d, first + (reg - 0x10u) / 2, reg & 1, value);
}

/* --- the pair of 8259A --- */
/*
 * What firmware and operating systems use: fixed priorities, specific and unspecific EOI, automatic EOI, levels (ELCR).
 * Rotation, special masks, polling and nesting of slaves change nothing here.
 */
/* The input that would interrupt now: the lowest that waits below all in service; or -1. */
static int pic_request(const struct pic *pic)
{
    unsigned in_service = pic->isr | 0x100, waiting = pic->irr & ~pic->imr & ((in_service & -in_service) - 1);
    return waiting ? __builtin_ctz(waiting) : -1;
}

static void pic_input(struct pic *pic, unsigned input, bool high)
{
    uint8_t bit = 1u << input;
    if (pic->edge_level & bit)
        pic->irr = high ? pic->irr | bit : pic->irr & ~bit;
    else if (high && !(pic->line & bit))
        pic->irr |= bit;
    pic->line = high ? pic->line | bit : pic->line & ~bit;
}

static void pic_take(struct pic *pic, unsigned input)
{
    uint8_t bit = 1u << input;
    if (!(pic->edge_level & bit))
        pic->irr &= ~bit;
    if (!pic->auto_eoi)
        pic->isr |= bit;
}

static void pic_update(struct domain *d)
{
    struct irqchip *c = &d->platform->chip;
    bool slave = pic_request(&c->pic[1]) >= 0;
    c->pic[0].irr = slave ? c->pic[0].irr | 4 : c->pic[0].irr & ~4;
    bool output = pic_request(&c->pic[0]) >= 0, before = load_relaxed(&c->pic_output);
    store_release(&c->pic_output, output);
    if (output && !before)
        vlapic_lint0(d);
}

int virqchip_pic_vector(struct vcpu *v, bool ack)
{
    struct domain *d = v->domain;
    struct vplatform *p = d->platform;
    if (!p || likely(!load_acquire(&p->chip.pic_output)) || !vlapic_takes_pic(v))
        return -1;
    struct pic *master = &p->chip.pic[0], *slave = &p->chip.pic[1];
    spin_lock(&p->lock);
    int vector = -1, input = pic_request(master);
    if (input >= 0 && input != 2) {
        vector = master->base + input;
    } else if (input == 2) {
        int second = pic_request(slave);
        vector = slave->base + (second < 0 ? 7 : second);
        if (ack && second >= 0)
            pic_take(slave, second);
    }
    if (ack && input >= 0) {
        pic_take(master, input);
        pic_update(d);
        /* INTR falls with the acknowledge; what still waits raises it anew. */
        if (load_relaxed(&p->chip.pic_output))
            vlapic_lint0(d);
    }
    spin_unlock(&p->lock);
    return vector;
}

static void pic_write_command(struct pic *pic, uint8_t value)
{
    if (value & 0x10) { /* ICW1 */
        *pic = (struct pic){ .line = pic->line, .edge_level = pic->edge_level, .base = pic->base, .step = 2 };
        pic->irr = pic->line & pic->edge_level;
        pic->icw4 = value & 1;
    } else if (value & 0x08) { /* OCW3 */
        if (value & 2)
            pic->read_isr = value & 1;
    } else if (value & 0x20) { /* OCW2: an EOI, of the input it names or of the highest in service */
        pic->isr &= value & 0x40 ? ~(1u << (value & 7)) : pic->isr - 1u;
    }
}

static void pic_write_data(struct pic *pic, uint8_t value)
{
    switch (pic->step) {
    case 2:
        pic->base = value & 0xf8;
        pic->step = 3;
        return;
    case 3: /* who is whose slave is wired */ pic->step = pic->icw4 ? 4 : 0; return;
    case 4:
        pic->auto_eoi = value & 0x02;
        pic->step = 0;
        return;
    default: pic->imr = value; return;
    }
}

uint32_t virqchip_pic_in(struct domain *d, uint16_t port, uint64_t now)
{
    const struct irqchip *c = &d->platform->chip;
    if (port >= 0x4d0)
        return c->pic[port & 1].edge_level;
    const struct pic *pic = &c->pic[port >> 7];
    return port & 1 ? pic->imr : pic->read_isr ? pic->isr : pic->irr;
}

void virqchip_pic_out(struct domain *d, uint16_t port, uint8_t value, uint64_t now)
{
    struct irqchip *c = &d->platform->chip;
    struct pic *pic = &c->pic[port >= 0x4d0 ? port & 1 : port >> 7];
    if (port >= 0x4d0) /* timer, keyboard, cascade, RTC and FPU are edge-triggered for ever */
        pic->edge_level = value & (port & 1 ? 0xde : 0xf8);
    else if (port & 1)
        pic_write_data(pic, value);
    else
        pic_write_command(pic, value);
    pic_update(d);
}

/* --- lines --- */
void virqchip_line(struct domain *d, unsigned gsi, enum line source, bool high)
{
    struct vplatform *p = d->platform;
    struct irqchip *c = &p->chip;
    if (gsi >= p->nr_gsis)
        return;
    bool before = c->line[gsi];
    c->line[gsi] = high ? c->line[gsi] | source : c->line[gsi] & ~source;
    bool after = c->line[gsi];
    if (before == after)
        return;
    if (c->rte[gsi] & RTE_LEVEL)
        fire_level(d, gsi);
    else if (after && !(c->rte[gsi] & RTE_MASKED)) /* an edge at a masked input is lost, says the data sheet */
        fire(d, gsi);
    if (gsi < 16 && gsi != 0) {
        unsigned irq = gsi == GSI_PIT ? 0 : gsi;
        pic_input(&c->pic[irq >> 3], irq & 7, after);
        pic_update(d);
    }
}

void virqchip_set_gsi(struct domain *d, unsigned gsi, bool high)
{
    if (!d->platform)
        return;
    spin_lock(&d->platform->lock);
    virqchip_line(d, gsi, LINE_EXTERNAL, high);
    spin_unlock(&d->platform->lock);
}

void virqchip_init(struct vplatform *p)
{
    struct irqchip *c = &p->chip;
    for (unsigned gsi = 0; gsi < VIOAPIC_MAX_GSIS; gsi++)
        c->rte[gsi] = RTE_MASKED;
    c->pic[0].imr = c->pic[1].imr = 0xff; /* silent until somebody sets them up: there may be no firmware to do so */
    for (unsigned chip = 0; chip < VIOAPIC_MAX; chip++)
        c->id[chip] = chip + 1;
}

void virqchip_free(struct domain *d)
{
    struct irqchip *c = &d->platform->chip;
    for (unsigned gsi = 0; gsi < d->platform->nr_gsis; gsi++) {
        if (c->host[gsi] & HOST_WAITS)
            irq_gsi_eoi(gsi);
        if (c->host[gsi] & HOST_BOUND)
            irq_unbind_gsi(d, gsi);
        c->host[gsi] = 0;
    }
}
