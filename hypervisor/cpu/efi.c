/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * EFI runtime services, called on page tables of their own: the firmware's ranges one to one and,
 * from the loader's tables, nothing else below; the hypervisor above. Firmware runs with interrupts off and reaches no
 * RAM but its own and the hypervisor's image, stack and buffers.
 *
 * Lock: runtime_lock; one call at a time (8.1).
 */
#include "cpu.h"
#include "x86.h"

#include "../hvm/hvm.h"

#include <hv/efi.h>
#include <hv/frame.h>
#include <hv/lib.h>
#include <hv/log.h>
#include <hv/metal.h>

#define RUNTIME_SIGNATURE 0x56524553544e5552ull /* "RUNTSERV" */
#define ATTRIBUTE_RUNTIME BIT(63)

static uint32_t revision;
static uint64_t *root;
static uint64_t saved_cr3, saved_cr4;
static spinlock_t runtime_lock = SPINLOCK(LOCK_CONSOLE - 3);

static bool map_firmware(void)
{
    for (const struct boot_range *r = hv_ranges; r < hv_ranges_end; r++) {
        bool device = r->kind == BOOT_MMIO;
        if (r->efi_attributes & ATTRIBUTE_RUNTIME && !paging_map(ptr_paddr(root), r->start, r->start, r->end - r->start,
                                                                 PTE_P | PTE_W | (device ? PTE_UNCACHED : 0)))
            return false;
    }
    return true;
}

void efi_init(void)
{
    if (!hv_bootinfo->efi_runtime_services)
        return;
    const struct efi_services *services = paddr_ptr(hv_bootinfo->efi_runtime_services);
    root = page_alloc();
    if (services->signature == RUNTIME_SIGNATURE && root && map_firmware())
        revision = services->revision;
    else
        log_line("EFI runtime services cannot be used; variables are out of reach.");
}

uint32_t efi_runtime_revision(void) { return revision; }

/* The firmware's pages have no business with SMEP, SMAP or global entries of ours. */
const struct efi_services *efi_enter(void)
{
    spin_lock(&runtime_lock);
    /* The firmware may use vector registers; the guest's are in there. */
    if (this_cpu()->current)
        vcpu_unload(this_cpu()->current);
    saved_cr3 = read_cr3();
    saved_cr4 = read_cr4();
    const uint64_t *ours = paddr_ptr(saved_cr3 & PAGE_MASK);
    for (unsigned i = 256; i < 512; i++)
        root[i] = ours[i];
    write_cr4(saved_cr4 & ~(CR4_SMEP | CR4_SMAP));
    write_cr3(ptr_paddr(root));
    return (const struct efi_services *)hv_bootinfo->efi_runtime_services; /* as the firmware sees it */
}

uint64_t efi_leave(uint64_t status)
{
    irq_off();
    write_cr3(saved_cr3);
    write_cr4(saved_cr4);
    if (this_cpu()->current)
        vcpu_load(this_cpu()->current);
    spin_unlock(&runtime_lock);
    return status;
}
