/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Grants on a fake p2m with real frame references: rights, counting, handles, copies, exhaustion, teardown, a granter
 * that races on its entries, and mappers that race on their handles. In the end no reference may be left.
 */
/* sources: ipc/grant.c mem/frame.c */
/* flags: -pthread */
#include "fake_metal.h"

#include <hv/domain.h>
#include <hv/frame.h>
#include <hv/grant.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <xen/xen.h>
#include <xen/grant_table.h>

#define GFNS 512
#define RAM_GFNS 64 /* from 0; the rest is room for mappings */

static struct domain doms[3]; /* ids 1, 2, 3 */
static struct slot {
    mfn_t m;
    enum p2m_type type;
} map[3][GFNS];
static int p2m_failure;

struct domain *domain_get(domid_t id)
{
    if (id < 1 || id > 3)
        return NULL;
    doms[id - 1].refs++;
    return &doms[id - 1];
}

void domain_put(struct domain *d) { d->refs--; }

static struct slot *slot_of(const struct p2m *p, gfn_t g) { return g.n < GFNS ? &map[p->domain->id - 1][g.n] : NULL; }

struct p2m_entry p2m_lookup(const struct p2m *p, gfn_t g)
{
    struct slot *s = slot_of(p, g);
    return s && s->type ? (struct p2m_entry){ s->m, s->type, 0 } : (struct p2m_entry){ INVALID_MFN, P2M_NONE, 0 };
}

mfn_t p2m_get_frame(struct p2m *p, gfn_t g, bool write, bool grants)
{
    struct slot *s = slot_of(p, g);
    mfn_t m = INVALID_MFN;
    CHECK(!grants);
    spin_lock(&p->lock);
    if (s && (s->type == P2M_RAM || (s->type == P2M_RAM_RO && !write)) && frame_get(s->m, p->domain->id))
        m = s->m;
    spin_unlock(&p->lock);
    return m;
}

static void slot_set(struct p2m *p, struct slot *s, mfn_t m, enum p2m_type type)
{
    spin_lock(&p->lock);
    struct slot was = *s;
    *s = (struct slot){ m, type };
    spin_unlock(&p->lock);
    if (was.type)
        frame_put(was.m);
}

int p2m_map(struct p2m *p, gfn_t g, mfn_t m, uint64_t count, enum p2m_type type)
{
    CHECK(count == 1);
    if (p2m_failure)
        return p2m_failure;
    if (g.n >= GFNS)
        return -EINVAL;
    slot_set(p, slot_of(p, g), m, type);
    return 0;
}

int p2m_unmap(struct p2m *p, gfn_t g, uint64_t count)
{
    CHECK(count == 1);
    if (p2m_failure)
        return p2m_failure;
    slot_set(p, slot_of(p, g), INVALID_MFN, P2M_NONE);
    return 0;
}

static void domains_make(void)
{
    memset(doms, 0, sizeof doms);
    memset(map, 0, sizeof map);
    for (unsigned i = 0; i < 3; i++) {
        struct domain *d = &doms[i];
        d->id = i + 1;
        d->p2m.domain = d;
        spin_init(&d->p2m.lock, LOCK_P2M);
        CHECK(grant_init(d) == 0);
        for (unsigned k = 0; k < RAM_GFNS; k++) {
            map[i][k] = (struct slot){ frame_alloc(0, d->id), P2M_RAM };
            memset(mfn_ptr(map[i][k].m), i * 64 + k, PAGE_SIZE);
        }
    }
}

static void domains_free(void)
{
    for (unsigned i = 0; i < 3; i++) {
        int rc;
        while ((rc = grant_destroy(&doms[i])) == -ERESTART)
            ;
        CHECK(rc == 0);
    }
    for (unsigned i = 0; i < 3; i++) {
        CHECK(doms[i].refs == 0);
        grant_free(&doms[i]);
        for (unsigned k = 0; k < GFNS; k++) {
            if (map[i][k].type == P2M_RAM)
                CHECK(frame_owner(map[i][k].m) == i + 1 && frame_refs(map[i][k].m) == 1);
            CHECK(map[i][k].type != P2M_GRANT_RW && map[i][k].type != P2M_GRANT_RO);
            if (map[i][k].type)
                frame_put(map[i][k].m);
        }
    }
}

static struct grant_entry_v1 *entry(unsigned d, uint32_t ref)
{
    return (struct grant_entry_v1 *)mfn_ptr(grant_frame(&doms[d], ref / 512)) + ref % 512;
}

static void give(unsigned d, uint32_t ref, domid_t to, uint32_t frame, uint16_t flags)
{
    *entry(d, ref) = (struct grant_entry_v1){ .flags = flags | GTF_permit_access, .domid = to, .frame = frame };
}

static int16_t map_ref(unsigned d, domid_t from, uint32_t ref, uint64_t at, uint32_t flags, uint32_t *handle)
{
    struct gnttab_map_grant_ref op = { .host_addr = at << 12, .flags = flags, .ref = ref, .dom = from, .handle = ~0u };
    grant_map(&doms[d], &op);
    *handle = op.handle;
    return op.status;
}

static int16_t unmap(unsigned d, uint32_t handle, uint64_t at)
{
    struct gnttab_unmap_grant_ref op = { .host_addr = at << 12, .handle = handle };
    grant_unmap(&doms[d], &op);
    return op.status;
}

#define RW GNTMAP_host_map
#define RO (GNTMAP_host_map | GNTMAP_readonly)

static void test_map(void)
{
    uint32_t h, k, r;
    domains_make();
    CHECK(map_ref(1, 1, 5, 100, RW, &h) == GNTST_general_error); /* nothing granted */
    give(0, 5, 2, 7, 0);
    CHECK(map_ref(2, 1, 5, 100, RW, &h) == GNTST_general_error); /* to somebody else */
    CHECK(map_ref(1, 9, 5, 100, RW, &h) == GNTST_bad_domain &&
          map_ref(1, DOMID_SELF, 5, 100, RW, &h) == GNTST_bad_domain);
    CHECK(map_ref(1, 1, 512, 100, RW, &h) == GNTST_bad_gntref && map_ref(1, 1, ~0u, 100, RW, &h) == GNTST_bad_gntref);
    CHECK(map_ref(1, 1, 5, 100, 0, &h) == GNTST_general_error);
    CHECK(map_ref(1, 1, 5, 100, RW | GNTMAP_contains_pte, &h) == GNTST_general_error);
    CHECK(map_ref(1, 1, 5, 0, RW, &h) == GNTST_bad_virt_addr &&
          map_ref(1, 1, 5, 1ull << 40, RW, &h) == GNTST_bad_virt_addr);
    CHECK(map_ref(1, 1, 5, GFNS, RW, &h) == GNTST_bad_virt_addr);
    CHECK(entry(0, 5)->flags == GTF_permit_access && frame_refs(map[0][7].m) == 1 && doms[0].refs == 0);

    CHECK(map_ref(1, 1, 5, 100, RO, &h) == GNTST_okay && entry(0, 5)->flags == (GTF_permit_access | GTF_reading));
    CHECK(map[1][100].type == P2M_GRANT_RO && map[1][100].m.n == map[0][7].m.n && frame_refs(map[0][7].m) == 3);
    CHECK(map_ref(1, 1, 5, 101, RW, &k) == GNTST_okay && k != h);
    CHECK(entry(0, 5)->flags == (GTF_permit_access | GTF_reading | GTF_writing) && map[1][101].type == P2M_GRANT_RW);
    CHECK(unmap(1, h, 101) == GNTST_bad_virt_addr && unmap(1, 999, 100) == GNTST_bad_handle &&
          unmap(1, ~0u, 100) == GNTST_bad_handle);
    CHECK(unmap(2, h, 100) == GNTST_bad_handle && unmap(1, h, 0) == GNTST_okay && map[1][100].type);
    CHECK(unmap(1, k, 101) == GNTST_okay && entry(0, 5)->flags == (GTF_permit_access | GTF_reading) &&
          !map[1][101].type);
    CHECK(unmap(1, k, 101) == GNTST_bad_handle);

    /* In use: whatever the granter writes, the page stays; for writing it must still be the same one. */
    give(0, 5, 3, 8, 0);
    CHECK(map_ref(2, 1, 5, 100, RW, &r) == GNTST_general_error);
    CHECK(map_ref(1, 1, 5, 101, RO, &k) == GNTST_okay && map[1][101].m.n == map[0][7].m.n &&
          unmap(1, k, 101) == GNTST_okay);
    give(0, 5, 2, 8, 0);
    CHECK(map_ref(1, 1, 5, 101, RW, &k) == GNTST_general_error && !(entry(0, 5)->flags & GTF_writing));
    CHECK(unmap(1, h, 100) == GNTST_okay && frame_refs(map[0][7].m) == 1 && entry(0, 5)->flags == GTF_permit_access);

    give(0, 6, 2, 9, GTF_readonly);
    CHECK(map_ref(1, 1, 6, 100, RW, &h) == GNTST_general_error && map_ref(1, 1, 6, 100, RO, &h) == GNTST_okay);
    CHECK(map_ref(1, 1, 6, 101, RW, &k) == GNTST_general_error && unmap(1, h, 100) == GNTST_okay);
    give(0, 6, 2, 200, 0); /* no page there */
    CHECK(map_ref(1, 1, 6, 100, RW, &h) == GNTST_bad_page && entry(0, 6)->flags == GTF_permit_access);
    map[0][10].type = P2M_RAM_RO;
    give(0, 6, 2, 10, 0);
    CHECK(map_ref(1, 1, 6, 100, RW, &h) == GNTST_bad_page && map_ref(1, 1, 6, 100, RO, &h) == GNTST_okay);
    CHECK(map_ref(1, 1, 6, 101, RW, &k) == GNTST_bad_page);
    CHECK(!(entry(0, 6)->flags & GTF_writing) && unmap(1, h, 100) == GNTST_okay);
    map[0][10].type = P2M_RAM;

    /* A table without memory; a page the guest replaced itself; one it mapped over another of the same. */
    give(0, 6, 2, 9, 0);
    p2m_failure = -ENOMEM;
    CHECK(map_ref(1, 1, 6, 100, RW, &h) == GNTST_no_device_space && frame_refs(map[0][9].m) == 1);
    p2m_failure = 0;
    CHECK(map_ref(1, 1, 6, 100, RW, &h) == GNTST_okay);
    p2m_failure = -ENOMEM;
    CHECK(unmap(1, h, 100) == GNTST_general_error);
    p2m_failure = 0;
    CHECK(map_ref(1, 1, 6, 100, RO, &k) == GNTST_okay && map[1][100].type == P2M_GRANT_RO);
    CHECK(unmap(1, h, 100) == GNTST_okay && !map[1][100].type && unmap(1, k, 100) == GNTST_okay &&
          frame_refs(map[0][9].m) == 1);

    /* Devices: the same address. */
    struct gnttab_map_grant_ref op = {
        .host_addr = 100 << 12 | 5, .flags = RW | GNTMAP_device_map, .ref = 6, .dom = 1
    };
    grant_map(&doms[1], &op);
    CHECK(op.status == GNTST_okay && op.dev_bus_addr == 100 << 12);
    struct gnttab_unmap_grant_ref u = { .dev_bus_addr = 100 << 12, .handle = op.handle };
    grant_unmap(&doms[1], &u);
    CHECK(u.status == GNTST_okay && map[1][100].type); /* the device's part alone */
    u.host_addr = 100 << 12;
    grant_unmap(&doms[1], &u);
    CHECK(u.status == GNTST_okay);
    doms[0].dying = true;
    CHECK(map_ref(1, 1, 6, 100, RW, &h) == GNTST_bad_domain);
    doms[0].dying = false;
    CHECK(map_ref(0, 1, 6, 100, RW, &h) == GNTST_general_error); /* its own, but not to itself */
    give(0, 6, 1, 9, 0);
    CHECK(map_ref(0, 1, 6, 100, RW, &h) == GNTST_okay); /* left to the teardown */
    domains_free();
}

static void test_table(void)
{
    domains_make();
    uint32_t h, again;
    CHECK(grant_frames(&doms[0]) == 1);
    CHECK(!mfn_valid(grant_frame(&doms[0], GRANT_FRAMES_MAX)) && !mfn_valid(grant_frame(&doms[0], ~0ull)));
    CHECK(mfn_valid(grant_frame(&doms[0], 2)) && grant_frames(&doms[0]) == 3);
    CHECK(frame_gfn(grant_frame(&doms[0], 1)).n == ~0ull);
    CHECK(mfn_valid(grant_frame(&doms[0], 3)) && grant_frames(&doms[0]) == 4);
    give(0, 2047, 2, 3, 0);
    for (unsigned i = 0; i < MAPTRACK_MAX; i++)
        CHECK(map_ref(1, 1, 2047, 100 + i % 100, RW, &h) == GNTST_okay && h == i);
    CHECK(map_ref(1, 1, 2047, 103, RW, &h) == GNTST_no_space);
    CHECK(unmap(1, 1, 101) == GNTST_okay && map_ref(1, 1, 2047, 103, RW, &again) == GNTST_okay && again == 1);
    domains_free(); /* all these mappings are undone by grant_destroy */
}

static struct gnttab_copy_ptr by_ref(domid_t id, uint32_t ref, uint16_t offset)
{
    return (struct gnttab_copy_ptr){ .u.ref = ref, .domid = id, .offset = offset };
}

static struct gnttab_copy_ptr by_gfn(domid_t id, uint64_t g, uint16_t offset)
{
    return (struct gnttab_copy_ptr){ .u.gmfn = g, .domid = id, .offset = offset };
}

static int16_t copy(unsigned d, struct gnttab_copy_ptr from, struct gnttab_copy_ptr to, uint16_t len, uint16_t flags)
{
    struct gnttab_copy op = { .source = from, .dest = to, .len = len, .flags = flags };
    grant_copy(&doms[d], &op);
    return op.status;
}

static void test_copy(void)
{
    domains_make();
    uint8_t *a = mfn_ptr(map[0][1].m), *b = mfn_ptr(map[1][2].m), *c = mfn_ptr(map[2][3].m);
    give(0, 1, 2, 1, GTF_readonly);
    give(2, 2, 2, 3, 0);
    CHECK(copy(1, by_ref(1, 1, 100), by_gfn(DOMID_SELF, 2, 4000), 96, GNTCOPY_source_gref) == GNTST_okay);
    CHECK(b[3999] == 66 && b[4000] == a[100] && b[4095] == 1);
    CHECK(copy(1, by_ref(1, 1, 0), by_ref(3, 2, 0), 4096, GNTCOPY_source_gref | GNTCOPY_dest_gref) == GNTST_okay);
    CHECK(!memcmp(a, c, 4096) && entry(0, 1)->flags == (GTF_permit_access | GTF_readonly));
    CHECK(copy(1, by_ref(3, 2, 0), by_ref(1, 1, 0), 1, GNTCOPY_source_gref | GNTCOPY_dest_gref) == GNTST_general_error);
    CHECK(copy(1, by_gfn(DOMID_SELF, 2, 4000), by_gfn(DOMID_SELF, 2, 3990), 90, 0) == GNTST_okay && b[3990] == 1);
    CHECK(copy(1, by_gfn(2, 2, 0), by_gfn(DOMID_SELF, 2, 0), 1, 0) == GNTST_permission_denied);
    CHECK(copy(1, by_gfn(DOMID_SELF, 2, 0), by_gfn(1, 2, 0), 1, 0) == GNTST_permission_denied);
    CHECK(copy(1, by_gfn(DOMID_SELF, 2, 1), by_gfn(DOMID_SELF, 2, 0), 4096, 0) == GNTST_bad_copy_arg);
    CHECK(copy(1, by_gfn(DOMID_SELF, 2, 0), by_gfn(DOMID_SELF, 2, 65535), 65535, 0) == GNTST_bad_copy_arg);
    CHECK(copy(1, by_gfn(DOMID_SELF, 300, 0), by_gfn(DOMID_SELF, 2, 0), 1, 0) == GNTST_bad_page);
    CHECK(copy(1, by_ref(7, 1, 0), by_gfn(DOMID_SELF, 2, 0), 1, GNTCOPY_source_gref) == GNTST_bad_domain);
    CHECK(copy(1, by_ref(1, 4000, 0), by_gfn(DOMID_SELF, 2, 0), 1, GNTCOPY_source_gref) == GNTST_bad_gntref);
    give(1, 9, 2, 4, 0);
    CHECK(copy(1, by_ref(DOMID_SELF, 9, 0), by_gfn(DOMID_SELF, 2, 0), 8, GNTCOPY_source_gref) == GNTST_okay &&
          b[0] == 68);
    domains_free();
}

/* --- threads
 * ------------------------------------------------------------------------------------------------------------ */

static _Atomic bool stop;
static _Atomic unsigned mapped;

/* The granter turns entries 0 to 3 off and on as the ABI says (an entry in use cannot be ended), and scribbles on 4
 * to 7. */
static void *granter(void *data)
{
    for (unsigned i = 0; !stop; i++) {
        struct grant_entry_v1 *e = entry(0, i % 8);
        if (i % 8 >= 4) {
            give(0, i % 8, 1 + i / 8 % 3, i / 8 % 70, i / 16 % 8);
            continue;
        }
        uint16_t flags = load_relaxed((_Atomic uint16_t *)&e->flags);
        if (!(flags & (GTF_reading | GTF_writing)) &&
            atomic_compare_exchange_strong((_Atomic uint16_t *)&e->flags, &flags, 0)) {
            CHECK(frame_refs(map[0][i % 8].m) >= 1); /* ended; and begun again */
            store_release((_Atomic uint16_t *)&e->flags, GTF_permit_access);
        }
        sched_yield();
    }
    return NULL;
}

static void *mapper(void *data)
{
    uint32_t h, guess = 0;
    uint64_t at = 100 + (uintptr_t)data * 40;
    for (unsigned i = 0; i < 3000; i++) {
        uint64_t mine = at + i % 8;
        if (map_ref(1, 1, i % 8, mine, i % 3 ? RW : RO, &h) == GNTST_okay) {
            mapped++;
            if (i % 64 < 63)
                (void)unmap(1, h, mine);
        }
        guess = (guess + 1) % 64;
        (void)unmap(1, guess, at + i % 8);
        (void)copy(1, by_ref(1, i % 8, 0), by_gfn(DOMID_SELF, 1, 0), 4096, GNTCOPY_source_gref);
        (void)copy(1, by_gfn(DOMID_SELF, 1, 0), by_ref(1, i % 8, 0), 64, GNTCOPY_dest_gref);
    }
    return NULL;
}

static void test_races(void)
{
    pthread_t t[4];
    domains_make();
    stop = false;
    for (unsigned ref = 0; ref < 4; ref++)
        give(0, ref, 2, ref, 0);
    CHECK(pthread_create(&t[0], NULL, granter, NULL) == 0);
    for (uintptr_t i = 1; i < 3; i++)
        CHECK(pthread_create(&t[i], NULL, mapper, (void *)i) == 0);
    for (unsigned i = 1; i < 3; i++)
        pthread_join(t[i], NULL);
    stop = true;
    pthread_join(t[0], NULL);
    CHECK(mapped > 100);
    domains_free();
}

int main(void)
{
    fake_metal_init(64);
    struct frame_stats before, after;
    test_map();
    frame_stats(&before);
    test_table();
    test_copy();
    test_races();
    frame_stats(&after);
    CHECK(after.free == before.free);
    return 0;
}
