/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The interrupt controllers of the board: IOAPICs (82093AA data sheet, with the EOI register of version 0x20), whose
 * inputs are the host's: what the control domain writes into an entry is done to the host's line (irq_*), polarity
 * included.
 *
 * The pair of 8259A hears nothing, as a kernel that owns the machine uses the IOAPICs our MADT names: kernels that look
 * whether it is there find its masks, and it never interrupts. Interrupts go out under the lock (vlapic_deliver, irq_*:
 * both of higher levels); local APICs never take it while they hold anything, since they hold nothing.
 */
#include <hv/domain.h>
#include <hv/frame.h>
#include <hv/irq.h>
#include <hv/lib.h>
#include <hv/log.h>
#include <hv/vdev.h>

#define RTE_LOGICAL BIT(11)
#define RTE_LOW BIT(13)
#define RTE_REMOTE_IRR BIT(14)
#define RTE_LEVEL BIT(15)
#define RTE_MASKED BIT(16)
#define RTE_WRITABLE 0xff0000000001afffull

#define DELIVER_LOWEST 1

/* What irq.c was told of an input. */
enum host_line { HOST_BOUND = 1, HOST_LEVEL = 2, HOST_LOW = 4, HOST_WAITS = 8 /* for irq_gsi_eoi */ };

struct virqchip {
    spinlock_t lock; /* LOCK_VDEV, everything below */
    unsigned nr_gsis;
    uint64_t rte[VIOAPIC_MAX_GSIS];
    uint8_t host[VIOAPIC_MAX_GSIS], host_vcpu[VIOAPIC_MAX_GSIS];
    uint8_t select[VIOAPIC_MAX];
    uint8_t pic_mask[2];
};

_Static_assert(sizeof(struct virqchip) <= PAGE_SIZE, "one page");

/* --- inputs --- */
static void fire(struct domain *d, unsigned gsi)
{
    uint64_t *rte = &d->irqchip->rte[gsi];
    uint8_t mode = *rte >> 8 & 7;
    bool level = *rte & RTE_LEVEL && mode <= DELIVER_LOWEST;
    *rte |= level ? RTE_REMOTE_IRR : 0;
    vlapic_deliver(d, *rte >> 56, *rte & RTE_LOGICAL, mode, *rte, level);
}

/* The guest is done with the interrupt: an input that is still asserted fires again by itself. */
static void host_eoi(struct virqchip *c, unsigned gsi)
{
    if (c->host[gsi] & HOST_WAITS) {
        c->host[gsi] &= ~HOST_WAITS;
        irq_gsi_eoi(gsi);
    }
}

/* Does to the host's line what the entry says. A line that cannot be bound (again) stays as it is; the next write of
 * the entry tries once more. */
static void host_follow(struct domain *d, unsigned gsi)
{
    struct virqchip *c = d->irqchip;
    uint64_t rte = c->rte[gsi];
    uint8_t *host = &c->host[gsi], vcpu = vlapic_target(d, rte >> 56, rte & RTE_LOGICAL);
    uint8_t want = HOST_BOUND | (rte & RTE_LEVEL ? HOST_LEVEL : 0) | (rte & RTE_LOW ? HOST_LOW : 0);
    if (!(rte & RTE_REMOTE_IRR))
        host_eoi(c, gsi);
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
    uint64_t *rte = &d->irqchip->rte[gsi], mask = RTE_WRITABLE & (upper ? ~0ull << 32 : 0xffffffff);
    *rte = (*rte & ~mask) | ((upper ? (uint64_t)value << 32 : value) & mask);
    if (!(*rte & RTE_LEVEL))
        *rte &= ~RTE_REMOTE_IRR; /* how guests acknowledge on hardware without EOI register */
    host_follow(d, gsi);
}

static void acknowledge(struct virqchip *c, uint8_t vector, unsigned first, unsigned end)
{
    for (unsigned gsi = first; gsi < end; gsi++)
        if (c->rte[gsi] & RTE_REMOTE_IRR && (uint8_t)c->rte[gsi] == vector) {
            c->rte[gsi] &= ~RTE_REMOTE_IRR;
            host_eoi(c, gsi);
        }
}

void virqchip_eoi(struct domain *d, uint8_t vector)
{
    struct virqchip *c = d->irqchip;
    if (!c)
        return;
    spin_lock(&c->lock);
    acknowledge(c, vector, 0, c->nr_gsis);
    spin_unlock(&c->lock);
}

void virqchip_host_gsi(struct domain *d, unsigned gsi)
{
    struct virqchip *c = d->irqchip;
    if (!c || gsi >= c->nr_gsis)
        return;
    spin_lock(&c->lock);
    const uint64_t *rte = &c->rte[gsi];
    if (c->host[gsi] & HOST_BOUND && !(*rte & (RTE_MASKED | RTE_REMOTE_IRR)))
        fire(d, gsi); /* an edge at a masked input is lost, says the data sheet */
    if (c->host[gsi] & HOST_LEVEL && *rte & RTE_REMOTE_IRR)
        c->host[gsi] |= HOST_WAITS; /* until the guest is done with this one, or the last */
    else if (c->host[gsi] & HOST_LEVEL)
        irq_gsi_eoi(gsi); /* masked, as the host's line is; or of a mode without EOI (NMI): nobody else would */
    spin_unlock(&c->lock);
}

/* --- what the guest sees --- */
static uint32_t ioapic_read(const struct virqchip *c, unsigned chip, unsigned offset)
{
    uint8_t reg = c->select[chip];
    unsigned first = chip * VIOAPIC_PINS, pins = MIN(c->nr_gsis - first, VIOAPIC_PINS), pin = (reg - 0x10u) / 2;
    if (offset == 0x00)
        return reg;
    if (offset != 0x10)
        return 0;
    if (reg == 0 || reg == 2)
        return (chip + 1) << 24;
    if (reg == 1)
        return (pins - 1) << 16 | 0x20;
    return pin < pins ? c->rte[first + pin] >> (reg & 1 ? 32 : 0) : 0;
}

static void ioapic_write(struct domain *d, unsigned chip, unsigned offset, uint32_t value)
{
    struct virqchip *c = d->irqchip;
    uint8_t reg = c->select[chip];
    unsigned first = chip * VIOAPIC_PINS, pins = MIN(c->nr_gsis - first, VIOAPIC_PINS), pin = (reg - 0x10u) / 2;
    if (offset == 0x00)
        c->select[chip] = value;
    else if (offset == 0x40)
        acknowledge(c, value, first, first + pins);
    else if (offset == 0x10 && pin < pins)
        rte_write(d, first + pin, reg & 1, value);
}

/* Only whole words are written, but for the index, which old code writes as a byte. */
bool virqchip_mmio(struct vcpu *v, gpa_t gpa, unsigned size, bool write, uint64_t *value)
{
    struct virqchip *c = v->domain->irqchip;
    uint64_t at = gpa - VIOAPIC_BASE;
    unsigned chip = at >> PAGE_SHIFT, offset = at & ~PAGE_MASK;
    if (!c || at >= (c->nr_gsis + VIOAPIC_PINS - 1) / VIOAPIC_PINS * PAGE_SIZE)
        return false;
    spin_lock(&c->lock);
    if (!write)
        *value = ioapic_read(c, chip, offset & ~3u) >> (offset & 3) * 8;
    else if (size >= 4 || offset == 0)
        ioapic_write(v->domain, chip, offset, *value);
    spin_unlock(&c->lock);
    return true;
}

/* Ports 0x20, 0x21, 0xa0 and 0xa1: commands do nothing and read as 0, masks are kept. */
bool virqchip_port(struct vcpu *v, uint16_t port, unsigned size, bool in, uint32_t *value)
{
    struct virqchip *c = v->domain->irqchip;
    if (!c || size != 1 || (port & ~0x81) != 0x20)
        return false;
    uint8_t *mask = &c->pic_mask[port >> 7];
    spin_lock(&c->lock);
    if (in)
        *value = port & 1 ? *mask : 0;
    else if (port & 1)
        *mask = *value;
    spin_unlock(&c->lock);
    return true;
}

int virqchip_init(struct domain *d, unsigned nr_gsis)
{
    struct virqchip *c = nr_gsis ? page_alloc() : NULL;
    if (!c)
        return nr_gsis ? -ENOMEM : -EINVAL;
    spin_init(&c->lock, LOCK_VDEV);
    c->nr_gsis = MIN(nr_gsis, VIOAPIC_MAX_GSIS);
    for (unsigned gsi = 0; gsi < VIOAPIC_MAX_GSIS; gsi++)
        c->rte[gsi] = RTE_MASKED;
    c->pic_mask[0] = c->pic_mask[1] = 0xff;
    d->irqchip = c;
    return 0;
}
