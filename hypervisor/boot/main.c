/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hv_main(): everything that happens between the loader's jump and the first instruction of the control domain, in
 * order. */
#include "../cpu/apic.h"
#include <hv/board.h>
#include "../cpu/cpu.h"
#include "../cpu/x86.h"
#include "../hvm/hvm.h"

#include <hv/domain.h>
#include <hv/frame.h>
#include <hv/iommu.h>
#include <hv/lib.h>
#include <hv/log.h>
#include <hv/machine.h>
#include <hv/metal.h>
#include <hv/ops.h>
#include <hv/sched.h>

extern const struct hv_ops svm_ops;
const struct hv_ops *hv;

static void read_features(void)
{
    struct cpuid_result one = cpuid(1, 0), top = cpuid(0x80000000, 0), seven = cpuid(7, 0), ext = cpuid(0x80000001, 0);
    hv_features.x2apic = one.ecx & BIT(21);
    hv_features.xsave = one.ecx & BIT(26);
    hv_features.smep = cpuid(0, 0).eax >= 7 && seven.ebx & BIT(7);
    hv_features.smap = cpuid(0, 0).eax >= 7 && seven.ebx & BIT(20);
    hv_features.gigabyte_pages = ext.edx & BIT(26);
    hv_features.rdtscp = ext.edx & BIT(27);
    hv_features.ibpb = top.eax >= 0x80000008 && cpuid(0x80000008, 0).ebx & BIT(12);
    hv_machine.physical_bits = top.eax >= 0x80000008 ? cpuid(0x80000008, 0).eax & 0xff : 36;
    /* What switch.c has room for: x87, SSE, AVX. */
    hv_features.xcr0 = hv_features.xsave ? cpuid(0xd, 0).eax & 7 : 0;
}

/* The machine's memory as INT 15h would tell it, for tools and the control domain's map. */
static void read_memory_map(void)
{
    static struct e820entry map[E820_MAX];
    static const uint8_t types[] = {
        [BOOT_RAM] = 1,          [BOOT_LOADER] = 1,   [BOOT_ACPI] = 3, [BOOT_ACPI_NVS] = 4, [BOOT_RUNTIME_CODE] = 2,
        [BOOT_RUNTIME_DATA] = 2, [BOOT_RESERVED] = 2, [BOOT_MMIO] = 2, [BOOT_UNUSABLE] = 5, [BOOT_PERSISTENT] = 7,
    };
    unsigned count = 0;
    for (const struct boot_range *r = hv_ranges; r < hv_ranges_end; r++) {
        uint8_t type = r->kind < ARRAY_SIZE(types) ? types[r->kind] : 2;
        struct e820entry *last = count ? &map[count - 1] : NULL;
        if (type == 1)
            hv_machine.max_page = MAX(hv_machine.max_page, r->end >> PAGE_SHIFT);
        if (last && last->type == type && last->addr + last->size == r->start)
            last->size += r->end - r->start;
        else if (count < E820_MAX)
            map[count++] = (struct e820entry){ r->start, r->end - r->start, type };
    }
    hv_machine.e820 = map;
    hv_machine.nr_e820 = count;
}

static void choose_vendor(void)
{
    struct cpuid_result ext = cpuid(0x80000001, 0);
    if (!(ext.ecx & BIT(2)) || !(cpuid(0x8000000a, 0).edx & 1))
        panic("This processor has no AMD-V (SVM) with nested paging.");
    hv = &svm_ops;
    npt_init(hv_features.gigabyte_pages);
    if (hv->cpu_on())
        panic("%s cannot be switched on.", hv->name);
    hv_cpus[0]->online = true;
}

/* What the loader left: kernel, initrd and this information itself, but not the image. */
static void boot_free(void)
{
    uint64_t image = hv_bootinfo->image_start, image_end = image + ROUND_UP(hv_bootinfo->image_size, PAGE_SIZE);
    for (const struct boot_range *r = hv_ranges; r < hv_ranges_end; r++) {
        if (r->kind != BOOT_LOADER)
            continue;
        if ((image > r->start && frame_add_ram(r->start, MIN(image, r->end))) ||
            (image_end < r->end && frame_add_ram(MAX(image_end, r->start), r->end)))
            log_line("Memory of the loader's from %lx to %lx is lost: too many pieces.", r->start, r->end);
    }
}

noreturn void hv_main(const struct bootinfo *info);
noreturn void hv_main(const struct bootinfo *info)
{
    uint64_t entered = rdtsc();
    struct cpu *c = cpu_alloc(0, 0);
    wrmsr(MSR_GS_BASE, (uint64_t)c);
    hv_bootinfo = paddr_ptr((paddr_t)info);
    hv_ranges = paddr_ptr(info->ranges);
    hv_ranges_end = hv_ranges + info->nr_ranges;
    str_copy(hv_machine.command_line, paddr_ptr(info->hypervisor_command_line), sizeof(hv_machine.command_line));
    console_init(hv_machine.command_line);
    log_line("Bulkhead hypervisor %s at %lx, loaded by bulkhead.efi", HV_VERSION, info->image_start);
    read_features();
    paging_init();
    traps_init(c);
    c->stack_top = stack_alloc();
    smp_reserve();
    read_memory_map();
    board_init(hv_bootinfo->rsdp);
    clock_init();
    apic_init();
    c->apic_id = apic_id();
    pci_init();
    choose_vendor();
    iommu_init();
    irq_init(hv_machine.nr_cpus);
    efi_init();
    sched_init(hv_machine.nr_cpus);
    smp_start();
    log_line("%u processors, %s, interrupts and DMA %s", hv_nr_cpus, hv->name,
             iommu_remaps_interrupts() ? "remapped"
             : iommu_present()         ? "confined, interrupts not remapped"
                                       : "not confined: no IOMMU");
    hv_control_domain = dom0_build(hv_bootinfo, hv_machine.command_line);
    boot_free();
    console_enable_input();
    log_line("The control domain starts, %lu thousand ticks after the hypervisor.", (rdtsc() - entered) / 1000);
    dom0_start(hv_control_domain);
    /* On a stack with a hole below, which the boot stack has not. */
    __asm__ volatile("mov %0, %%rsp; xor %%ebp, %%ebp; call *%1" : : "r"(c->stack_top), "r"(vcpu_loop) : "memory");
    __builtin_unreachable();
}
