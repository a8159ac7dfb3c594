/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Domains: the list of them, references, pausing, shutdown, and taking one apart.
 *
 * domain_create makes what each domain has (p2m, event channels, grants, vCPUs); what depends on the kind of domain
 * (policy, platform, IOMMU) its builder adds, and domain_free() gives back whatever is there.
 * Locks: `list_lock` guards the list; a domain's own lock its life (pause counts, shutdown). A reference keeps the
 * struct, and being listed is one reference.
 */
#include <hv/domain.h>
#include <hv/evtchn.h>
#include <hv/frame.h>
#include <hv/grant.h>
#include <hv/lib.h>
#include <hv/log.h>
#include <hv/metal.h>
#include <hv/ops.h>
#include <hv/policy.h>
#include <hv/sched.h>
#include <hv/vdev.h>
#include <xen/xen.h>
#include <xen/sched.h>

#define PORT_BITMAP_ORDER 2 /* 12 KiB and a bit: 64 Ki ports and 3 more (APM2 15.10.1) */
#define MSR_BITMAP_ORDER 1  /* 8 KiB (APM2 15.11) */
#define P2M_CLEAR_STEP 8
#define PAUSES_MAX 255

_Static_assert(sizeof(struct domain) <= PAGE_SIZE, "a domain is one page");
_Static_assert(sizeof(struct shared_info) <= PAGE_SIZE, "64-bit layout");

struct domain *hv_control_domain;

static spinlock_t list_lock = SPINLOCK(LOCK_DOMAINS);
static struct list domains = { &domains, &domains };

static struct domain *domain_of(struct list *l) { return container_of(l, struct domain, all); }

/* --- references ------------------------------------------------------------------------------------------------- */

static void domain_free(struct domain *d);

/* The first one with an id of `first` to `last`, referenced: being listed keeps one reference meanwhile. */
static struct domain *find(domid_t first, domid_t last)
{
    spin_guard(&list_lock);
    list_for_each (l, &domains) { /* in the order of ids */
        struct domain *d = domain_of(l);
        if (d->id >= first && d->id <= last) {
            atomic_fetch_add(&d->refs, 1);
            return d;
        }
    }
    return NULL;
}

struct domain *domain_get(domid_t id) { return find(id, id); }
struct domain *domain_next(domid_t from) { return find(from, DOMID_FIRST_RESERVED); }

void domain_put(struct domain *d)
{
    uint32_t before = atomic_fetch_sub(&d->refs, 1);
    BUG_ON(!before);
    if (before == 1)
        domain_free(d);
}

/* --- life --------------------------------------------------------------------------------------------------------- */

/* Enters it into the list, unless its id is taken. */
static bool enlist(struct domain *d)
{
    spin_guard(&list_lock);
    struct list *at = domains.prev;
    while (at != &domains && domain_of(at)->id > d->id)
        at = at->prev;
    if (at != &domains && domain_of(at)->id == d->id)
        return false;
    list_insert(at, &d->all);
    return true;
}

static int create_parts(struct domain *d)
{
    d->shared_info = page_alloc();
    d->port_bitmap = pages_alloc(PORT_BITMAP_ORDER);
    d->msr_bitmap = pages_alloc(MSR_BITMAP_ORDER);
    if (!d->shared_info || !d->port_bitmap || !d->msr_bitmap)
        return -ENOMEM;
    memset(d->port_bitmap, 0xff, PAGE_SIZE << PORT_BITMAP_ORDER);
    memset(d->msr_bitmap, 0xff, PAGE_SIZE << MSR_BITMAP_ORDER);
    memset(d->shared_info->evtchn_mask, 0xff, sizeof(d->shared_info->evtchn_mask));
    int rc = p2m_init(&d->p2m, d, hv->codec);
    rc = rc ? rc : evtchn_init(d);
    rc = rc ? rc : grant_init(d);
    for (unsigned i = 0; !rc && i < d->max_vcpus; i++)
        rc = vcpu_create(d, i);
    return rc;
}

static void update_wallclock(struct domain *d)
{
    struct shared_info *s = d->shared_info;
    uint32_t odd = s->wc_version | 1;
    uint64_t epoch = load_relaxed(&hv_epoch);
    *(volatile uint32_t *)&s->wc_version = odd;
    atomic_thread_fence(memory_order_release);
    s->wc_sec = epoch / 1000000000;
    s->wc_sec_hi = epoch / 1000000000 >> 32;
    s->wc_nsec = epoch % 1000000000;
    atomic_thread_fence(memory_order_release);
    *(volatile uint32_t *)&s->wc_version = odd + 1;
}

struct domain *domain_create(domid_t id, unsigned max_vcpus)
{
    if (!max_vcpus || max_vcpus > MAX_VCPUS || id >= DOMID_FIRST_RESERVED)
        return NULL;
    struct domain *d = page_alloc();
    if (!d)
        return NULL;
    d->id = id;
    d->max_vcpus = max_vcpus;
    d->max_pages = ~0ull;
    d->sched_weight = SCHED_WEIGHT;
    d->shutdown_code = DOMAIN_IS_UP;
    atomic_init(&d->refs, 1); /* the caller's; the list has one too when it is in */
    spin_init(&d->lock, LOCK_DOMAIN);
    list_init(&d->all);
    if (create_parts(d) || !enlist(d)) {
        domain_put(d);
        return NULL;
    }
    atomic_fetch_add(&d->refs, 1);
    update_wallclock(d);
    return d;
}

/* The last reference is gone; with domain_create having failed any part may be missing. */
static void domain_free(struct domain *d)
{
    BUG_ON(!list_empty(&d->all));
    p2m_free(&d->p2m);
    for (unsigned i = 0; i < d->max_vcpus; i++)
        if (d->vcpu[i])
            vcpu_free(d->vcpu[i]);
    grant_free(d);
    evtchn_free(d);
    policy_free(d);
    rangeset_free(&d->iomem);
    rangeset_free(&d->ioports);
    pages_free(d->msr_bitmap, MSR_BITMAP_ORDER);
    pages_free(d->port_bitmap, PORT_BITMAP_ORDER);
    page_free(d->shared_info);
    page_free(d);
}

/* --- pausing and the end ------------------------------------------------------------------------------------------ */

static void stop_vcpus(struct domain *d, uint32_t block)
{
    for (unsigned i = 0; i < d->max_vcpus; i++) {
        atomic_fetch_or(&d->vcpu[i]->blocked, block);
        vcpu_kick(d->vcpu[i], WORK_PAUSE);
    }
}

static void wait_until_still(struct domain *d)
{
    for (unsigned i = 0; i < d->max_vcpus; i++)
        while (atomic_load(&d->vcpu[i]->blocked) && sched_running(d->vcpu[i])) /* not blocked: unpaused meanwhile */
            cpu_relax();
}

int domain_pause(struct domain *d)
{
    spin_lock(&d->lock);
    int rc = d->pause_count < PAUSES_MAX ? 0 : -EINVAL;
    if (!rc && !d->pause_count++)
        stop_vcpus(d, BLOCK_PAUSE);
    spin_unlock(&d->lock);
    wait_until_still(d);
    return rc;
}

int domain_unpause(struct domain *d)
{
    spin_guard(&d->lock);
    if (!d->pause_count)
        return -EINVAL;
    if (!--d->pause_count)
        for (unsigned i = 0; i < d->max_vcpus; i++)
            vcpu_wake(d->vcpu[i], BLOCK_PAUSE);
    return 0;
}

int domain_kill(struct domain *d)
{
    BUG_ON(d->control);
    if (atomic_exchange(&d->in_hand, true))
        return -ERESTART; /* another CPU is at it: the caller finds it gone then, or takes over */
    store_relaxed(&d->dying, true);
    stop_vcpus(d, BLOCK_DYING);
    wait_until_still(d);
    int rc = evtchn_destroy(d);
    rc = rc ? rc : grant_destroy(d);
    rc = rc ? rc : p2m_clear(&d->p2m, P2M_CLEAR_STEP);
    if (rc) {
        atomic_store(&d->in_hand, false);
        return rc;
    }
    spin_lock(&list_lock);
    list_remove(&d->all);
    spin_unlock(&list_lock);
    domain_put(d);
    evtchn_virq(hv_control_domain, 0, VIRQ_DOM_EXC);
    return 0;
}

void domain_shutdown(struct domain *d, uint32_t code)
{
    uint32_t none = DOMAIN_IS_UP;
    if (!atomic_compare_exchange_strong(&d->shutdown_code, &none, code))
        return;
    log_line("Domain %u shut down, code %u", d->id, code);
    if (d == hv_control_domain) {
        metal_machine_end(code);
        return;
    }
    stop_vcpus(d, BLOCK_DYING); /* its own vCPU stops when it returns to vcpu_loop */
    evtchn_virq(hv_control_domain, 0, VIRQ_DOM_EXC);
}

void domain_crash(struct domain *d, const char *format, ...)
{
    char why[160];
    va_list args;
    va_start(args, format);
    vsnprintf(why, sizeof(why), format, args);
    va_end(args);
    if (load_relaxed(&d->shutdown_code) != DOMAIN_IS_UP)
        return;
    log_line("Domain %u is at fault: %s", d->id, why);
    for (unsigned i = 0; i < d->max_vcpus; i++) {
        struct vcpu *v = d->vcpu[i];
        if (load_relaxed(&v->cpu) != metal_cpu() || !load_relaxed(&v->sched.running))
            continue;
        log_line("vCPU %u: RIP %016lx RSP %016lx RFLAGS %lx RAX %lx", v->id, v->regs.rip, v->regs.r[RSP],
                 v->regs.rflags, v->regs.r[RAX]);
        hv->dump(v);
    }
    domain_shutdown(d, SHUTDOWN_crash);
}

/* --- wall clock --------------------------------------------------------------------------------------------------- */

void domain_set_wallclock(uint64_t epoch_ns)
{
    store_relaxed(&hv_epoch, epoch_ns);
    spin_guard(&list_lock);
    list_for_each (l, &domains)
        update_wallclock(domain_of(l));
}
