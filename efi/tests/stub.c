/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Stands in for the hypervisor in the loader's tests: checks every word of the hand-over (hv/bootinfo.h), tells what it
 * found on the first serial line, and ends QEMU by its isa-debug-exit device (status 33: all was well).
 */
#include <stdbool.h>
#include <stdint.h>

#include <hv/bootinfo.h>

#define COM1 0x3f8
#define DEBUG_EXIT 0xf4

void stub_main(const struct bootinfo *info, uint64_t stack);

static unsigned int failures;
static const char in_data[] = "data";
static volatile uint8_t in_bss[0x300000];

static void out8(uint16_t port, uint8_t value)
{
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static uint8_t in8(uint16_t port)
{
    uint8_t value;

    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static void put(const char *text)
{
    for (; *text; text++) {
        while (!(in8(COM1 + 5) & 0x20))
            ;
        out8(COM1, (uint8_t)*text);
    }
}

static void put_hex(uint64_t n)
{
    char text[17] = {0};

    for (unsigned int i = 0; i < 16; i++)
        text[i] = "0123456789abcdef"[n >> (60 - 4 * i) & 15];
    put(text);
}

static void show(const char *name, uint64_t value)
{
    put("stub: ");
    put(name);
    put(" = ");
    put_hex(value);
    put("\r\n");
}

static void show_text(const char *name, uint64_t text)
{
    put("stub: ");
    put(name);
    put(" = '");
    put((const char *)text);
    put("'\r\n");
}

static void check(const char *what, bool good)
{
    if (good)
        return;
    failures++;
    put("stub: WRONG: ");
    put(what);
    put("\r\n");
}

static uint32_t kind_at(const struct bootinfo *info, uint64_t address)
{
    const struct boot_range *r = (const struct boot_range *)info->ranges;

    for (uint32_t i = 0; i < info->nr_ranges; i++)
        if (address >= r[i].start && address < r[i].end)
            return r[i].kind;
    return 0;
}

static bool ours(const struct bootinfo *info, uint64_t start, uint64_t size)
{
    return start && kind_at(info, start) == BOOT_LOADER && kind_at(info, start + size - 1) == BOOT_LOADER;
}

static void check_ranges(const struct bootinfo *info)
{
    const struct boot_range *r = (const struct boot_range *)info->ranges;
    uint64_t ram = 0;

    check("there are ranges", info->nr_ranges > 3);
    for (uint32_t i = 0; i < info->nr_ranges; i++) {
        put("stub: range ");
        put_hex(r[i].start);
        put(" ");
        put_hex(r[i].end);
        put(" kind ");
        put_hex(r[i].kind);
        put("\r\n");
        check("ranges are whole pages", !((r[i].start | r[i].end) & 4095) && r[i].start < r[i].end);
        check("ranges are sorted", !i || r[i - 1].end <= r[i].start);
        check("neighbours of one kind are joined", !i || r[i - 1].end != r[i].start || r[i - 1].kind != r[i].kind ||
                                                       r[i - 1].efi_attributes != r[i].efi_attributes);
        check("kinds are known", r[i].kind >= BOOT_RAM && r[i].kind <= BOOT_UNUSABLE);
        ram += r[i].kind == BOOT_RAM || r[i].kind == BOOT_LOADER ? r[i].end - r[i].start : 0;
    }
    show("ram", ram);
}

static void check_memory(const struct bootinfo *info, uint64_t stack)
{
    for (uint64_t at = 0; at < 1ull << 32; at += 1u << 30)
        (void)*(const volatile uint8_t *)at; /* the identity map reaches 4 GiB */
    check("image is aligned", !(info->image_start & (HV_IMAGE_ALIGN - 1)));
    check("image is below 4 GiB", info->image_start + info->image_size <= 1ull << 32);
    check("image is the loader's", ours(info, info->image_start, info->image_size));
    check("image holds .bss", info->image_size >= sizeof(in_bss));
    check("image is mapped",
          *(const char *)((uint64_t)in_data - HV_IMAGE_BASE + info->image_start) == 'd' && in_data[3] == 'a');
    for (uint64_t i = 0; i < sizeof(in_bss); i += 4096)
        if (in_bss[i]) {
            check(".bss is zero", false);
            break;
        }
    in_bss[sizeof(in_bss) - 1] = 0x42;
    check("the end of the image is mapped",
          *(const uint8_t *)((uint64_t)&in_bss[sizeof(in_bss) - 1] - HV_IMAGE_BASE + info->image_start) == 0x42);
    check("stack is the loader's", ours(info, stack - 16384, 16384));
    check("stack is aligned", (stack & 15) == 8);
    check("bootinfo is the loader's", ours(info, (uint64_t)info, sizeof(*info)));
    check("ranges are the loader's", ours(info, info->ranges, info->nr_ranges * sizeof(struct boot_range)));
}

/* Among the configuration tables: SMBIOS_TABLE_GUID or SMBIOS3_TABLE_GUID (UEFI 4.6), by their first 8 bytes, with
 * an anchor string. */
static bool has_smbios(const struct bootinfo *info)
{
    const struct {
        uint64_t guid[2];
        const char *table;
    } *t = (const void *)info->efi_config_table;

    for (uint64_t i = 0; i < info->efi_nr_config_tables; i++)
        if ((t[i].guid[0] == 0x11d32d88eb9d2d31 || t[i].guid[0] == 0x4a2c9794f2fd1544) && t[i].table[0] == '_')
            return t[i].table[1] == 'S' && t[i].table[2] == 'M';
    return false;
}

static void check_tables(const struct bootinfo *info)
{
    const uint8_t *rsdp = (const uint8_t *)info->rsdp;
    uint8_t sum = 0;

    for (unsigned int i = 0; rsdp && i < 36; i++)
        sum = (uint8_t)(sum + rsdp[i]);
    check("RSDP is valid", rsdp && rsdp[0] == 'R' && rsdp[15] == 2 && sum == 0);
    check("SMBIOS is there", has_smbios(info));
    check("runtime services are there", *(const uint64_t *)info->efi_runtime_services == 0x56524553544e5552ull);
    check("configuration tables stay",
          info->efi_nr_config_tables && kind_at(info, info->efi_config_table) == BOOT_RUNTIME_DATA);
    check("vendor stays", kind_at(info, info->efi_vendor) == BOOT_RUNTIME_DATA && *(const uint16_t *)info->efi_vendor);
    check("EFI revision", info->efi_revision >> 16 == 2);
}

static void check_modules(const struct bootinfo *info)
{
    const struct boot_kernel *k = &info->kernel;

    check("kernel has segments", k->nr_segments && k->nr_segments <= BOOT_SEGMENTS);
    for (uint64_t i = 0; i < k->nr_segments; i++) {
        const struct boot_segment *s = &k->segment[i];

        check("kernel's segment is the loader's", !s->file_size || ours(info, s->from, s->file_size));
        check("kernel's segment is inside", s->at >= k->start && s->at + s->memory_size <= k->end);
    }
    check("kernel's entry is inside", k->entry >= k->start && k->entry < k->end);
    if (info->initrd.start) {
        check("initrd is the loader's", ours(info, info->initrd.start, info->initrd.size));
        check("initrd is page-aligned", !(info->initrd.start & 4095));
        put("stub: initrd begins '");
        for (unsigned int i = 0; i < 8 && i < info->initrd.size; i++)
            put((char[]){((const char *)info->initrd.start)[i], 0});
        put("'\r\n");
    }
    check("command lines are the loader's",
          ours(info, info->kernel_command_line, 1) && ours(info, info->hypervisor_command_line, 1));
}

static void check_processor(void)
{
    uint64_t cr4, flags, cs, cr0;

    __asm__("mov %%cr4, %0; mov %%cr0, %1; pushfq; pop %2; mov %%cs, %3" : "=r"(cr4), "=r"(cr0), "=r"(flags), "=r"(cs));
    check("CR4 is PAE alone", cr4 == 0x20);
    check("CR0", cr0 == 0x80010033);
    check("interrupts are off", !(flags & 0x200) && !(flags & 0x400));
    check("CS is the loader's", cs == 8);
}

void stub_main(const struct bootinfo *info, uint64_t stack)
{
    put("\r\nstub: entered\r\n");
    check_processor();
    check_ranges(info);
    check_memory(info, stack);
    check_tables(info);
    check_modules(info);
    show("image_start", info->image_start);
    show("kernel entry", info->kernel.entry);
    show("kernel end", info->kernel.end);
    show("kernel segments", info->kernel.nr_segments);
    show("kernel begins", *(const uint64_t *)info->kernel.segment[0].from);
    show("initrd size", info->initrd.size);
    show("framebuffer", info->framebuffer.start);
    show("framebuffer size", info->framebuffer.size);
    show("framebuffer width", info->screen.width);
    show("framebuffer height", info->screen.height);
    show("framebuffer line", info->screen.line);
    show("framebuffer format", info->screen.format);
    show_text("kernel options", info->kernel_command_line);
    show_text("hypervisor options", info->hypervisor_command_line);
    put(failures ? "stub: failed\r\n" : "stub: all is well\r\n");
    out8(DEBUG_EXIT, failures ? 17 : 16);
    for (;;)
        __asm__ volatile("hlt");
}

__asm__(".section .text.entry, \"ax\"\n.globl e_entry\ne_entry:\n  jmp 1f\n.balign 8\n.quad e_size\n1: mov %rsp, "
        "%rsi\n  call stub_main\n");
