/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sequences of event channel and grant table hypercalls of two domains, with fake guest RAM: the input is a list of
 * calls and of writes into pages the domains share with the hypervisor. Afterwards both are torn down and no page may
 * be referenced any more.
 */
/* sources: hypercall/event_channel.c hypercall/grant_table.c ipc/evtchn.c ipc/evtchn_2l.c ipc/evtchn_fifo.c ipc/grant.c
 * mem/frame.c lib/rangeset.c */
#include "fake_metal.h"

#include "../../hypercall/doors.h"

#include <hv/domain.h>
#include <hv/evtchn.h>
#include <hv/frame.h>
#include <hv/grant.h>
#include <string.h>
#include <xen/xen.h>
#include <xen/event_channel.h>
#include <xen/grant_table.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define GFNS 32
#define RAM_GFNS 12
#define VCPUS 3

static struct domain doms[2]; /* ids 0 (control) and 1 */
static struct vcpu vcpus[2][VCPUS];
static struct slot {
    mfn_t m;
    enum p2m_type type;
} map[2][GFNS];
static uint8_t memory[2][512]; /* what guest-linear addresses 0x1000 on reach */
static const uint8_t *input;
static size_t left;

static uint8_t next(void) { return left ? left--, *input++ : 0; }

struct domain *domain_get(domid_t id)
{
    if (id > 1)
        return NULL;
    doms[id].refs++;
    return &doms[id];
}

void domain_put(struct domain *d)
{
    CHECK(d->refs);
    d->refs--;
}

void vcpu_kick(struct vcpu *v, uint32_t work) {}
void vcpu_wake(struct vcpu *v, uint32_t blocks) { atomic_fetch_and(&v->blocked, ~blocks); }
bool hypercall_preempt(struct hc_call *c) { return next() & 1; }
int door_domain(struct hc_call *c, domid_t id, struct domain **d)
{
    if (id != DOMID_SELF && id != c->d->id && !c->d->control)
        return -EPERM;
    *d = domain_get(id == DOMID_SELF ? c->d->id : id);
    return *d ? 0 : -ESRCH;
}

static uint8_t *linear(struct vcpu *v, uint64_t address, size_t size)
{
    if (address < 0x1000 || address - 0x1000 > sizeof memory[0] || size > sizeof memory[0] - (address - 0x1000))
        return NULL;
    return &memory[v->domain->id][address - 0x1000];
}

int guest_read(struct vcpu *v, void *to, uint64_t address, size_t size)
{
    uint8_t *at = linear(v, address, size);
    return at ? memcpy(to, at, size), 0 : -EFAULT;
}

int guest_write(struct vcpu *v, uint64_t address, const void *from, size_t size)
{
    uint8_t *at = linear(v, address, size);
    return at && next() % 16 != 15 ? memcpy(at, from, size), 0 : -EFAULT;
}

static struct slot *slot_of(const struct p2m *p, gfn_t g) { return g.n < GFNS ? &map[p->domain->id][g.n] : NULL; }

struct p2m_entry p2m_lookup(const struct p2m *p, gfn_t g)
{
    struct slot *s = slot_of(p, g);
    return s && s->type ? (struct p2m_entry){ s->m, s->type, 0 } : (struct p2m_entry){ INVALID_MFN, P2M_NONE, 0 };
}

mfn_t p2m_get_frame(struct p2m *p, gfn_t g, bool write, bool grants)
{
    struct slot *s = slot_of(p, g);
    return s && s->type == P2M_RAM && frame_get(s->m, p->domain->id) ? s->m : INVALID_MFN;
}

int p2m_map(struct p2m *p, gfn_t g, mfn_t m, uint64_t count, enum p2m_type type)
{
    struct slot *s = slot_of(p, g);
    if (!s)
        return -EINVAL;
    if (next() % 16 == 15)
        return -ENOMEM;
    if (s->type)
        frame_put(s->m);
    *s = (struct slot){ m, type };
    return 0;
}

int p2m_unmap(struct p2m *p, gfn_t g, uint64_t count)
{
    CHECK(count == 1);
    struct slot *s = slot_of(p, g);
    if (next() % 16 == 15)
        return -ENOMEM;
    CHECK(s && s->type);
    frame_put(s->m);
    *s = (struct slot){ INVALID_MFN, P2M_NONE };
    return 0;
}

static void domains_make(void)
{
    memset(doms, 0, sizeof doms);
    memset(vcpus, 0, sizeof vcpus);
    memset(map, 0, sizeof map);
    memset(memory, 0, sizeof memory);
    for (unsigned i = 0; i < 2; i++) {
        struct domain *d = &doms[i];
        d->id = i;
        d->control = i == 0;
        d->p2m.domain = d;
        d->max_vcpus = VCPUS;
        d->shared_info = page_alloc();
        spin_init(&d->lock, LOCK_DOMAIN);
        for (unsigned k = 0; k < VCPUS; k++) {
            d->vcpu[k] = &vcpus[i][k];
            vcpus[i][k].domain = d;
            vcpus[i][k].id = k;
            vcpus[i][k].info = &d->shared_info->vcpu_info[k];
        }
        for (unsigned k = 0; k < RAM_GFNS; k++) {
            map[i][k] = (struct slot){ frame_alloc(0, i), P2M_RAM };
            memset(mfn_ptr(map[i][k].m), 0, PAGE_SIZE);
        }
        CHECK(evtchn_init(d) == 0 && grant_init(d) == 0);
    }
    for (unsigned ref = 1; ref < 12; ref++)
        for (unsigned i = 0; i < 2; i++)
            ((struct grant_entry_v1 *)mfn_ptr(grant_frame(&doms[i], 0)))[ref] =
                (struct grant_entry_v1){ .flags = GTF_permit_access, .domid = ref % 3 ? !i : i, .frame = ref };
}

static void domains_free(void)
{
    for (unsigned i = 0; i < 2; i++)
        while (evtchn_destroy(&doms[i]) == -ERESTART || grant_destroy(&doms[i]) == -ERESTART)
            ;
    for (unsigned i = 0; i < 2; i++) {
        CHECK(doms[i].refs == 0);
        evtchn_free(&doms[i]);
        grant_free(&doms[i]);
        page_free(doms[i].shared_info);
        for (unsigned k = 0; k < GFNS; k++) {
            CHECK(map[i][k].type != P2M_RAM || frame_refs(map[i][k].m) == 1);
            if (map[i][k].type)
                frame_put(map[i][k].m);
        }
    }
}

/* Fields of operations are small numbers most of the time, so that they name something. */
static void fill(uint8_t *to, size_t size)
{
    memset(to, 0, size);
    for (unsigned n = next() % 12; n; n--) {
        unsigned at = next() % size;
        to[at] = next();
        if (at % 2 == 0 && at + 1 < size && next() % 8 == 0)
            to[at + 1] = next();
    }
}

/* The operations that random bytes hardly ever get right, with fields in the range that makes sense. */
static void fill_well(uint8_t *to, bool events, unsigned cmd)
{
    uint64_t at = (RAM_GFNS + next() % 8) << PAGE_SHIFT;
    if (events && cmd == EVTCHNOP_init_control) {
        struct evtchn_init_control op = { next() % RAM_GFNS, next() % 32 * 128, next() % 4 };
        memcpy(to, &op, sizeof op);
    } else if (events && cmd == EVTCHNOP_expand_array) {
        to[0] = next() % RAM_GFNS;
    } else if (!events && cmd == GNTTABOP_map_grant_ref) {
        struct gnttab_map_grant_ref op = { at, GNTMAP_host_map | (next() % 8), next() % 12, next() % 3 };
        memcpy(to, &op, sizeof op);
    } else if (!events && cmd == GNTTABOP_unmap_grant_ref) {
        struct gnttab_unmap_grant_ref op = { .host_addr = at, .handle = next() % 12 };
        memcpy(to, &op, sizeof op);
    } else if (!events && cmd == GNTTABOP_copy) {
        struct gnttab_copy op = { .len = next() * 8, .flags = next() & 3 };
        op.source.u.ref = next() % 12;
        op.source.domid = op.flags & GNTCOPY_source_gref ? next() % 3 : DOMID_SELF;
        op.dest.u.ref = next() % 12;
        op.dest.domid = op.flags & GNTCOPY_dest_gref ? next() % 3 : DOMID_SELF;
        op.dest.offset = next() * 16;
        memcpy(to, &op, sizeof op);
    }
}

static void call(struct domain *d)
{
    struct hc_call c = { .v = d->vcpu[0], .d = d };
    bool events = next() & 1;
    fill(memory[d->id], 128);
    c.arg[0] = next() % 16;
    if (next() % 4)
        fill_well(memory[d->id], events, c.arg[0]);
    c.arg[1] = 0x1000 + (next() % 8 == 7 ? next() * 2 : 0);
    c.arg[2] = next() % 8 == 7 ? next() : 1;
    for (unsigned tries = 0; tries < 64; tries++) {
        long rc = events ? hc_event_channel(&c) : hc_grant_table(&c);
        if (rc != HC_AGAIN)
            return;
    }
}

/* The guest writes into what it shares: grant entries, event words, masks. */
static void scribble(struct domain *d)
{
    unsigned what = next() % 4;
    uint8_t *page = what == 0   ? mfn_ptr(grant_frame(d, 0))
                    : what == 1 ? (uint8_t *)d->shared_info + 2048
                                : mfn_ptr(map[d->id][next() % RAM_GFNS].m);
    if (what == 0) {
        struct grant_entry_v1 e = { .flags = next() % 40, .domid = next() % 3, .frame = next() % 16 };
        memcpy(page + 8 * (next() % 16), &e, sizeof e);
        return;
    }
    for (unsigned n = next() % 8; n; n--) {
        unsigned at = next() * 4;
        page[at] = next();
        page[at + 3] = next();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool ready;
    struct frame_stats before, after;
    if (!ready) {
        fake_metal_init(64);
        domains_make(); /* what frame.c takes for itself the first time */
        domains_free();
    }
    ready = true;
    frame_stats(&before);
    input = data;
    left = size;
    domains_make();
    while (left) {
        uint8_t what = next();
        struct domain *d = &doms[what & 1];
        if (what % 16 < 11)
            call(d);
        else if (what % 16 < 14)
            scribble(d);
        else if (what % 16 < 15)
            evtchn_virq(d, 0, next() & 1 ? VIRQ_CONSOLE : VIRQ_DOM_EXC);
        else
            evtchn_virq(d, next() % VCPUS, VIRQ_TIMER);
        evtchn_is_pending(d, what >> 4);
    }
    domains_free();
    frame_stats(&after);
    CHECK(before.free == after.free);
    return 0;
}
