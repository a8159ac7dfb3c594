/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The local APIC of a vCPU, as xAPIC (memory-mapped) and x2APIC (MSRs): SDM volume 3A, chapter 10.
 *
 * The registers are kept in the layout of the xAPIC page. The vCPU's own CPU alone changes them, but for the IRR and
 * TMR bits, the error bits and a pending INIT or SIPI, which anyone may set; no lock anywhere. `irr_words` tells which
 * words of the IRR may have bits, so that the look before each entry of the guest is one load and one test.
 *
 * The bus runs at 1 GHz: one tick of the timer before division is 1 ns of metal_now(). The timer does not count: it
 * remembers when it is due, so an access late by any amount sees the right count and nothing drifts. Periods that were
 * missed are not repeated: one interrupt is delivered and the timer goes on at its next proper time. A guest that was
 * not scheduled for a while would else get a burst of ticks at the moment it is busiest.
 */
#include <hv/domain.h>
#include <hv/frame.h>
#include <hv/lib.h>
#include <hv/metal.h>
#include <hv/vdev.h>

#define NEVER (~0ull)
/* The timer fires at most this often (ns): a period of 1 ns costs the guest its own time, not the hypervisor's. */
#define PERIOD_MIN 10000ull

/* Registers, by offset >> 4. */
enum { REG_ID = 0x02, REG_VERSION, REG_TPR = 0x08, REG_PPR = 0x0a, REG_EOI, REG_LDR = 0x0d, REG_DFR, REG_SVR };
enum { REG_ISR = 0x10, REG_TMR = 0x18, REG_IRR = 0x20, REG_ESR = 0x28, REG_ICR = 0x30, REG_ICR2, REG_LVT_TIMER };
enum { REG_LVT_THERMAL = 0x33, REG_LVT_PERF, REG_LVT_LINT0, REG_LVT_LINT1, REG_LVT_ERROR, REG_TMICT, REG_TMCCT };
enum { REG_TDCR = 0x3e, REG_SELF, DEADLINE /* an MSR of its own */ };

#define VERSION 0x50014 /* integrated, 6 LVT entries, no directed EOI */
#define BASE_ADDRESS 0xfee00000ull
#define BASE_BSP BIT(8)
#define BASE_X2APIC BIT(10)
#define BASE_ENABLED BIT(11)
#define MSR_APIC_BASE 0x1b
#define MSR_TSC_DEADLINE 0x6e0
#define MSR_X2APIC 0x800
#define SVR_ENABLED BIT(8)
#define LVT_MASKED BIT(16)
#define LVT_MODE 0x60000u /* of the timer */
#define LVT_PERIODIC 0x20000u
#define LVT_DEADLINE 0x40000u
#define ICR_LOGICAL BIT(11)
#define ICR_ASSERT BIT(14)
#define ICR_LEVEL BIT(15)

enum { MODE_FIXED, MODE_LOWEST, MODE_SMI, MODE_NMI = 4, MODE_INIT, MODE_SIPI, MODE_EXTINT };
enum { TO_DESTINATION, TO_SELF, TO_ALL, TO_OTHERS };
enum { ERROR_SEND_VECTOR = 0x20, ERROR_RECEIVED_VECTOR = 0x40, ERROR_REGISTER = 0x80 };

/* Bits that can be written; x2APIC refuses the others, xAPIC ignores them. */
static const uint32_t writable[64] = {
    [REG_TPR] = 0xff,         [REG_LDR] = 0xff000000,    [REG_DFR] = 0xf0000000,    [REG_SVR] = 0x3ff,
    [REG_ICR] = 0xccfff,      [REG_ICR2] = 0xff000000,   [REG_LVT_TIMER] = 0x700ff, [REG_LVT_THERMAL] = 0x107ff,
    [REG_LVT_PERF] = 0x107ff, [REG_LVT_LINT0] = 0x1a7ff, [REG_LVT_LINT1] = 0x1a7ff, [REG_LVT_ERROR] = 0x100ff,
    [REG_TMICT] = 0xffffffff, [REG_TDCR] = 0xb,          [REG_SELF] = 0xff
};

/* Delivery status and remote IRR: a write that has them is no error in either mode (SDM 10.5.1). */
#define LVT_READ_ONLY (BIT(12) | BIT(14))

/* One bit a register (0x00 to 0x3f). */
#define LVTS (BIT(0x32) | BIT(0x33) | BIT(0x34) | BIT(0x35) | BIT(0x36) | BIT(0x37))
#define BOTH_WRITE                                                                                                     \
    (BIT(REG_TPR) | BIT(REG_EOI) | BIT(REG_SVR) | BIT(REG_ESR) | BIT(REG_ICR) | LVTS | BIT(REG_TMICT) | BIT(REG_TDCR))
#define XAPIC_WRITE (BOTH_WRITE | BIT(REG_LDR) | BIT(REG_DFR) | BIT(REG_ICR2))
#define X2APIC_WRITE (BOTH_WRITE | BIT(REG_SELF))
#define BOTH_READ                                                                                                      \
    ((BOTH_WRITE & ~BIT(REG_EOI)) | BIT(REG_ID) | BIT(REG_VERSION) | BIT(REG_PPR) | BIT(REG_LDR) | BIT(REG_TMCCT) |    \
     0xffffffull << REG_ISR /* ISR, TMR, IRR */)
#define XAPIC_READ (BOTH_READ | BIT(REG_DFR) | BIT(REG_ICR2))

#define INIT_ARRIVED BIT(8)
#define SIPI_ARRIVED BIT(9)

struct vlapic {
    _Atomic uint32_t reg[256];  /* by offset / 4, as in the HVM context record */
    _Atomic uint32_t irr_words; /* bit n: word n of the IRR may have bits; set after the bit, so never too few */
    _Atomic uint32_t errors;    /* what the next write of the ESR shows */
    _Atomic uint32_t startup;   /* INIT_ARRIVED, SIPI_ARRIVED with its vector in bits 7:0 */
    /* Its own CPU's. */
    uint32_t isr_words; /* bit n: word n of the ISR has bits */
    uint8_t isr_top;    /* the highest vector in service; 0: none, as vectors below 16 are refused */
    uint8_t shift;      /* of the divide configuration */
    uint64_t due;       /* of the timer, ns */
    uint64_t deadline;  /* IA32_TSC_DEADLINE */
};

_Static_assert(sizeof(struct vlapic) <= PAGE_SIZE, "one page");

static uint32_t get(const struct vlapic *l, unsigned reg) { return load_relaxed(&l->reg[reg * 4]); }
static void put(struct vlapic *l, unsigned reg, uint32_t value) { store_relaxed(&l->reg[reg * 4], value); }
static bool software_enabled(const struct vlapic *l) { return get(l, REG_SVR) & SVR_ENABLED; }
static unsigned top_bit(uint32_t bits) { return 31 - (unsigned)__builtin_clz(bits); }

/* a * b / c without overflow in between, for b and c below 2^32; wraps around when the result does. */
static uint64_t mul_div(uint64_t a, uint32_t b, uint32_t c) { return a / c * b + a % c * b / c; }

/* Guests' TSC. Natively it follows `now`, so that tests are repeatable. */
#ifdef HV_HOST
static uint64_t read_tsc(uint64_t now) { return mul_div(now, (uint32_t)hv_tsc_khz, 1000000); }
#else
static uint64_t read_tsc(uint64_t now) { return __builtin_ia32_rdtsc(); }
#endif

bool vlapic_enabled(const struct vcpu *v) { return v->xapic_base & BASE_ENABLED; }
static bool x2apic(const struct vcpu *v) { return v->xapic_base & BASE_X2APIC; }
static bool takes_vectors(const struct vcpu *v) { return vlapic_enabled(v) && software_enabled(v->lapic); }
/* Even ones, as hvmloader, libxl and the guests' ACPI tables assume. */
uint32_t vlapic_id(const struct vcpu *v) { return v->id * 2; }

/* --- errors and arrival --- */
static void accept(struct vcpu *v, struct vlapic *l, uint8_t vector, bool level)
{
    unsigned word = vector / 32;
    uint32_t bit = 1u << vector % 32;
    _Atomic uint32_t *tmr = &l->reg[(REG_TMR + word) * 4];
    if (!(load_relaxed(tmr) & bit) == level) {
        if (level)
            atomic_fetch_or(tmr, bit);
        else
            atomic_fetch_and(tmr, ~bit);
    }
    /* Who finds the bit set leaves the rest to who set it first: it cannot be taken before that one told. */
    if (atomic_fetch_or(&l->reg[(REG_IRR + word) * 4], bit) & bit)
        return;
    atomic_fetch_or(&l->irr_words, 1u << word); /* pairs with forget_word() */
    vcpu_kick(v, WORK_LAPIC);
}

static void report(struct vcpu *v, uint32_t error)
{
    struct vlapic *l = v->lapic;
    if (atomic_fetch_or(&l->errors, error) & error)
        return; /* SDM 10.5.3: one interrupt for each kind until the ESR is written */
    uint32_t lvt = get(l, REG_LVT_ERROR);
    if (lvt & LVT_MASKED)
        return;
    if ((uint8_t)lvt < 16)
        atomic_fetch_or(&l->errors, ERROR_RECEIVED_VECTOR);
    else
        accept(v, l, lvt, false);
}

void vlapic_accept(struct vcpu *v, uint8_t vector, bool level)
{
    if (unlikely(vector < 16))
        report(v, ERROR_RECEIVED_VECTOR);
    else
        accept(v, v->lapic, vector, level);
}

/* Own CPU: something that waited may be deliverable now. */
static void look_again(struct vcpu *v, struct vlapic *l)
{
    if (load_relaxed(&l->irr_words) && !(load_relaxed(&v->work) & WORK_LAPIC))
        atomic_fetch_or(&v->work, WORK_LAPIC);
}

/* The word was empty; a bit that comes now is not lost: we see it below or its setter sets irr_words after us. */
static void forget_word(struct vlapic *l, unsigned word)
{
    atomic_fetch_and(&l->irr_words, ~(1u << word));
    if (atomic_load(&l->reg[(REG_IRR + word) * 4]))
        atomic_fetch_or(&l->irr_words, 1u << word);
}

/* --- priorities --- */
static void set_tpr(struct vcpu *v, struct vlapic *l, uint8_t value)
{
    put(l, REG_TPR, value);
    v->cr8 = value >> 4;
    look_again(v, l);
}

/* The hardware may have moved CR8 since (vcpu.h): that one counts. */
static uint8_t current_tpr(struct vcpu *v, struct vlapic *l)
{
    uint8_t tpr = get(l, REG_TPR);
    if (likely(tpr >> 4 == v->cr8))
        return tpr;
    put(l, REG_TPR, v->cr8 << 4);
    return v->cr8 << 4;
}

static uint8_t ppr(struct vcpu *v, struct vlapic *l)
{
    uint8_t tpr = current_tpr(v, l);
    return tpr >> 4 >= l->isr_top >> 4 ? tpr : l->isr_top & 0xf0;
}

/* The highest vector in the IRR; 0: none, or none is taken (SDM 10.4.7.2: held). */
static unsigned highest(struct vcpu *v, struct vlapic *l)
{
    uint32_t words, bits;
    while (takes_vectors(v) && (words = load_acquire(&l->irr_words))) {
        unsigned word = top_bit(words);
        if ((bits = load_acquire(&l->reg[(REG_IRR + word) * 4])))
            return word * 32 + top_bit(bits);
        forget_word(l, word); /* at most once a word: only we clear bits */
    }
    return 0;
}

int vlapic_pending(struct vcpu *v)
{
    struct vlapic *l = v->lapic;
    if (likely(!load_acquire(&l->irr_words)))
        return -1;
    unsigned vector = highest(v, l);
    return vector >> 4 > ppr(v, l) >> 4 ? (int)vector : -1;
}

int vlapic_held(struct vcpu *v)
{
    struct vlapic *l = v->lapic;
    if (likely(!load_acquire(&l->irr_words)))
        return -1;
    unsigned vector = highest(v, l), class = vector >> 4;
    return class > l->isr_top >> 4 && class <= current_tpr(v, l) >> 4 ? (int)vector : -1;
}

void vlapic_acknowledge(struct vcpu *v, uint8_t vector)
{
    struct vlapic *l = v->lapic;
    unsigned word = vector / 32;
    uint32_t bit = 1u << vector % 32;
    if (!(atomic_fetch_and(&l->reg[(REG_IRR + word) * 4], ~bit) & ~bit))
        forget_word(l, word);
    put(l, REG_ISR + word, get(l, REG_ISR + word) | bit);
    l->isr_words |= 1u << word;
    l->isr_top = MAX(l->isr_top, vector);
}

void vlapic_eoi(struct vcpu *v)
{
    struct vlapic *l = v->lapic;
    uint8_t vector = l->isr_top;
    if (!vector)
        return;
    unsigned word = vector / 32;
    uint32_t bit = 1u << vector % 32, rest = get(l, REG_ISR + word) & ~bit;
    put(l, REG_ISR + word, rest);
    if (!rest)
        l->isr_words &= ~(1u << word);
    word = l->isr_words ? top_bit(l->isr_words) : 0;
    l->isr_top = l->isr_words ? word * 32 + top_bit(get(l, REG_ISR + word)) : 0;
    if (unlikely(get(l, REG_TMR + vector / 32) & bit))
        virqchip_eoi(v->domain, vector);
    look_again(v, l);
}

/* --- messages --- */
static void deliver(struct vcpu *v, uint8_t mode, uint8_t vector, bool level)
{
    struct vlapic *l = v->lapic;
    switch (mode) {
    case MODE_FIXED:
    case MODE_LOWEST:
        if (likely(takes_vectors(v)))
            vlapic_accept(v, vector, level);
        return;
    case MODE_NMI: return vcpu_kick(v, WORK_NMI);
    case MODE_INIT:
        atomic_store(&l->startup, INIT_ARRIVED); /* a SIPI that came before it is void */
        return vcpu_kick(v, WORK_INIT);
    case MODE_SIPI: {
        uint32_t old = atomic_load(&l->startup);
        while (!atomic_compare_exchange_weak(&l->startup, &old, (old & INIT_ARRIVED) | SIPI_ARRIVED | vector))
            ;
        return vcpu_kick(v, WORK_INIT);
    }
    default: /* SMI: there is no SMM. ExtINT: the PIC never interrupts. */ return;
    }
}

unsigned vlapic_take_init(struct vcpu *v)
{
    uint32_t startup = atomic_exchange(&v->lapic->startup, 0);
    if (startup & SIPI_ARRIVED)
        v->sipi_vector = startup;
    return (startup & INIT_ARRIVED ? VLAPIC_INIT : 0) | (startup & SIPI_ARRIVED ? VLAPIC_SIPI : 0);
}

/* x2APIC, SDM 10.12.10.2: the logical id follows from the id. */
static uint32_t x2apic_ldr(uint32_t id) { return (id >> 4) << 16 | 1u << (id & 15); }

/* SDM 10.6.2. 0xff is also the broadcast of messages that have 8 bits for the destination; no vCPU has that id. */
static bool is_for(const struct vcpu *v, uint32_t dest, bool logical)
{
    if (!logical)
        return dest == vlapic_id(v) || dest == 0xff || dest == 0xffffffff;
    if (x2apic(v)) {
        uint32_t ldr = x2apic_ldr(vlapic_id(v));
        return dest == 0xffffffff || (dest >> 16 == ldr >> 16 && (dest & ldr & 0xffff));
    }
    uint8_t ldr = get(v->lapic, REG_LDR) >> 24;
    if (get(v->lapic, REG_DFR) >> 28 == 15)
        return dest & ldr & 0xff;
    return (dest & 0xff) == 0xff || (!((dest ^ ldr) & 0xf0) && (dest & ldr & 15));
}

unsigned vlapic_target(struct domain *d, uint32_t dest, bool logical)
{
    for (unsigned i = 0; i < d->max_vcpus; i++)
        if (d->vcpu[i] && is_for(d->vcpu[i], dest, logical))
            return i;
    return 0;
}

void vlapic_deliver(struct domain *d, uint32_t dest, bool logical, uint8_t mode, uint8_t vector, bool level)
{
    static _Atomic unsigned turn; /* who is asked first among equals; fairness only */
    if (!logical && !(dest & 1) && dest / 2 < d->max_vcpus) {
        if (d->vcpu[dest / 2])
            deliver(d->vcpu[dest / 2], mode, vector, level);
        return;
    }
    bool lowest = mode == MODE_LOWEST;
    unsigned first = lowest ? atomic_fetch_add_explicit(&turn, 1, memory_order_relaxed) : 0;
    struct vcpu *best = NULL;
    for (unsigned i = 0; i < d->max_vcpus; i++) {
        struct vcpu *v = d->vcpu[(first + i) % d->max_vcpus];
        if (!v || !is_for(v, dest, logical))
            continue;
        if (!lowest)
            deliver(v, mode, vector, level);
        else if (takes_vectors(v) && (!best || get(v->lapic, REG_TPR) < get(best->lapic, REG_TPR)))
            best = v;
    }
    if (best)
        deliver(best, mode, vector, level);
}

static void send(struct vcpu *v, uint32_t low, uint32_t dest)
{
    uint8_t mode = low >> 8 & 7, vector = low, to = low >> 18 & 3;
    if (mode <= MODE_LOWEST && unlikely(vector < 16)) {
        report(v, ERROR_SEND_VECTOR);
        return;
    }
    if (mode == MODE_INIT && (low & (ICR_LEVEL | ICR_ASSERT)) == ICR_LEVEL)
        return; /* INIT level de-assert: old hardware's */
    struct domain *d = v->domain;
    if (to == TO_DESTINATION) {
        vlapic_deliver(d, dest, low & ICR_LOGICAL, mode, vector, false);
    } else if (to == TO_SELF) {
        if (mode == MODE_FIXED)
            deliver(v, mode, vector, false);
    } else {
        for (unsigned i = 0; i < d->max_vcpus; i++)
            if (d->vcpu[i] && (to == TO_ALL || d->vcpu[i] != v))
                deliver(d->vcpu[i], mode, vector, false);
    }
}

/* --- timer --- */
static uint64_t timer_period(const struct vlapic *l) { return (uint64_t)get(l, REG_TMICT) << l->shift; }

void vlapic_tick(struct vcpu *v, uint64_t now)
{
    struct vlapic *l = v->lapic;
    if (now < l->due || l->due == NEVER)
        return;
    uint32_t lvt = get(l, REG_LVT_TIMER);
    uint64_t period = timer_period(l);
    if ((lvt & LVT_MODE) == LVT_PERIODIC && period)
        l->due = MAX(l->due + ((now - l->due) / period + 1) * period, now + PERIOD_MIN);
    else
        l->due = NEVER;
    l->deadline = 0;
    if (!(lvt & LVT_MASKED))
        vlapic_accept(v, lvt, false);
}

uint64_t vlapic_next(const struct vcpu *v) { return get(v->lapic, REG_LVT_TIMER) & LVT_MASKED ? NEVER : v->lapic->due; }

static uint32_t timer_left(struct vcpu *v, struct vlapic *l, uint64_t now)
{
    vlapic_tick(v, now);
    uint32_t lvt = get(l, REG_LVT_TIMER), initial = get(l, REG_TMICT);
    if (l->due == NEVER || (lvt & LVT_MODE) >= LVT_DEADLINE)
        return 0;
    uint64_t left = (l->due - now + BIT(l->shift) - 1) >> l->shift;
    /* PERIOD_MIN may have put it off for longer than a period. */
    return left <= initial || !initial ? left : (left - 1) % initial + 1;
}

static void timer_set_divide(struct vcpu *v, struct vlapic *l, uint32_t value, uint64_t now)
{
    uint64_t left = timer_left(v, l, now);
    put(l, REG_TDCR, value);
    l->shift = (((value & 3) | (value >> 1 & 4)) + 1) & 7; /* SDM figure 10-10 */
    if (left)
        l->due = now + (left << l->shift);
}

static void timer_set_count(struct vlapic *l, uint32_t value, uint64_t now)
{
    if ((get(l, REG_LVT_TIMER) & LVT_MODE) >= LVT_DEADLINE)
        return; /* SDM 10.5.4.1: ignored */
    put(l, REG_TMICT, value);
    l->due = value ? now + timer_period(l) : NEVER;
}

static void timer_set_lvt(struct vlapic *l, uint32_t value)
{
    if ((get(l, REG_LVT_TIMER) ^ value) & LVT_DEADLINE) {
        l->due = NEVER; /* SDM 10.5.4.1: a change of this kind disarms it */
        l->deadline = 0;
        put(l, REG_TMICT, 0);
    }
    put(l, REG_LVT_TIMER, value);
}

static void timer_set_deadline(struct vcpu *v, struct vlapic *l, uint64_t tsc, uint64_t now)
{
    if ((get(l, REG_LVT_TIMER) & LVT_MODE) != LVT_DEADLINE)
        return; /* SDM 10.5.4.1: ignored */
    uint64_t current = read_tsc(now) + (uint64_t)v->tsc_offset;
    l->deadline = tsc;
    l->due = tsc ? now : NEVER;
    if (tsc > current) /* cut to 2^60 ticks, over a decade, so that the product fits */
        l->due += mul_div(MIN(tsc - current, BIT(60)), 1000000, (uint32_t)hv_tsc_khz) + 1;
    else
        vlapic_tick(v, now);
}

/* A write that concerns the timer: what ran out so far goes by what was set before. */
static void timer_write(struct vcpu *v, unsigned reg, uint64_t value)
{
    struct vlapic *l = v->lapic;
    uint64_t now = metal_now();
    vlapic_tick(v, now);
    uint64_t before = vlapic_next(v);
    switch (reg) {
    case REG_LVT_TIMER: timer_set_lvt(l, value); break;
    case REG_TMICT: timer_set_count(l, value, now); break;
    case REG_TDCR: timer_set_divide(v, l, value, now); break;
    default: timer_set_deadline(v, l, value, now); break;
    }
    /* The loop's alarm is late for this; an alarm that is too early does no harm. */
    if (vlapic_next(v) < before)
        atomic_fetch_or(&v->work, WORK_TIMER);
}

/* --- registers --- */
void vlapic_reset(struct vcpu *v)
{
    struct vlapic *l = v->lapic;
    atomic_store(&l->irr_words, 0); /* first: a bit that comes after the IRR was cleared must find itself told of */
    for (unsigned reg = 0; reg < 64; reg++)
        put(l, reg, LVTS & BIT(reg) ? LVT_MASKED : 0);
    put(l, REG_ID, vlapic_id(v) << 24);
    put(l, REG_VERSION, VERSION);
    put(l, REG_DFR, ~0u);
    put(l, REG_SVR, 0xff);
    atomic_store(&l->errors, 0);
    l->isr_words = l->isr_top = v->cr8 = 0;
    l->shift = 1;
    l->due = NEVER;
    l->deadline = 0;
    /* An upcall that waited in IRR is still pending, and no other comes before it is taken. */
    atomic_fetch_or(&v->work, WORK_EVENT);
}

int vlapic_init(struct vcpu *v)
{
    v->lapic = page_alloc();
    if (!v->lapic)
        return -ENOMEM;
    v->xapic_base = BASE_ADDRESS | BASE_ENABLED | (v->id == 0 ? BASE_BSP : 0);
    vlapic_reset(v);
    return 0;
}

void vlapic_free(struct vcpu *v)
{
    if (v->lapic)
        page_free(v->lapic);
    v->lapic = NULL;
}

static uint32_t reg_read(struct vcpu *v, unsigned reg)
{
    struct vlapic *l = v->lapic;
    switch (reg) {
    case REG_ID: return x2apic(v) ? vlapic_id(v) : vlapic_id(v) << 24;
    case REG_LDR: return x2apic(v) ? x2apic_ldr(vlapic_id(v)) : get(l, reg);
    case REG_TPR: return current_tpr(v, l);
    case REG_PPR: return ppr(v, l);
    case REG_TMCCT: return timer_left(v, l, metal_now());
    default: return get(l, reg);
    }
}

static void set_svr(struct vcpu *v, struct vlapic *l, uint32_t value)
{
    put(l, REG_SVR, value);
    if (value & SVR_ENABLED) {
        look_again(v, l);
        return;
    }
    vlapic_tick(v, metal_now());
    for (unsigned reg = REG_LVT_TIMER; reg <= REG_LVT_ERROR; reg++)
        put(l, reg, get(l, reg) | LVT_MASKED);
}

/* `value` has no bits but the writable ones. */
static void reg_write(struct vcpu *v, unsigned reg, uint32_t value)
{
    struct vlapic *l = v->lapic;
    if (LVTS & BIT(reg) && !software_enabled(l))
        value |= LVT_MASKED;
    switch (reg) {
    case REG_TPR: return set_tpr(v, l, value);
    case REG_EOI: return vlapic_eoi(v);
    case REG_ICR: put(l, reg, value); return send(v, value, get(l, REG_ICR2) >> (x2apic(v) ? 0 : 24));
    case REG_SELF: return send(v, (uint8_t)value | TO_SELF << 18, 0);
    case REG_SVR: return set_svr(v, l, value);
    case REG_DFR: return put(l, reg, value | 0x0fffffff);
    case REG_ESR: return put(l, reg, atomic_exchange(&l->errors, 0));
    case REG_LVT_TIMER:
    case REG_TMICT:
    case REG_TDCR: return timer_write(v, reg, value);
    default: return put(l, reg, value);
    }
}

/* Registers of 32 bits every 16 bytes; the bytes between read as zero, and only whole aligned writes count
 * (SDM 10.4.1). */
bool vlapic_mmio(struct vcpu *v, gpa_t gpa, unsigned size, bool write, uint64_t *value)
{
    unsigned offset = gpa & ~PAGE_MASK, reg = offset >> 4;
    if ((gpa & PAGE_MASK) != BASE_ADDRESS || !vlapic_enabled(v) || x2apic(v))
        return false;
    bool nothing = write ? offset & 15 || size < 4 : offset & 12;
    bool known = reg < 64 && (write ? XAPIC_WRITE : XAPIC_READ) & BIT(reg);
    if (!nothing && !known)
        report(v, ERROR_REGISTER);
    if (!write)
        *value = nothing || !known ? 0 : reg_read(v, reg) >> (offset & 3) * 8;
    else if (!nothing && known)
        reg_write(v, reg, *value & writable[reg]);
    return true;
}

/* SDM 10.12.5: what states follow each other. The base stays: the p2m has its hole there. */
static bool set_base(struct vcpu *v, uint64_t value)
{
    uint64_t old = v->xapic_base, flags = value & (BASE_ENABLED | BASE_X2APIC);
    if ((value & ~(BASE_BSP | BASE_X2APIC | BASE_ENABLED)) != BASE_ADDRESS || flags == BASE_X2APIC)
        return false;
    if (flags & BASE_X2APIC && !(old & BASE_ENABLED))
        return false;
    if (flags == BASE_ENABLED && old & BASE_X2APIC)
        return false;
    v->xapic_base = BASE_ADDRESS | (old & BASE_BSP) | flags;
    if (!flags && old & BASE_ENABLED)
        vlapic_reset(v);
    if (flags & BASE_X2APIC && !(old & BASE_X2APIC))
        put(v->lapic, REG_ICR2, 0);
    return true;
}

bool vlapic_msr_read(struct vcpu *v, uint32_t msr, uint64_t *value)
{
    if (msr == MSR_APIC_BASE) {
        *value = v->xapic_base;
        return true;
    }
    if (msr == MSR_TSC_DEADLINE) {
        vlapic_tick(v, metal_now());
        *value = v->lapic->deadline;
        return true;
    }
    unsigned reg = msr - MSR_X2APIC;
    if (!x2apic(v) || reg >= 64 || !(BOTH_READ & BIT(reg)))
        return false;
    *value = reg_read(v, reg);
    if (reg == REG_ICR)
        *value |= (uint64_t)get(v->lapic, REG_ICR2) << 32;
    return true;
}

bool vlapic_msr_write(struct vcpu *v, uint32_t msr, uint64_t value)
{
    struct vlapic *l = v->lapic;
    unsigned reg = msr - MSR_X2APIC;
    if (likely(reg < 64)) {
        if (!x2apic(v) || !(X2APIC_WRITE & BIT(reg)))
            return false;
        if (likely(reg == REG_TPR && value <= 0xff)) { /* the most frequent, next to the EOI */
            set_tpr(v, l, value);
            return true;
        }
        uint32_t refused = ~(writable[reg] | (LVTS & BIT(reg) ? LVT_READ_ONLY : 0));
        if ((uint32_t)value & refused || (value >> 32 && reg != REG_ICR))
            return false;
        if (reg == REG_ICR) /* here the upper half is the whole destination */
            put(l, REG_ICR2, value >> 32);
        reg_write(v, reg, value & writable[reg]);
        return true;
    }
    if (msr == MSR_TSC_DEADLINE) {
        timer_write(v, DEADLINE, value);
        return true;
    }
    return msr == MSR_APIC_BASE && set_base(v, value);
}
