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
#ifndef VDEV_DEVICES_H
#define VDEV_DEVICES_H

#include <hv/domain.h>
#include <hv/vdev.h>

#define NEVER (~0ull)
#define SECOND 1000000000ull
/* Timers of a guest fire at most this often: a period of 1 ns costs it its own time, not the hypervisor's. */
#define PERIOD_MIN 10000ull

extern uint64_t hv_tsc_khz; /* of cpu/clock.c */

/* a * b / c without overflow in between, for b and c below 2^32; wraps around when the result does. */
static inline uint64_t mul_div(uint64_t a, uint32_t b, uint32_t c) { return a / c * b + a % c * b / c; }

/* What sources assert an input; the input is the OR of them. */
enum line { LINE_EXTERNAL = 1, LINE_PIT = 2, LINE_RTC = 4, LINE_HPET = 8 /* and 16, 32 */ };

#define GSI_PIT 2 /* where ISA interrupt 0 arrives; our MADTs say so */
#define GSI_RTC 8
#define HPET_TIMERS 3

struct pic {
    uint8_t irr, imr, isr, line, edge_level /* ELCR */, base;
    uint8_t step; /* the initialisation word that comes next, 0: none */
    bool icw4, auto_eoi, read_isr;
};

/* What irq.c was told of an input of the control domain. */
enum host_line { HOST_BOUND = 1, HOST_MASKED = 2, HOST_LEVEL = 4, HOST_LOW = 8, HOST_WAITS = 16 /* for irq_gsi_eoi */ };

struct irqchip {
    uint64_t rte[VIOAPIC_MAX_GSIS];
    uint64_t unacknowledged[(VIOAPIC_MAX_GSIS + 63) / 64]; /* entries with Remote IRR set */
    uint8_t line[VIOAPIC_MAX_GSIS];                        /* enum line */
    uint8_t host[VIOAPIC_MAX_GSIS], host_vcpu[VIOAPIC_MAX_GSIS];
    uint8_t select[VIOAPIC_MAX], id[VIOAPIC_MAX];
    struct pic pic[2];
    _Atomic bool pic_output; /* looked at by each entry of a guest without the lock */
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

struct vtime {
    struct pit_channel pit[3];
    uint64_t pit_due, rtc_due, rtc_period_due;
    bool speaker, legacy_off; /* HPET's legacy replacement has the lines of PIT and RTC */
    uint8_t rtc_index, cmos[128];
    int64_t rtc_shift; /* what the guest set its clock ahead of ours, s */
    int64_t rtc_seen;  /* seconds: up to where it was looked at */
};

struct hpet_timer {
    uint32_t config, compare, period;
    uint64_t due;
};

struct hpet {
    uint32_t config, status, base /* the counter at `start` */;
    uint64_t start;
    struct hpet_timer timer[HPET_TIMERS];
};

struct vplatform {
    spinlock_t lock; /* LOCK_VDEV */
    unsigned nr_gsis;
    _Atomic uint64_t due; /* the earliest of the board's timers */
    struct irqchip chip;
    struct vtime time;
    struct hpet hpet;
};

_Static_assert(sizeof(struct vplatform) <= PAGE_SIZE, "one page");

/* --- platform.c; the lock is held: one of the board's timers has another time --- */
void vplatform_due(struct domain *d);

/* --- virqchip.c; the lock is held, but for virqchip_* of hv/vdev.h --- */
void virqchip_init(struct vplatform *p);
void virqchip_free(struct domain *d);
void virqchip_line(struct domain *d, unsigned gsi, enum line source, bool high);
uint32_t virqchip_pic_in(struct domain *d, uint16_t port, uint64_t now);
void virqchip_pic_out(struct domain *d, uint16_t port, uint8_t value, uint64_t now);
uint32_t virqchip_ioapic_read(struct domain *d, unsigned chip, unsigned offset);
void virqchip_ioapic_write(struct domain *d, unsigned chip, unsigned offset, uint32_t value);

/* --- vtime.c, vhpet.c; the lock is held --- */
void vtime_init(struct vtime *t);
uint32_t vtime_in(struct domain *d, uint16_t port, uint64_t now);
void vtime_out(struct domain *d, uint16_t port, uint8_t value, uint64_t now);
void vtime_pit_tick(struct domain *d, uint64_t now);
uint32_t vtime_rtc_in(struct domain *d, uint16_t port, uint64_t now);
void vtime_rtc_out(struct domain *d, uint16_t port, uint8_t value, uint64_t now);
void vtime_rtc_tick(struct domain *d, uint64_t now);
uint32_t vtime_pm_timer(uint64_t now);
/* HPET's legacy replacement takes the lines of PIT and RTC, or gives them back. */
void vtime_legacy(struct domain *d, bool off, uint64_t now);
void vhpet_init(struct vplatform *p);
uint64_t vhpet_read(struct domain *d, unsigned offset, unsigned size, uint64_t now);
void vhpet_write(struct domain *d, unsigned offset, unsigned size, uint64_t value, uint64_t now);
void vhpet_tick(struct domain *d, uint64_t now);
uint64_t vhpet_due(const struct hpet *h);

/* --- vlapic.c --- */
/* The PIC's output rose: what each LINT0 makes of it. Any CPU. */
void vlapic_lint0(struct domain *d);
/* Whether the PIC's vectors are for this vCPU. */
bool vlapic_takes_pic(const struct vcpu *v);

#endif
