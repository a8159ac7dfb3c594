/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What hypercalls reach that is not a pure room of theirs: the vendor's operations, devices, firmware. For
 * test_doors.c, test_domain.c and fuzz_doors_host.c, which link the real doors, domains, frames, p2m, event channels
 * and grants.
 */
#pragma once

#include <stdlib.h>
#include <string.h>

#include "fake_metal.h"

#include <hv/log.h>
#include <hv/domain.h>
#include <hv/efi.h>
#include <hv/frame.h>
#include <hv/hypercall.h>
#include <hv/iommu.h>
#include <hv/irq.h>
#include <hv/machine.h>
#include <hv/ops.h>
#include <hv/policy.h>
#include <hv/sched.h>
#include <hv/vdev.h>

#include "../hvm/hvm.h"

#ifndef GUEST_PAGES
#define GUEST_PAGES 4096 /* 16 MiB of RAM from gfn 0 */
#endif
#define PML4 0x10ull /* frames of the identity page tables */
#define PDPT 0x11ull

static struct vcpu_paging fake_mode = {
    .cr0 = 0x80000001, .cr3 = PML4 << 12, .cr4 = 0x20, .efer = 0x500, .long_mode = true, .code64 = true
};
static struct vcpu_state fake_state;
static int fake_lapic = -1, fake_ended = -1, fake_slept;
static char fake_console[4096];
static size_t fake_console_used;
static unsigned fake_devices, fake_keys;

static int fake_vcpu_init(struct vcpu *v) { return 0; }
static void fake_vcpu_free(struct vcpu *v) {}
static void fake_paging(const struct vcpu *v, struct vcpu_paging *p) { *p = fake_mode; }
static void fake_state_get(const struct vcpu *v, struct vcpu_state *s) { *s = fake_state; }
static void fake_state_put(struct vcpu *v, const struct vcpu_state *s) { fake_state = *s; }
static void fake_end_shadow(struct vcpu *v) {}
static void fake_dump(const struct vcpu *v) {}

static const struct hv_ops fake_ops = { .name = "fake",
                                        .codec = &npt_codec,
                                        .vcpu_init = fake_vcpu_init,
                                        .vcpu_free = fake_vcpu_free,
                                        .state_get = fake_state_get,
                                        .state_put = fake_state_put,
                                        .paging = fake_paging,
                                        .end_shadow = fake_end_shadow,
                                        .dump = fake_dump };
const struct hv_ops *hv = &fake_ops;
static struct bootinfo fake_info = { .efi_revision = 0x20046, .efi_vendor_revision = 7 };
const struct bootinfo *hv_bootinfo = &fake_info;

uint64_t clock_tsc_start(void) { return 1000; }
void clock_scale(uint32_t *mul, int8_t *shift)
{
    *mul = 0x80000000; /* half a nanosecond a tick: 2 GHz */
    *shift = 0;
}
void metal_machine_end(uint32_t code) { fake_ended = code; }
int metal_enter_sleep(struct vcpu *v, uint8_t state, uint16_t pm1a, uint16_t pm1b)
{
    fake_slept = state;
    return 0;
}
__attribute__((weak)) void metal_reset_fpu(struct vcpu *v) {}

int vlapic_init(struct vcpu *v) { return 0; }
void vlapic_free(struct vcpu *v) {}
int vlapic_pending(struct vcpu *v) { return fake_lapic; }
uint64_t vlapic_next(const struct vcpu *v) { return ~0ull; }
void vlapic_tick(struct vcpu *v, uint64_t now) {}
__attribute__((weak)) void vlapic_accept(struct vcpu *v, uint8_t vector, bool level) {}
int vpci_add_device(struct domain *d, uint32_t sbdf)
{
    if (metal_pci_read(sbdf, 0, 2) == 0xffff)
        return -ENODEV;
    fake_devices++;
    return 0;
}
int vpci_remove_device(struct domain *d, uint32_t sbdf)
{
    fake_devices--;
    return 0;
}
unsigned irq_nr_gsis(void) { return 24; }
__attribute__((weak)) int irq_bind_gsi(unsigned gsi, bool level, bool low, unsigned vcpu) { return 0; }
void policy_free(struct domain *d) {}
void policy_cpuid(struct vcpu *v, uint32_t leaf, uint32_t subleaf, struct cpuid_regs *out)
{
    *out = (struct cpuid_regs){ 0 };
    if (leaf == 0)
        out->eax = 0xd;
    else if (leaf == 0x40000000 || leaf == 0x80000000)
        out->eax = leaf + 5;
    else if (leaf == 1)
        out->edx = 0x1783fbff;
}
__attribute__((weak)) void policy_vcpu_init(struct vcpu *v) {}
bool iommu_present(void) { return true; }

void console_guest_write(struct domain *d, const char *text, size_t length)
{
    length = MIN(length, sizeof(fake_console) - fake_console_used);
    memcpy(fake_console + fake_console_used, text, length);
    fake_console_used += length;
}
size_t console_read(char *to, size_t size)
{
    memcpy(to, "typed", MIN(size, 5));
    return MIN(size, 5);
}
size_t log_ring_read(char *to, size_t size, uint32_t *index, bool clear, bool incremental)
{
    uint32_t at = incremental ? MIN(*index, 1000u) : 0;
    size_t count = MIN(size, 1000 - at);
    memset(to, 'l', count);
    *index = at + count;
    return count;
}
void console_debug_key(char key) { fake_keys++; }

static uint64_t efi_api fake_efi_get_variable(const uint16_t *name, const struct efi_guid *vendor, uint32_t *attributes,
                                              uint64_t *size, void *data)
{
    if (*size < 4) {
        *size = 4;
        return BIT(63) | 5; /* EFI_BUFFER_TOO_SMALL */
    }
    *size = 4;
    *attributes = 7;
    memcpy(data, "var", 4);
    return EFI_SUCCESS;
}
static uint64_t efi_api fake_efi_set_variable(const uint16_t *name, const struct efi_guid *vendor, uint32_t attributes,
                                              uint64_t size, const void *data)
{
    unsigned sum = 0;
    for (uint64_t i = 0; i < size; i++)
        sum += ((const uint8_t *)data)[i]; /* touches all of it */
    return sum == 1 ? EFI_UNSUPPORTED : EFI_SUCCESS;
}
static uint64_t efi_api fake_efi_next_variable(uint64_t *size, uint16_t *name, struct efi_guid *vendor)
{
    if (*size < 4)
        return BIT(63) | 5;
    *size = 4;
    name[0] = 'N';
    name[1] = 0;
    return EFI_SUCCESS;
}
static uint64_t efi_api fake_efi_query_variable_info(uint32_t attributes, uint64_t *storage, uint64_t *remaining,
                                                     uint64_t *max_size)
{
    return EFI_SUCCESS;
}
static const struct efi_services fake_efi = { .get_variable = fake_efi_get_variable,
                                              .next_variable = fake_efi_next_variable,
                                              .set_variable = fake_efi_set_variable,
                                              .query_variable_info = fake_efi_query_variable_info };
uint32_t efi_runtime_revision(void) { return 0x20046; }
const struct efi_services *efi_enter(void) { return &fake_efi; }
uint64_t efi_leave(uint64_t status) { return status; }
/* --- a control domain with RAM and identity page tables
 * ----------------------------------------------------------------- */

static uint8_t *guest(uint64_t gpa)
{
    struct p2m_entry e = p2m_lookup(&hv_control_domain->p2m, gpa_gfn(gpa));
    CHECK(mfn_valid(e.mfn));
    return (uint8_t *)mfn_ptr(e.mfn) + gpa % PAGE_SIZE;
}

static void fake_ram(struct domain *d, uint64_t pages)
{
    for (uint64_t g = 0; g < pages; g++) {
        mfn_t m = frame_alloc(0, d->id);
        CHECK(mfn_valid(m));
        memset(mfn_ptr(m), 0, PAGE_SIZE);
        CHECK(!p2m_map(&d->p2m, gfn(g), m, 1, P2M_RAM));
    }
}

static void fake_control_domain(unsigned vcpus)
{
    sched_init(fake_nr_cpus);
    hv_control_domain = domain_create(0, vcpus);
    CHECK(hv_control_domain);
    struct domain *d = hv_control_domain;
    d->control = true;
    fake_ram(d, GUEST_PAGES);
    uint64_t *pml4 = (void *)guest(PML4 << 12), *pdpt = (void *)guest(PDPT << 12);
    pml4[0] = PDPT << 12 | 7;
    for (unsigned i = 0; i < 4; i++)
        pdpt[i] = GIB(i) | 0x87;
    fake_info.efi_vendor = ptr_paddr(u"edk");
    hv_machine.max_page = 0xffff;
    strcpy(hv_machine.command_line, "console=com1");
    hv_machine.cpu[0].acpi_id = 1;
    hv_machine.cpu[1].acpi_id = 2;
    d->vcpu[0]->initialised = true;
    vcpu_wake(d->vcpu[0], BLOCK_DOWN);
    CHECK(sched_pick(0, NULL, metal_now()) == d->vcpu[0]);
    fake_cpu = 0;
}
