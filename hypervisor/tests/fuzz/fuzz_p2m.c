/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sources: mem/p2m.c mem/frame.c hvm/npt.c */
/* Maps, unmaps and lookups as the input says, beside a plain array; at the end every reference is back. */
#include "fake_metal.h"

#include "../../hvm/hvm.h"
#include <hv/domain.h>
#include <hv/frame.h>

#define SPACE 2048 /* gfns BASE .. BASE + SPACE - 1, and as many frames of RAM */
#define BASE ((1ull << 18) - 1024)

static bool forget(void) { return true; }

/* What devices see: small pages as firmware may have it, a pattern where there is nothing. */
static uint8_t largest;
static const struct p2m_codec device_codec = {
    .rights = { [P2M_RAM] = 7, [P2M_RAM_RO] = 5 },
    .empty = 1 << 9,
    .table = 7,
    .table_level = 1 << 9,
    .present = 1,
    .large = BIT(7),
    .type_shift = 52,
    .largest = &largest,
    .flush = forget,
};
static struct p2m devices;

static struct domain dom = { .id = 4 };
static struct {
    uint64_t m;
    enum p2m_type type;
} model[SPACE];
static mfn_t ram;

static void check(uint64_t from, uint64_t count)
{
    for (uint64_t i = from; i < from + count; i++) {
        struct p2m_entry e = p2m_lookup(&dom.p2m, gfn(BASE + i));
        CHECK(e.type == model[i].type && (e.type == P2M_NONE ? !mfn_valid(e.mfn) : e.mfn.n == model[i].m));
        e = p2m_lookup(&devices, gfn(BASE + i));
        bool seen = model[i].type == P2M_RAM || model[i].type == P2M_RAM_RO;
        CHECK(seen ? e.type == model[i].type && e.mfn.n == model[i].m : e.type == P2M_NONE);
    }
}

static void step(const uint8_t *b)
{
    uint64_t g = (b[1] | b[2] << 8) % SPACE, m = b[3] & 1 ? g : (b[3] * 37u + b[4]) % SPACE;
    unsigned order = b[0] % 12;
    g &= b[4] & 1 ? ~((1ull << order) - 1) : ~0ull;
    uint64_t count = MIN(MIN(1ull << order, SPACE - g), SPACE - m);
    enum p2m_type type = b[5] & 1 ? P2M_RAM : b[5] & 2 ? P2M_RAM_RO : P2M_MMIO;
    if (b[0] & 0x80) {
        while (g + (1ull << order) > SPACE)
            order--;
        CHECK(p2m_unmap(&dom.p2m, gfn(BASE + g), 1ull << order) == 0);
        count = 1ull << order;
        type = P2M_NONE;
    } else {
        for (uint64_t i = 0; i < count && type != P2M_MMIO; i++)
            CHECK(frame_get(mfn(ram.n + m + i), dom.id));
        CHECK(p2m_map(&dom.p2m, gfn(BASE + g), mfn(ram.n + m), count, type) == 0);
    }
    for (uint64_t i = 0; i < count; i++) {
        model[g + i].m = ram.n + m + i;
        model[g + i].type = type;
    }
    check(g, count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool ready;
    unsigned uses[SPACE] = { 0 };
    if (!ready) {
        fake_metal_init(128);
        ram = frame_alloc(11, dom.id);
        ready = true;
    }
    npt_init(size & 1);
    largest = 1 + size / 2 % 3;
    CHECK(p2m_init(&dom.p2m, &dom, &npt_codec) == 0 && p2m_init(&devices, NULL, &device_codec) == 0);
    dom.p2m.mirror = &devices;
    for (unsigned i = 0; i < SPACE; i++)
        model[i].type = P2M_NONE;
    for (; size >= 6; data += 6, size -= 6)
        step(data);
    check(0, SPACE);
    for (unsigned i = 0; i < SPACE; i++)
        if (model[i].type == P2M_RAM || model[i].type == P2M_RAM_RO)
            uses[model[i].m - ram.n]++;
    for (unsigned i = 0; i < SPACE; i++)
        CHECK(frame_refs(mfn(ram.n + i)) == 1 + uses[i]);
    while (size & 4 && p2m_clear(&dom.p2m, 7) == -ERESTART)
        ;
    p2m_free(&dom.p2m);
    p2m_free(&devices);
    for (unsigned i = 0; i < SPACE; i++)
        CHECK(frame_refs(mfn(ram.n + i)) == 1);
    CHECK(!dom.p2m.leaves[1] && !dom.p2m.leaves[2]);
    return 0;
}
