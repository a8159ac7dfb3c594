/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The doors of event channels and grants, with the rooms behind them faked: privileges, preemption, and that nothing is
 * left behind when a result cannot be written.
 */
/* sources: hypercall/event_channel.c hypercall/grant_table.c */
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

static struct domain doms[2]; /* 0: control, 1 */
static struct vcpu vcpus[2];
static uint8_t memory[1024];
static bool write_fails, preempt;
static uint32_t closed, last_close_domain;
static unsigned maps, unmaps;

struct domain *domain_get(domid_t id) { return id < 2 ? (void)doms[id].refs++, &doms[id] : NULL; }
void domain_put(struct domain *d) { d->refs--; }
bool hypercall_preempt(struct hc_call *c) { return preempt; }
int door_domain(struct hc_call *c, domid_t id, struct domain **d)
{
    if (id != DOMID_SELF && id != c->d->id && !c->d->control)
        return -EPERM;
    *d = domain_get(id == DOMID_SELF ? c->d->id : id);
    return *d ? 0 : -ESRCH;
}

int guest_read(struct vcpu *v, void *to, uint64_t at, size_t size)
{
    return at + size <= sizeof memory ? memcpy(to, memory + at, size), 0 : -EFAULT;
}

int guest_write(struct vcpu *v, uint64_t at, const void *from, size_t size)
{
    return !write_fails && at + size <= sizeof memory ? memcpy(memory + at, from, size), 0 : -EFAULT;
}

int evtchn_alloc_unbound(struct domain *d, domid_t remote, uint32_t *port) { return *port = 40 + remote, 0; }
int evtchn_bind_interdomain(struct domain *d, struct domain *r, uint32_t rp, uint32_t *port) { return *port = 7, 0; }
int evtchn_bind_virq(struct domain *d, uint32_t virq, unsigned vcpu, uint32_t *port) { return *port = 8, 0; }
int evtchn_bind_ipi(struct domain *d, unsigned vcpu, uint32_t *port) { return *port = 9, 0; }
int evtchn_close(struct domain *d, uint32_t port) { return last_close_domain = d->id, closed = port, 0; }
int evtchn_send(struct domain *d, uint32_t port) { return port == 5 ? 0 : -EINVAL; }
int evtchn_bind_vcpu(struct domain *d, uint32_t port, unsigned vcpu) { return 0; }
int evtchn_unmask(struct domain *d, uint32_t port) { return 0; }
int evtchn_get_status(struct domain *d, uint32_t port, struct evtchn_status *s) { return s->status = 4, 0; }
int evtchn_init_control(struct domain *d, struct evtchn_init_control *op) { return op->link_bits = 17, 0; }
int evtchn_expand_array(struct domain *d, gfn_t array) { return 0; }
int evtchn_set_priority(struct domain *d, uint32_t port, uint32_t priority) { return 0; }

void grant_map(struct domain *d, struct gnttab_map_grant_ref *op) { op->handle = ++maps, op->status = 0; }
void grant_unmap(struct domain *d, struct gnttab_unmap_grant_ref *op) { unmaps++, op->status = 0; }
void grant_copy(struct domain *d, struct gnttab_copy *op) { op->status = -10; }
unsigned grant_frames(struct domain *d) { return 2; }
mfn_t grant_frame(struct domain *d, uint64_t index) { return mfn(300 + index); }
gfn_t frame_gfn(mfn_t m) { return gfn(m.n + 0x1000); }

static long events(unsigned d, unsigned cmd, uint64_t at)
{
    struct hc_call c = { .v = &vcpus[d], .d = &doms[d], .arg = { cmd, at } };
    return hc_event_channel(&c);
}

static long grants(unsigned d, unsigned cmd, uint64_t at, uint64_t count)
{
    struct hc_call c = { .v = &vcpus[d], .d = &doms[d], .arg = { cmd, at, count } };
    return hc_grant_table(&c);
}

static void put(const void *what, size_t size) { memcpy(memory + 64, what, size); }

static void test_events(void)
{
    struct evtchn_alloc_unbound a = { .dom = DOMID_SELF, .remote_dom = DOMID_SELF };
    put(&a, sizeof a);
    CHECK(events(1, EVTCHNOP_alloc_unbound, 64) == 0 && *(uint32_t *)(memory + 68) == 41);
    write_fails = true;
    CHECK(events(1, EVTCHNOP_alloc_unbound, 64) == -EFAULT && closed == 41 && last_close_domain == 1);
    a.dom = 1;
    put(&a, sizeof a);
    CHECK(events(0, EVTCHNOP_alloc_unbound, 64) == -EFAULT && closed == 40 && last_close_domain == 1);
    CHECK(events(1, EVTCHNOP_bind_ipi, 64) == -EFAULT && closed == 9);
    write_fails = false;
    a.dom = 0;
    put(&a, sizeof a);
    CHECK(events(1, EVTCHNOP_alloc_unbound, 64) == -EPERM && events(1, EVTCHNOP_status, 64) == -EPERM);
    a.dom = 5;
    put(&a, sizeof a);
    CHECK(events(0, EVTCHNOP_alloc_unbound, 64) == -ESRCH && events(0, EVTCHNOP_bind_interdomain, 64) == -ESRCH);
    uint32_t port = 5;
    put(&port, 4);
    CHECK(events(1, EVTCHNOP_send, 64) == 0 && events(1, EVTCHNOP_send, 68) == -EINVAL);
    CHECK(events(1, EVTCHNOP_send, 1021) == -EFAULT && events(1, 14, 64) == -ENOSYS && events(1, ~0u, 64) == -ENOSYS);
}

static void test_grants(void)
{
    struct hc_call c = { .v = &vcpus[1], .d = &doms[1], .arg = { GNTTABOP_map_grant_ref, 64, 3 } };
    preempt = true;
    CHECK(hc_grant_table(&c) == HC_AGAIN && maps == 1 && c.arg[1] == 96 && c.arg[2] == 2);
    preempt = false;
    CHECK(hc_grant_table(&c) == 0 && maps == 3 && ((struct gnttab_map_grant_ref *)(memory + 128))->handle == 3);
    write_fails = true;
    CHECK(grants(1, GNTTABOP_map_grant_ref, 64, 1) == -EFAULT && unmaps == 1);
    write_fails = false;

    CHECK(grants(1, GNTTABOP_copy, 64, 1) == 0 &&
          *(int16_t *)(memory + 64 + offsetof(struct gnttab_copy, status)) == -10);
    uint32_t query[4] = { 0 };
    put(query, sizeof query);
    CHECK(grants(1, GNTTABOP_query_size, 64, 1) == 0 && *(int16_t *)(memory + 76) == GNTST_permission_denied);
    CHECK(grants(0, GNTTABOP_query_size, 64, 1) == 0 && *(uint32_t *)(memory + 72) == GRANT_FRAMES_MAX);
    uint32_t version = 2;
    put(&version, 4);
    CHECK(grants(1, GNTTABOP_set_version, 64, 1) == -ENOSYS);
    CHECK(grants(0, GNTTABOP_transfer, 64, 1) == -ENOSYS && grants(0, 3, 64, 1) == -ENOSYS);
    CHECK(grants(0, GNTTABOP_copy, 64, 1ull << 31) == -EINVAL && grants(0, GNTTABOP_cache_flush, 64, 0) == -ENOSYS);
    CHECK(grants(1, GNTTABOP_map_grant_ref, 1000, 1) == -EFAULT && doms[0].refs == 0 && doms[1].refs == 0);
}

int main(void)
{
    for (unsigned i = 0; i < 2; i++) {
        doms[i].id = i;
        vcpus[i].domain = &doms[i];
    }
    doms[0].control = true;
    test_events();
    test_grants();
    return 0;
}
