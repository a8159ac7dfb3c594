/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sources: hypercall/copy.c */
/* The walk of a guest's tables with each right, and copies over pages; guest memory is 16 MiB, 1:1.
 */
#include "fake_metal.h"

#include <hv/domain.h>
#include <hv/frame.h>
#include <hv/hypercall.h>
#include <hv/ops.h>
#include <string.h>

#define RAM MIB(16)
#define P 1ull
#define W 2ull
#define U 4ull
#define PS 0x80ull
#define NX BIT(63)

static struct domain domain;
static struct vcpu vcpu = { .domain = &domain };
static struct vcpu_paging paging;
static struct vcpu_state state;
static int references;

struct p2m_entry p2m_lookup(const struct p2m *p, gfn_t g)
{
    bool ram = g.n < RAM >> PAGE_SHIFT;
    return (struct p2m_entry){ .mfn = ram ? mfn(g.n) : INVALID_MFN, .type = ram ? P2M_RAM : P2M_NONE, .order = 9 };
}
mfn_t p2m_get_frame(struct p2m *p, gfn_t g, bool write, bool grants)
{
    if (g.n >= RAM >> PAGE_SHIFT)
        return INVALID_MFN;
    references++;
    return mfn(g.n);
}
void frame_put(mfn_t m) { references--; }
static void get_paging(const struct vcpu *v, struct vcpu_paging *p) { *p = paging; }
static void get_state(const struct vcpu *v, struct vcpu_state *s) { *s = state; }
static const struct hv_ops ops = { .paging = get_paging, .state_get = get_state };
const struct hv_ops *hv = &ops;

static gpa_t gpa;
static uint32_t error;
static enum walk_fault walk(uint64_t linear, unsigned access)
{
    return guest_walk(&vcpu, linear, access, &gpa, &error);
}
static void put(gpa_t table, unsigned index, uint64_t entry) { ((uint64_t *)paddr_ptr(table))[index] = entry; }

static void test_long(void)
{
    paging = (struct vcpu_paging){
        .cr0 = BIT(31) | BIT(16), .cr3 = 0x1000, .cr4 = BIT(5), .efer = BIT(11), .long_mode = true, .code64 = true
    };
    put(0x1000, 511, 0x2000 | P | W | U);
    put(0x2000, 510, 0x3000 | P | W | U);
    put(0x2000, 509, GIB(0) | P | W | PS);
    put(0x2000, 508, 0x2000 | P | PS); /* misaligned */
    put(0x3000, 0, MIB(2) | P | W | PS);
    put(0x3000, 1, 0x4000 | P | W | U);
    put(0x4000, 0, 0x9000 | P | U);
    put(0x4000, 1, 0x6000 | P | W | U | NX);
    put(0x4000, 2, GIB(1) | P | W);
    put(0x4000, 3, 0x7000 | P | W);
    put(0x3000, 2, GIB(4) | P | W);
    uint64_t k = 0xffffffff80000000, s = k + MIB(2);
    CHECK(walk(k + 0x12345, WALK_WRITE) == WALK_OK && gpa == MIB(2) + 0x12345);
    CHECK(walk(k, WALK_USER) == WALK_DENIED && error == 5);
    CHECK(walk(k - GIB(1) + 0x123456, WALK_READ) == WALK_OK && gpa == 0x123456);
    CHECK(walk(k - GIB(2), WALK_READ) == WALK_DENIED && error == 9);
    CHECK(walk(s + 5, WALK_USER) == WALK_OK && gpa == 0x9005);
    CHECK(walk(s, WALK_WRITE) == WALK_DENIED && error == 3);
    CHECK(walk(s, WALK_USER | WALK_WRITE) == WALK_DENIED && error == 7);
    paging.cr0 &= ~BIT(16);
    CHECK(walk(s, WALK_WRITE) == WALK_OK && walk(s, WALK_USER | WALK_WRITE) == WALK_DENIED);
    paging.cr0 |= BIT(16);
    CHECK(walk(s + 0x1000, WALK_FETCH) == WALK_DENIED && error == 0x11);
    CHECK(walk(s + 0x1000, WALK_FETCH | WALK_USER) == WALK_DENIED && error == 0x15);
    paging.efer = 0; /* NX is reserved then */
    CHECK(walk(s + 0x1000, WALK_READ) == WALK_DENIED && error == 9);
    paging.efer = BIT(11);
    CHECK(walk(s, WALK_FETCH) == WALK_OK);
    paging.cr4 |= BIT(20);
    CHECK(walk(s, WALK_FETCH) == WALK_DENIED && walk(s, WALK_FETCH | WALK_USER) == WALK_OK);
    paging.cr4 |= BIT(21);
    CHECK(walk(s, WALK_READ) == WALK_DENIED && error == 1 && walk(s, WALK_USER) == WALK_OK);
    vcpu.regs.rflags = BIT(18);
    CHECK(walk(s, WALK_READ) == WALK_OK);
    CHECK(walk(k + MIB(4), WALK_READ) == WALK_NO_MEMORY);
    CHECK(walk(k + MIB(6), WALK_WRITE) == WALK_NOT_PRESENT && error == 2);
    CHECK(walk(0x800000000000, WALK_READ) == WALK_NOT_PRESENT && walk(0x7fffffffffff, WALK_READ) == WALK_NOT_PRESENT);

    char buffer[8192], back[8192];
    memset(buffer, 7, sizeof buffer);
    put(0x4000, 4, 0xa000 | P | W);
    CHECK(guest_write(&vcpu, s + 0x3ff0, buffer, 32) == 0);
    CHECK(((char *)paddr_ptr(0x7fff))[0] == 7 && ((char *)paddr_ptr(0xa00f))[0] == 7 &&
          ((char *)paddr_ptr(0xa010))[0] == 0);
    CHECK(guest_read(&vcpu, back, s + 0x3ff0, 32) == 0 && !memcmp(back, buffer, 32));
    CHECK(guest_write(&vcpu, s + 0x4ff0, buffer, 32) == -EFAULT && guest_read(&vcpu, back, s + 0x2000, 1) == -EFAULT);
    CHECK(guest_read(&vcpu, back, ~0ull - 3, 8) == -EFAULT && guest_read(&vcpu, back, 5, 0) == 0);
    CHECK(guest_write_phys(&domain, 0xbff0, buffer, 16) == 0 && ((char *)paddr_ptr(0xbfff))[0] == 7);
    CHECK(guest_write_phys(&domain, RAM, buffer, 8) == -EFAULT &&
          guest_write_phys(&domain, ~0ull - 15, buffer, 8) == -EFAULT);

    uint8_t bytes[15];
    enum walk_fault f;
    paging.cr4 = BIT(5);
    vcpu.regs.rip = k + 0x100;
    CHECK(guest_fetch(&vcpu, bytes, &f, &error) == 15 && f == WALK_OK);
    guest_code_page(&vcpu);
    CHECK(vcpu.code.bytes == paddr_ptr(MIB(2)) && vcpu.code.walk.levels == 3 && vcpu.code.walk.page == k >> PAGE_SHIFT);
    vcpu.regs.rip = s + 5;
    guest_code_page(&vcpu);
    CHECK(vcpu.code.bytes == paddr_ptr(0x9000) && vcpu.code.walk.levels == 4 &&
          vcpu.code.walk.value[3] == (0x9000 | P | U));
    vcpu.regs.rip = s + 0x2000; /* no memory */
    guest_code_page(&vcpu);
    CHECK(!vcpu.code.bytes);
    vcpu.regs.rip = s + 0x4ffb; /* the next page is not there */
    CHECK(guest_fetch(&vcpu, bytes, &f, &error) == 5 && f == WALK_OK);
    vcpu.regs.rip = s + 0x3ffb;
    CHECK(guest_fetch(&vcpu, bytes, &f, &error) == 15 && bytes[0] == 7);
    vcpu.regs.rip = s + 0x5000;
    CHECK(guest_fetch(&vcpu, bytes, &f, &error) == 0 && f == WALK_NOT_PRESENT && error == 0x10);
    paging.cpl = 3;
    vcpu.regs.rip = k;
    CHECK(guest_fetch(&vcpu, bytes, &f, &error) == 0 && f == WALK_DENIED && error == 0x15);
}

/* The walk of the last copy is used again only while each entry it went through, CR3 and EFER are the same. */
static void test_memory_of_walks(void)
{
    uint64_t at = 0xffffffff80000000 + MIB(2), byte;
    paging.cpl = 0;
    vcpu.walked.levels = 0;
    put(0x4000, 0, 0x9000 | P | W);
    for (unsigned i = 0; i < 8; i++)
        *(uint64_t *)paddr_ptr(0x9000 + i * PAGE_SIZE) = i;
    CHECK(!guest_read(&vcpu, &byte, at, 8) && byte == 0 && vcpu.walked.levels == 4);
    put(0x4000, 0, 0xb000 | P);
    CHECK(!guest_read(&vcpu, &byte, at, 8) && byte == 2); /* the leaf changed */
    CHECK(guest_write(&vcpu, at, &byte, 8) == -EFAULT);   /* remembered or not, it is read-only */
    put(0x5000, 0, 0xc000 | P | W);
    CHECK(!guest_read(&vcpu, &byte, at, 8) && byte == 2);
    put(0x3000, 1, 0x5000 | P | W);
    CHECK(!guest_read(&vcpu, &byte, at, 8) && byte == 3); /* another table */
    CHECK(!guest_write(&vcpu, at, &(uint64_t){ 9 }, 8) && !guest_read(&vcpu, &byte, at, 8) && byte == 9);
    memcpy(paddr_ptr(0xf000), paddr_ptr(0x1000), PAGE_SIZE);
    paging.cr3 = 0xf000;
    put(0x1000, 511, 0);
    CHECK(!guest_read(&vcpu, &byte, at, 8) && byte == 9);
    paging.cr3 = 0x1000;
    CHECK(guest_read(&vcpu, &byte, at, 8) == -EFAULT && vcpu.walked.levels == 0);
    paging.cr3 = 0xf000;
    put(0x5000, 0, 0xc000 | P | W | NX);
    CHECK(!guest_read(&vcpu, &byte, at, 8));
    paging.efer = 0; /* NX is a reserved bit now */
    CHECK(guest_read(&vcpu, &byte, at, 8) == -EFAULT);
    paging.efer = BIT(11);
    paging.cr3 = 0x1000;
    put(0x1000, 511, 0x2000 | P | W | U);
    CHECK(!guest_read(&vcpu, &byte, at - MIB(2) + 0x12345, 1) && vcpu.walked.levels == 3); /* a large page */
    paging.cr4 |= BIT(21);
    vcpu.regs.rflags = 0;
    put(0x3000, 0, MIB(2) | P | W | U | PS);
    CHECK(guest_read(&vcpu, &byte, at - MIB(2), 1) == -EFAULT); /* the supervisor keeps out of user pages */
    vcpu.regs.rflags = BIT(18);
    CHECK(!guest_read(&vcpu, &byte, at - MIB(2), 1));
}

static void test_others(void)
{
    memset(paddr_ptr(0), 0, MIB(1));
    paging = (struct vcpu_paging){ .cr0 = BIT(31) | BIT(16), .cr3 = 0x1000, .cr4 = BIT(5) };
    CHECK(walk(0, WALK_READ) == WALK_NO_MEMORY); /* 32-bit paging is not walked */
    paging.cr0 = 0;
    CHECK(walk(0x112345678, WALK_WRITE) == WALK_OK && gpa == 0x12345678);
    uint8_t bytes[15];
    enum walk_fault f;
    memset(paddr_ptr(0xf0010), 0x90, 15);
    state.seg[SEG_CS].base = 0xf0000;
    vcpu.regs.rip = 0x10;
    paging.cpl = 0;
    CHECK(guest_fetch(&vcpu, bytes, &f, &error) == 15 && bytes[14] == 0x90);
}

int main(void)
{
    fake_metal_init(16);
    test_long();
    test_memory_of_walks();
    test_others();
    CHECK(references == 0);
    return 0;
}
