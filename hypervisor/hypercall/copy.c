/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The only ways to guest memory: the walk of a guest's page tables, and copies by linear and guest-physical addresses.
 *
 * Lifetimes: data is copied under a reference of its frame (p2m_get_frame). Table entries are read without one: a table
 * the guest gives away meanwhile yields a stale word, which can only lead to another address of the same guest, because
 * what the walk finds is looked up in its p2m again. No locks are taken here.
 */
#include <hv/domain.h>
#include <hv/frame.h>
#include <hv/hypercall.h>
#include <hv/lib.h>
#include <hv/metal.h>
#include <hv/ops.h>
#include <hv/p2m.h>

#define CR0_WP BIT(16)
#define CR0_PG BIT(31)
#define CR4_SMEP BIT(20)
#define CR4_SMAP BIT(21)
#define EFER_NX BIT(11)
#define RFLAGS_AC BIT(18)

/* Bits of a page table entry, which are those of a page fault's code where both exist (APM2 5.4, 8.4.2). */
#define PTE_P BIT(0)
#define PTE_W BIT(1)
#define PTE_U BIT(2)
#define PTE_PS BIT(7)
#define PTE_NX BIT(63)
#define PTE_ADDRESS 0x000ffffffffff000ull

#define FAULT_PROTECTION BIT(0)
#define FAULT_RESERVED BIT(3)
#define FAULT_FETCH BIT(4)

/* A walk: what it is for, what it found, and where its last table was: tables tend to share one large entry of the p2m.
 */
struct walk {
    const struct vcpu *v;
    struct vcpu_paging p;
    unsigned access;
    uint32_t error; /* of a fault */
    gpa_t gpa;      /* of success */
    uint64_t gfn;
    struct p2m_entry entry;
    struct walk_memo *memo; /* NULL: it is not to be remembered */
};

static inline void walk_begin(struct walk *w, const struct vcpu *v, unsigned access)
{
    hv->paging(v, &w->p);
    w->v = v;
    w->access = access;
    w->gpa = 0;
    w->error = 0;
    w->entry.mfn = INVALID_MFN;
    w->memo = NULL;
}

/* A table in the direct map; NULL: not RAM. */
static inline const char *table_at(struct walk *w, gpa_t gpa)
{
    uint64_t g = gpa >> PAGE_SHIFT;
    if (!mfn_valid(w->entry.mfn) || (g ^ w->gfn) >> w->entry.order) {
        w->entry = p2m_lookup(&w->v->domain->p2m, gfn(g));
        w->gfn = g;
        if (w->entry.type != P2M_RAM && w->entry.type != P2M_RAM_RO)
            w->entry.mfn = INVALID_MFN;
        if (!mfn_valid(w->entry.mfn))
            return NULL;
    }
    return mfn_ptr(mfn(w->entry.mfn.n + g - w->gfn));
}

static enum walk_fault fail(struct walk *w, uint32_t code)
{
    bool tells_fetch = w->p.efer & EFER_NX || w->p.cr4 & CR4_SMEP;
    w->error = code | (w->access & WALK_WRITE ? PTE_W : 0) | (w->access & WALK_USER ? PTE_U : 0) |
               (w->access & WALK_FETCH && tells_fetch ? FAULT_FETCH : 0);
    return code & FAULT_PROTECTION ? WALK_DENIED : WALK_NOT_PRESENT;
}

/* What the rights of the entries passed (`all` and `any` of their bits) allow. */
static bool allowed(const struct walk *w, uint64_t all, uint64_t any)
{
    bool user = w->access & WALK_USER, fetch = w->access & WALK_FETCH;
    if (!(all & PTE_U)) {
        if (user)
            return false;
    } else if (!user) {
        if (fetch ? w->p.cr4 & CR4_SMEP : w->p.cr4 & CR4_SMAP && !(w->v->regs.rflags & RFLAGS_AC))
            return false;
    }
    if (w->access & WALK_WRITE && !(all & PTE_W) && (user || w->p.cr0 & CR0_WP))
        return false;
    return !(fetch && any & PTE_NX);
}

/* Bits that must be zero: NX without EFER.NXE, PS at the top, what is below a large page's address but PAT's bit. */
static bool reserved(const struct walk *w, uint64_t entry, unsigned level, unsigned shift)
{
    if (entry & PTE_NX && !(w->p.efer & EFER_NX))
        return true;
    if (level == 1 || !(entry & PTE_PS))
        return false;
    return level == 4 || entry & (BIT(shift) - 1) & ~0x1fffull;
}

/* Four levels of tables. */
static enum walk_fault walk_tables(struct walk *w, uint64_t linear)
{
    uint64_t all = ~0ull, any = 0, table = w->p.cr3 & PTE_ADDRESS;
    for (unsigned level = 4, shift = 39;; level--, shift -= 9) {
        const char *at = table_at(w, table);
        if (!at)
            return WALK_NO_MEMORY;
        const _Atomic uint64_t *slot = (const _Atomic uint64_t *)at + (linear >> shift & 511);
        uint64_t entry = load_relaxed(slot);
        if (!(entry & PTE_P))
            return fail(w, 0);
        if (w->memo) {
            w->memo->entry[4 - level] = slot;
            w->memo->value[4 - level] = entry;
            w->memo->levels = 5 - level;
        }
        if (entry & (PTE_NX | PTE_PS) && reserved(w, entry, level, shift))
            return fail(w, FAULT_PROTECTION | FAULT_RESERVED);
        all &= entry;
        any |= entry;
        if (level == 1 || entry & PTE_PS) {
            if (!allowed(w, all, any))
                return fail(w, FAULT_PROTECTION);
            uint64_t offset = BIT(shift) - 1;
            w->gpa = (entry & PTE_ADDRESS & ~offset) | (linear & offset);
            return WALK_OK;
        }
        table = entry & PTE_ADDRESS;
    }
}

static enum walk_fault walk(struct walk *w, uint64_t linear)
{
    if (likely(w->p.long_mode)) {
        if ((uint64_t)((int64_t)linear >> 47) + 1 > 1)
            return fail(w, 0); /* not canonical */
        return walk_tables(w, linear);
    }
    if (w->p.cr0 & CR0_PG)
        return WALK_NO_MEMORY; /* a 32-bit kernel: not supported */
    w->gpa = (uint32_t)linear;
    return WALK_OK;
}

enum walk_fault guest_walk(struct vcpu *v, uint64_t linear, unsigned access, gpa_t *gpa, uint32_t *error)
{
    struct walk w;
    walk_begin(&w, v, access);
    enum walk_fault f = walk(&w, linear);
    *gpa = w.gpa;
    *error = w.error;
    return f;
}

/* Copies within one page of guest-physical memory. */
static int copy_page(struct domain *d, gpa_t gpa, void *buffer, size_t size, bool write)
{
    mfn_t m = p2m_get_frame(&d->p2m, gpa_gfn(gpa), write, true);
    if (!mfn_valid(m))
        return -EFAULT;
    char *at = (char *)mfn_ptr(m) + (gpa & ~PAGE_MASK);
    if (write)
        memcpy(at, buffer, size);
    else
        memcpy(buffer, at, size);
    frame_put(m);
    return 0;
}

/*
 * The last walk again: when its entries are what they were, so is what they lead to, and only the rights are left to be
 * looked at. A guest that changes an entry needs no exit for it, so all are read each time; where they are changes with
 * the p2m only. False: walk.
 */
static bool recall(struct walk *w, uint64_t linear)
{
    const struct walk_memo *m = &w->v->walked;
    uint64_t all = ~0ull, any = 0, value = 0;
    if (!m->levels || m->page != linear >> PAGE_SHIFT || m->cr3 != w->p.cr3 || m->efer != w->p.efer)
        return false;
    for (unsigned i = 0; i < m->levels; i++) {
        value = load_relaxed(m->entry[i]);
        if (value != m->value[i])
            return false;
        all &= value;
        any |= value;
    }
    uint64_t offset = BIT(PAGE_SHIFT + 9 * (4 - m->levels)) - 1;
    w->gpa = (value & PTE_ADDRESS & ~offset) | (linear & offset);
    return allowed(w, all, any);
}

static enum walk_fault walk_and_keep(struct walk *w, uint64_t linear, struct walk_memo *memo)
{
    w->memo = memo;
    *memo = (struct walk_memo){ .page = linear >> PAGE_SHIFT, .cr3 = w->p.cr3, .efer = w->p.efer };
    enum walk_fault f = walk(w, linear);
    if (f != WALK_OK)
        memo->levels = 0;
    return f;
}

static int copy_linear(struct vcpu *v, uint64_t linear, char *buffer, size_t size, unsigned access)
{
    struct walk w;
    walk_begin(&w, v, access);
    while (size) {
        size_t part = MIN(size, PAGE_SIZE - (linear & ~PAGE_MASK));
        if ((!recall(&w, linear) && walk_and_keep(&w, linear, &v->walked) != WALK_OK) ||
            copy_page(v->domain, w.gpa, buffer, part, access & WALK_WRITE))
            return -EFAULT;
        linear += part;
        buffer += part;
        size -= part;
    }
    return 0;
}

int guest_read(struct vcpu *v, void *to, uint64_t linear, size_t size)
{
    return copy_linear(v, linear, to, size, WALK_READ);
}

int guest_write(struct vcpu *v, uint64_t linear, const void *from, size_t size)
{
    return copy_linear(v, linear, (char *)from, size, WALK_WRITE);
}

int guest_write_phys(struct domain *d, gpa_t gpa, const void *from, size_t size)
{
    return copy_page(d, gpa, (void *)from, size, true);
}

unsigned guest_fetch(struct vcpu *v, uint8_t bytes[15], enum walk_fault *fault, uint32_t *error)
{
    struct walk w;
    walk_begin(&w, v, WALK_FETCH);
    uint64_t at = v->regs.rip;
    if (unlikely(!w.p.code64)) {
        struct vcpu_state s;
        hv->state_get(v, &s);
        at = (uint32_t)(at + s.seg[SEG_CS].base);
    }
    if (w.p.cpl == 3)
        w.access |= WALK_USER;
    unsigned done = 0;
    do {
        unsigned part = MIN(15 - done, PAGE_SIZE - (at & ~PAGE_MASK));
        *fault = walk(&w, at);
        if (*fault == WALK_OK && copy_page(v->domain, w.gpa, bytes + done, part, false))
            *fault = WALK_NO_MEMORY;
        if (*fault != WALK_OK)
            break;
        done += part;
        at += part;
    } while (done < 15);
    *error = w.error;
    if (done)
        *fault = WALK_OK;
    return done;
}

void guest_code_page(struct vcpu *v)
{
    struct walk w;
    walk_begin(&w, v, WALK_FETCH);
    if (w.p.cpl == 3)
        w.access |= WALK_USER;
    bool found = walk_and_keep(&w, v->regs.rip, &v->code.walk) == WALK_OK && w.p.code64;
    v->code.bytes = found ? (const uint8_t *)table_at(&w, w.gpa & PAGE_MASK) : NULL;
}
