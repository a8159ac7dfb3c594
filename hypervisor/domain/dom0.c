/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Builds the control domain: memory, mapped one to one, so that what the firmware's tables say about addresses stays
 * true; the kernel, its initrd and start information; ACPI tables with its own processors; the hardware's ports,
 * registers and devices.
 *
 * Layout of what is ours in its memory: one block of TABLES_SIZE behind the kernel (in its memory map: ACPI data),
 * since an early kernel reaches only its first GiB; behind it the initrd. Runs once, before any other CPU runs a guest:
 * no locks.
 */
#include <hv/board.h>

#include <hv/acpi.h>
#include <hv/domain.h>
#include <hv/frame.h>
#include <hv/iommu.h>
#include <hv/irq.h>
#include <hv/lib.h>
#include <hv/log.h>
#include <hv/machine.h>
#include <hv/metal.h>
#include <hv/ops.h>
#include <hv/policy.h>
#include <hv/vdev.h>

#include <xen/arch-x86/hvm/start_info.h>
#include <xen/xen.h>

#define TABLES_SIZE KIB(64)
#define KEEP_MIN MIB(32)
#define LAPIC_PAGE 0xfee00ull

enum { E820_RAM = 1, E820_ACPI = 3 };

struct builder {
    const struct bootinfo *info;
    struct domain *d;
    paddr_t tables, initrd, start_info;
    uint64_t wanted;                 /* bytes of RAM */
    struct e820entry e820[E820_MAX]; /* its memory map, in rising order */
    unsigned nr_e820;
};

/* --- memory --------------------------------------------------------------------------------------------------------
 */

/* What is asked for, as far as it is there: the hypervisor's tables grow with it. */
static uint64_t memory_wanted(const char *options)
{
    struct frame_stats s;
    frame_stats(&s);
    uint64_t free = s.free << PAGE_SHIFT, keep = MIN(free, KEEP_MIN + free / 64), wanted;
    if (!option_size(options, "dom0_mem", &wanted))
        wanted = MIN(MAX(free / 2, GIB(1)), GIB(8));
    return ROUND_DOWN(MIN(wanted, free - keep), MIB(2));
}

static void add_e820(struct builder *b, uint64_t start, uint64_t end, uint32_t type)
{
    if (b->nr_e820 == E820_MAX)
        panic("The machine's memory map has more than %u pieces.", E820_MAX);
    unsigned at = b->nr_e820++;
    for (; at && b->e820[at - 1].addr > start; at--)
        b->e820[at] = b->e820[at - 1];
    b->e820[at] = (struct e820entry){ start, end - start, type };
}

/* Free RAM from the bottom up: devices with 32-bit addresses are the control domain's. */
static void take_memory(struct builder *b)
{
    struct domain *d = b->d;
    uint64_t left = b->wanted, at = 0, size;
    for (; left && (size = frame_claim(&at, left, d->id)); at += size, left -= size) {
        struct e820entry *last = &b->e820[b->nr_e820 - 1];
        if (b->nr_e820 && last->addr + last->size == at)
            last->size += size;
        else
            add_e820(b, at, at + size, E820_RAM);
    }
    for (struct e820entry *e = b->e820; e < b->e820 + b->nr_e820; e++)
        if (p2m_map(&d->p2m, gpa_gfn(e->addr), paddr_mfn(e->addr), e->size >> PAGE_SHIFT, P2M_RAM))
            panic("There is no memory left for the control domain's page tables.");
    d->max_pages = d->p2m.ram;
}

/* The first `size` bytes of its RAM from `from` on that end at or below `limit`; 0: there are none. */
static paddr_t find_ram(const struct builder *b, uint64_t size, paddr_t from, paddr_t limit)
{
    for (unsigned i = 0; i < b->nr_e820; i++) {
        const struct e820entry *e = &b->e820[i];
        uint64_t at = ROUND_UP(MAX(e->addr, from), PAGE_SIZE);
        if (e->type == E820_RAM && at + size <= MIN(e->addr + e->size, limit))
            return at;
    }
    return 0;
}

/* Everything that is not RAM is in its map as the firmware described it; the tables' block becomes ACPI data. */
static void finish_e820(struct builder *b)
{
    for (unsigned i = 0; i < hv_machine.nr_e820; i++) {
        const struct e820entry *e = &hv_machine.e820[i];
        if (e->type != E820_RAM)
            add_e820(b, e->addr, e->addr + e->size, e->type);
    }
    struct e820entry *e = b->e820;
    uint64_t after = b->tables + TABLES_SIZE;
    while (e->type != E820_RAM || e->addr + e->size <= b->tables)
        e++; /* find_ram() found them in one */
    uint64_t end = e->addr + e->size;
    e->size = b->tables - e->addr;
    add_e820(b, b->tables, after, E820_ACPI);
    if (after < end)
        add_e820(b, after, end, E820_RAM);
}

/* --- kernel, initrd, start information
 * --------------------------------------------------------------------------------- */

static void copy_kernel(struct builder *b)
{
    for (unsigned i = 0; i < b->info->kernel.nr_segments; i++) {
        const struct boot_segment *s = &b->info->kernel.segment[i];
        uint64_t end = s->at + s->memory_size;
        paddr_t page = s->at & PAGE_MASK;
        if (find_ram(b, end - page, page, end) != page)
            panic("The kernel wants to be at %lx to %lx, where the control domain has no memory.", s->at, end);
        memcpy(paddr_ptr(s->at), paddr_ptr(s->from), s->file_size);
        memset((uint8_t *)paddr_ptr(s->at) + s->file_size, 0, s->memory_size - s->file_size);
    }
}

static void copy_initrd(struct builder *b)
{
    b->initrd = find_ram(b, b->info->initrd.size, b->tables + TABLES_SIZE, GIB(4));
    if (!b->initrd)
        panic("The control domain's memory (%lu MiB) is too small for its kernel and initrd.", b->wanted >> 20);
    memcpy(paddr_ptr(b->initrd), paddr_ptr(b->info->initrd.start), b->info->initrd.size);
}

/* Tables in the block, one after another; each function returns what it used. */
static size_t put_acpi(struct builder *b, uint8_t *out, size_t size, paddr_t *rsdp)
{
    uint32_t ids[MAX_VCPUS];
    _Static_assert(2 * MAX_VCPUS <= 256, "vlapic_id()");
    struct domain *d = b->d;
    for (unsigned i = 0; i < d->max_vcpus; i++)
        ids[i] = vlapic_id(d->vcpu[i]);
    size_t used = 64; /* the root pointer is first */
    struct acpi_ioapic ioapics[VIOAPIC_MAX];
    unsigned nr_ioapics = (irq_nr_gsis() + VIOAPIC_PINS - 1) / VIOAPIC_PINS;
    for (unsigned i = 0; i < nr_ioapics; i++)
        ioapics[i] = (struct acpi_ioapic){ i + 1, VIOAPIC_BASE + i * PAGE_SIZE, i * VIOAPIC_PINS };
    struct acpi_madt_plan plan = {
        .apic_ids = ids, .nr_cpus = d->max_vcpus, .host = &hv_board.madt, .ioapics = ioapics, .nr_ioapics = nr_ioapics
    };
    size_t madt_size = acpi_build_madt(out + used, size - used, &plan);
    paddr_t at = b->tables + used;
    used += ROUND_UP(madt_size, 16);
    size_t xsdt_size = acpi_build_xsdt(out + used, size - used, &hv_board.xsdt, at);
    if (!madt_size || !xsdt_size)
        panic("The control domain's ACPI tables are larger than %lu KiB.", size >> 10);
    acpi_build_rsdp(out, b->tables + used);
    *rsdp = b->tables;
    return used + ROUND_UP(xsdt_size, 16);
}

static void put_start_info(struct builder *b)
{
    uint8_t *out = paddr_ptr(b->tables);
    memset(out, 0, TABLES_SIZE);
    paddr_t rsdp;
    size_t used = put_acpi(b, out, TABLES_SIZE / 2, &rsdp);
    struct hvm_start_info *start = (void *)(out + used);
    struct hvm_modlist_entry *module = (void *)(start + 1);
    struct hvm_memmap_table_entry *map = (void *)(module + 1);
    char *line = (char *)(map + b->nr_e820);
    *start = (struct hvm_start_info){
        .magic = XEN_HVM_START_MAGIC_VALUE,
        .version = 1,
        .flags = SIF_PRIVILEGED | SIF_INITDOMAIN,
        .nr_modules = b->initrd ? 1 : 0,
        .modlist_paddr = ptr_paddr(module),
        .cmdline_paddr = ptr_paddr(line),
        .rsdp_paddr = rsdp,
        .memmap_paddr = ptr_paddr(map),
        .memmap_entries = b->nr_e820,
    };
    *module = (struct hvm_modlist_entry){ .paddr = b->initrd, .size = b->info->initrd.size };
    for (unsigned i = 0; i < b->nr_e820; i++)
        map[i] = (struct hvm_memmap_table_entry){ b->e820[i].addr, b->e820[i].size, b->e820[i].type, 0 };
    str_copy(line, paddr_ptr(b->info->kernel_command_line), TABLES_SIZE - ((uint8_t *)line - out));
    b->start_info = ptr_paddr(start);
}

/* --- hardware
 * --------------------------------------------------------------------------------------------------------- */

static void must(int rc, const char *what)
{
    if (rc)
        panic("The control domain cannot get %s (error %d).", what, -rc);
}

static void leave_out(void *data, uint64_t first, uint64_t count)
{
    struct domain *d = data;
    must(rangeset_remove(&d->iomem, first, first + count - 1), "its registers");
}

/* All addresses that are not RAM, but for what the hypervisor keeps or plays itself. */
static void give_iomem(struct builder *b)
{
    struct domain *d = b->d;
    must(rangeset_init(&d->iomem, (1ull << (hv_machine.physical_bits - PAGE_SHIFT)) - 1), "its registers");
    for (const struct boot_range *r = hv_ranges; r < hv_ranges_end; r++)
        if (r->kind == BOOT_RAM || r->kind == BOOT_LOADER || r->kind == BOOT_RUNTIME_CODE)
            leave_out(d, r->start >> PAGE_SHIFT, (r->end - r->start) >> PAGE_SHIFT);
    leave_out(d, LAPIC_PAGE, 1);
    for (unsigned i = 0; i < hv_board.nr_ioapics; i++)
        leave_out(d, hv_board.ioapic[i].address >> PAGE_SHIFT, 1);
    for (unsigned i = 0; i < hv_board.nr_ecam; i++) {
        uint64_t buses = hv_board.ecam[i].last_bus - hv_board.ecam[i].first_bus + 1;
        leave_out(d, (hv_board.ecam[i].base + MIB(hv_board.ecam[i].first_bus)) >> PAGE_SHIFT, MIB(buses) >> PAGE_SHIFT);
    }
    leave_out(d, VIOAPIC_BASE >> PAGE_SHIFT, VIOAPIC_MAX);
    iommu_mmio_ranges(leave_out, d);
}

/* Ports that are not the hypervisor's; those it only listens in on are trapped though they are the domain's. */
static void give_ports(struct domain *d)
{
    const struct {
        uint16_t first, count;
        bool keep;
    } trapped[] = {
        { 0x20, 2, true },
        { 0xa0, 2, true },                        /* interrupt controllers */
        { 0xcf8, 8, false },                      /* PCI, and the reset register */
        { hv_board.fadt.pm1a_control, 2, false }, /* sleep; 0: the DMA chip's, harmless */
        { hv_machine.console_port, hv_machine.console_port ? 8 : 0, true },
    };
    uint8_t *bitmap = (uint8_t *)d->port_bitmap;
    must(rangeset_init(&d->ioports, 0xffff), "ports");
    memset(bitmap, 0, 0x10000 / 8);
    for (unsigned i = 0; i < ARRAY_SIZE(trapped); i++)
        for (unsigned port = trapped[i].first; port < trapped[i].first + trapped[i].count; port++) {
            if (trapped[i].keep)
                must(rangeset_remove(&d->ioports, port, port), "ports");
            bitmap[port / 8] |= 1 << port % 8;
        }
}

/* All functions of segment 0, without trusting bridges: 256 buses, a function 0 each, more where it says so. */
static void give_devices(struct domain *d)
{
    unsigned count = 0, last_bus = hv_board.nr_ecam ? hv_board.ecam[0].last_bus : 255;
    for (unsigned slot = 0; slot < (last_bus + 1) * 32; slot++) {
        uint32_t sbdf = slot << 3;
        if (metal_pci_read(sbdf, 0, 4) == ~0u)
            continue;
        unsigned functions = metal_pci_read(sbdf, 14, 1) & 0x80 ? 8 : 1;
        for (unsigned f = 0; f < functions; f++)
            if (metal_pci_read(sbdf + f, 0, 4) != ~0u)
                count += vpci_add_device(d, sbdf + f) != -ENODEV;
    }
    log_line("%u PCI functions are the control domain's.", count);
}

/* --- the whole
 * -------------------------------------------------------------------------------------------------------- */

/* PVH's first instruction: 32-bit protected mode, flat, no paging (docs in arch-x86/hvm/start_info.h). */
static void set_first_vcpu(struct builder *b)
{
    struct vcpu *v = b->d->vcpu[0];
    struct vcpu_state s;
    vcpu_start_at(v, 0);
    hv->state_get(v, &s);
    for (unsigned i = SEG_ES; i <= SEG_GS; i++)
        s.seg[i] = (struct segment){ 0, 0xc93, ~0u, 0 };
    s.seg[SEG_CS].attributes = 0xc9b;
    s.seg[SEG_TR] = (struct segment){ 0, 0x8b, 0x67, 0 };
    s.cr0 = 0x11; /* PE, ET */
    hv->state_put(v, &s);
    v->regs.rip = b->info->kernel.entry;
    v->regs.r[RBX] = b->start_info;
}

static void host_cpuid(uint32_t leaf, uint32_t subleaf, struct cpuid_regs *out)
{
    __asm__ volatile("cpuid"
                     : "=a"(out->eax), "=b"(out->ebx), "=c"(out->ecx), "=d"(out->edx)
                     : "a"(leaf), "c"(subleaf));
}

static struct domain *create(const char *options)
{
    uint64_t vcpus = metal_nr_cpus(), limit;
    if (option_size(options, "dom0_max_vcpus", &limit) && limit)
        vcpus = MIN(vcpus, limit);
    struct domain *d = domain_create(DOMID_CONTROL, MIN(vcpus, MAX_VCPUS));
    if (!d)
        panic("There is no memory for the control domain's own structures.");
    d->control = true;
    must(policy_init(d, host_cpuid), "its view of the processor");
    must(virqchip_init(d, irq_nr_gsis()), "its interrupt controllers");
    must(vpci_init(d), "PCI configuration space");
    d->p2m.mirror = iommu_tree();
    return d;
}

struct domain *dom0_build(const struct bootinfo *info, const char *options)
{
    static struct builder b;
    b.info = info;
    b.d = create(options);
    b.wanted = memory_wanted(options);
    take_memory(&b);
    b.tables = find_ram(&b, TABLES_SIZE, info->kernel.end, GIB(1));
    if (!b.tables)
        panic("There is no memory for the control domain's tables between its kernel and 1 GiB.");
    copy_kernel(&b);
    if (info->initrd.size)
        copy_initrd(&b);
    finish_e820(&b);
    put_start_info(&b);
    set_first_vcpu(&b);
    give_iomem(&b);
    give_ports(b.d);
    give_devices(b.d);
    log_line("Control domain: %lu MiB, %u vCPUs, kernel at %lx to %lx, entry %lx", b.wanted >> 20, b.d->max_vcpus,
             info->kernel.start, info->kernel.end, info->kernel.entry);
    return b.d;
}

void dom0_start(struct domain *d)
{
    d->vcpu[0]->initialised = true;
    vcpu_wake(d->vcpu[0], BLOCK_DOWN);
}
