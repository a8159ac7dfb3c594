/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The interrupt controllers of the board: IOAPICs (82093AA data sheet, with the EOI register of version 0x20), whose
 * inputs are the host's: what the control domain writes into an entry is done to the host's line (irq_*), polarity
 * included. Only input 2 is the board's own, the timer's.
 *
 * The pair of 8259A hears nothing, as a kernel that owns the machine uses the IOAPICs our MADT names: kernels that look
 * whether it is there find its masks and ELCRs, and it never interrupts. Lock: LOCK_VDEV, see devices.h.
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

#define DELIVER_LOWEST 1

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

/* Does to the host's line what the entry says. A line that cannot be bound (again) stays as it is; the next write of
 * the entry tries once more. */
static void host_follow(struct domain *d, unsigned gsi)
{
    struct irqchip *c = &d->platform->chip;
    uint64_t rte = c->rte[gsi];
    uint8_t *host = &c->host[gsi], vcpu = vlapic_target(d, rte >> 56, rte & RTE_LOGICAL);
    uint8_t want = HOST_BOUND | (rte & RTE_LEVEL ? HOST_LEVEL : 0) | (rte & RTE_LOW ? HOST_LOW : 0);
    if (*host & HOST_WAITS && !(rte & RTE_REMOTE_IRR)) {
        *host &= ~HOST_WAITS;
        irq_gsi_eoi(gsi);
    }
    if (!(rte & RTE_MASKED) && ((*host & ~HOST_WAITS) != want || c->host_vcpu[gsi] != vcpu)) {
        int rc = irq_bind_gsi(gsi, want & HOST_LEVEL, want & HOST_LOW, vcpu);
        if (rc) {
            log_guest(d, "The host's interrupt line %u cannot be routed (error %d): its device may go unheard.", gsi,
                      -rc);
            return;
        }
        *host = want | (*host & HOST_WAITS);
        c->host_vcpu[gsi] = vcpu;
    }
    if (*host & HOST_BOUND)
        irq_mask_gsi(gsi, rte & RTE_MASKED);
}

static void rte_write(struct domain *d, unsigned gsi, bool upper, uint32_t value)
{
    struct irqchip *c = &d->platform->chip;
    uint64_t old = c->rte[gsi], mask = upper ? ~0ull << 32 : 0xffffffff;
    uint64_t new = (upper ? (uint64_t)value << 32 : value) & mask &RTE_WRITABLE;
    c->rte[gsi] = (old & ~(mask & RTE_WRITABLE)) | new;
    if (!(c->rte[gsi] & RTE_LEVEL))
        set_remote_irr(c, gsi, false); /* how guests acknowledge on hardware without EOI register */
    if (gsi != GSI_PIT)
        host_follow(d, gsi);
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

/* An edge at masked inputs is lost, says the data sheet. */
void virqchip_edge(struct domain *d, unsigned gsi)
{
    struct vplatform *p = d->platform;
    if (gsi < p->nr_gsis && !(p->chip.rte[gsi] & (RTE_MASKED | RTE_REMOTE_IRR)))
        fire(d, gsi);
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
/* Where a port's byte is kept; NULL: a command port, which reads as 0. */
static uint8_t *pic_byte(struct domain *d, uint16_t port)
{
    struct irqchip *c = &d->platform->chip;
    return port >= 0x4d0 ? &c->elcr[port & 1] : port & 1 ? &c->pic_mask[port >> 7] : NULL;
}

uint32_t virqchip_pic_in(struct domain *d, uint16_t port, uint64_t now)
{
    const uint8_t *byte = pic_byte(d, port);
    return byte ? *byte : 0;
}

void virqchip_pic_out(struct domain *d, uint16_t port, uint8_t value, uint64_t now)
{
    uint8_t *byte = pic_byte(d, port);
    if (byte)
        *byte = value;
}

void virqchip_init(struct vplatform *p)
{
    struct irqchip *c = &p->chip;
    for (unsigned gsi = 0; gsi < VIOAPIC_MAX_GSIS; gsi++)
        c->rte[gsi] = RTE_MASKED;
    c->pic_mask[0] = c->pic_mask[1] = 0xff;
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
            irq_unbind_gsi(gsi);
        c->host[gsi] = 0;
    }
}
