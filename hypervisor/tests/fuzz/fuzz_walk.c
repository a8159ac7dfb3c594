/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sources: hypercall/copy.c */
/* Any page tables in 256 KiB of guest memory, any control registers: walks end, and copies stay within that memory. */
#include "fake_metal.h"

#include <hv/domain.h>
#include <hv/frame.h>
#include <hv/hypercall.h>
#include <hv/ops.h>
#include <string.h>

#define RAM KIB(256)
static struct domain domain;
static struct vcpu vcpu = { .domain = &domain };
static struct vcpu_paging paging;
static uint8_t ram[RAM] __attribute__((aligned(4096)));

struct p2m_entry p2m_lookup(const struct p2m *p, gfn_t g)
{
    bool is_ram = g.n < RAM >> PAGE_SHIFT;
    return (
        struct p2m_entry){ .mfn = is_ram ? mfn(g.n) : INVALID_MFN, .type = is_ram ? P2M_RAM : P2M_NONE, .order = 0 };
}
mfn_t p2m_get_frame(struct p2m *p, gfn_t g, bool write, bool grants)
{
    return g.n < RAM >> PAGE_SHIFT ? mfn(g.n) : INVALID_MFN;
}
void frame_put(mfn_t m) {}
static void get_paging(const struct vcpu *v, struct vcpu_paging *p) { *p = paging; }
static void get_state(const struct vcpu *v, struct vcpu_state *s) { memset(s, 0, sizeof *s); }
static const struct hv_ops ops = { .paging = get_paging, .state_get = get_state };
const struct hv_ops *hv = &ops;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct {
        uint64_t cr3, linear, flags;
    } in;
    if (size < sizeof in)
        return 0;
    memcpy(&in, data, sizeof in);
    memset(ram, 0, sizeof ram);
    for (size_t i = sizeof in; i + 10 <= size; i += 10) /* an index and an entry */
        memcpy(ram + (data[i] | data[i + 1] << 8) % (RAM / 8) * 8, data + i + 2, 8);
    hv_direct_map = (uintptr_t)ram;
    paging = (struct vcpu_paging){ .cr0 = (in.flags & 1 ? BIT(31) : 0) | BIT(16),
                                   .cr3 = in.cr3,
                                   .cr4 = in.flags & 0x300030,
                                   .efer = BIT(11),
                                   .cpl = in.flags & 3,
                                   .long_mode = in.flags & 2,
                                   .code64 = (in.flags & 6) == 6 };
    gpa_t gpa;
    uint32_t error;
    uint8_t buffer[600], bytes[15];
    enum walk_fault f;
    vcpu.walked.levels = 0; /* other memory than the last time */
    guest_walk(&vcpu, in.linear, in.flags & 7, &gpa, &error);
    if (guest_read(&vcpu, buffer, in.linear, sizeof buffer) == 0 &&
        guest_write(&vcpu, in.linear + 1, buffer, sizeof buffer))
        return 0;
    vcpu.regs.rip = in.linear;
    CHECK(guest_fetch(&vcpu, bytes, &f, &error) <= 15);
    guest_code_page(&vcpu);
    if (vcpu.code.bytes) {
        unsigned access = WALK_FETCH | (paging.cpl == 3 ? WALK_USER : 0);
        CHECK(guest_walk(&vcpu, in.linear, access, &gpa, &error) == WALK_OK &&
              vcpu.code.bytes + (in.linear & ~PAGE_MASK) == ram + gpa);
        CHECK(vcpu.code.walk.levels && vcpu.code.walk.levels <= 4);
    }
    return guest_write_phys(&domain, in.cr3, buffer, MIN(sizeof buffer, PAGE_SIZE - in.cr3 % PAGE_SIZE)) * 0;
}
