/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The state of one domain's board and what the files of this room ask of each other.
 *
 * All fields of struct vplatform are under its lock (LOCK_VDEV) but those marked atomic. The lock is held for a handful
 * of register updates; interrupts go out under it (vlapic_accept, irq_*: both of higher levels). Local APICs never take
 * it while they hold anything, since they hold nothing.
 *
 * Time: devices keep no running counters. They store when something started and compute from `now`, so an access late
 * by any amount sees the right count and nothing drifts. Interrupts of a periodic timer that were missed are not
 * repeated: one is delivered and the timer goes on at its next proper time. A guest that was not scheduled for a while
 * would else get a burst of ticks at the moment it is busiest, and guests that count ticks have had better clocks for
 * 20 years.
 */
#pragma once

#include <hv/domain.h>
#include <hv/vdev.h>

#define NEVER (~0ull)
#define SECOND 1000000000ull
/* Timers of a guest fire at most this often: a period of 1 ns costs it its own time, not the hypervisor's. */
#define PERIOD_MIN 10000ull

extern uint64_t hv_tsc_khz; /* of cpu/clock.c */

/* a * b / c without overflow in between, for b and c below 2^32; wraps around when the result does. */
static inline uint64_t mul_div(uint64_t a, uint32_t b, uint32_t c) { return a / c * b + a % c * b / c; }

#define GSI_PIT 2 /* where ISA interrupt 0 arrives; our MADTs say so */
#define GSI_RTC 8
#define HPET_TIMERS 3

/* What irq.c was told of an input. */
enum host_line { HOST_BOUND = 1, HOST_LEVEL = 2, HOST_LOW = 4, HOST_WAITS = 8 /* for irq_gsi_eoi */ };

struct irqchip {
    uint64_t rte[VIOAPIC_MAX_GSIS];
    uint64_t unacknowledged[(VIOAPIC_MAX_GSIS + 63) / 64]; /* entries with Remote IRR set */
    uint8_t host[VIOAPIC_MAX_GSIS], host_vcpu[VIOAPIC_MAX_GSIS];
    uint8_t select[VIOAPIC_MAX], id[VIOAPIC_MAX];
    uint8_t pic_mask[2], elcr[2];
};

struct pit_channel {
    uint64_t start; /* when the count was loaded, ns; with a closed gate: ticks that had gone by */
    uint32_t count; /* 1 to 65536 */
    uint16_t latch;
    uint8_t mode, access;
    uint8_t latched; /* bytes left to read */
    uint8_t low;     /* first byte of a written pair */
    bool gate, loaded, write_high, read_high;
};

struct pit {
    struct pit_channel channel[3];
    uint64_t due;
    bool speaker, silent;
};

struct hpet_timer {
    uint32_t config, compare, period;
    uint64_t due;
};

struct hpet {
    uint32_t config, base /* the counter at `start` */;
    uint64_t start;
    struct hpet_timer timer[HPET_TIMERS];
};

struct vplatform {
    spinlock_t lock; /* LOCK_VDEV */
    unsigned nr_gsis;
    _Atomic uint64_t due; /* the earliest of the board's timers */
    struct irqchip chip;
    struct pit pit;
    struct hpet hpet;
};

_Static_assert(sizeof(struct vplatform) <= PAGE_SIZE, "one page");

/* --- platform.c; the lock is held: one of the board's timers has another time --- */
void vplatform_due(struct domain *d);

/* --- virqchip.c; the lock is held, but for virqchip_* of hv/vdev.h --- */
void virqchip_init(struct vplatform *p);
void virqchip_free(struct domain *d);
/* One of the board's own timers raises its input for a moment. */
void virqchip_edge(struct domain *d, unsigned gsi);
uint32_t virqchip_pic_in(struct domain *d, uint16_t port, uint64_t now);
void virqchip_pic_out(struct domain *d, uint16_t port, uint8_t value, uint64_t now);
uint32_t virqchip_ioapic_read(struct domain *d, unsigned chip, unsigned offset);
void virqchip_ioapic_write(struct domain *d, unsigned chip, unsigned offset, uint32_t value);

/* --- vpit.c, vhpet.c; the lock is held --- */
void vpit_init(struct pit *p);
uint32_t vpit_in(struct domain *d, uint16_t port, uint64_t now);
void vpit_out(struct domain *d, uint16_t port, uint8_t value, uint64_t now);
void vpit_tick(struct domain *d, uint64_t now);
void vpit_silence(struct domain *d, bool silent, uint64_t now);
void vhpet_init(struct vplatform *p);
uint64_t vhpet_read(struct domain *d, unsigned offset, unsigned size, uint64_t now);
void vhpet_write(struct domain *d, unsigned offset, unsigned size, uint64_t value, uint64_t now);
void vhpet_tick(struct domain *d, uint64_t now);
uint64_t vhpet_due(const struct hpet *h);
