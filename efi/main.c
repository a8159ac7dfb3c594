/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bulkhead.efi: finds configuration, kernel and initrd (in its own file first, else beside it), loads the hypervisor
 * it carries and jumps to it. docs/efi.md tells the whole way. Each step below ends the loader with a message when it
 * cannot be done; the firmware is left only when nothing can go wrong any more.
 */
#include "cpu.h"
#include "elf.h"
#include "loader.h"
#include "section.h"

#define LOADER_NAME "bulkhead.efi " BULKHEAD_VERSION
#define CONFIG_FILE "bulkhead.conf"
#define FILE_MAX GIB(2)
#define INSTALL_AGAIN "Run 'bulkhead-install install' on the installed system, or copy the file there."
#define SIGN_IT                                                                                                        \
    "Build one signed file with 'bulkhead-install --unified --sign KEY CERT install', or turn Secure Boot off."

struct efi_system_table *fw;
efi_handle fw_image;
struct efi_loaded_image *fw_loaded;

static struct config_entry entry;
static struct bootinfo info = {.magic = BOOTINFO_MAGIC, .version = BOOTINFO_VERSION, .size = sizeof(info)};
static bool only_signed;

static void open_firmware(efi_handle image, struct efi_system_table *table)
{
    static const struct efi_guid loaded_guid = EFI_LOADED_IMAGE;

    fw = table;
    fw_image = image;
    console_open();
    print("\n" LOADER_NAME "\n");
    if (boot_services->handle_protocol(image, &loaded_guid, (void **)&fw_loaded) != EFI_SUCCESS)
        fail(EFI_LOAD_ERROR, "The firmware does not say where it is.", "Update the firmware.",
             "This loader cannot read its own file.");
    boot_services->set_watchdog(0, 0, 0, NULL); /* large files take longer than its five minutes on slow disks */
}

static void check_processor(void)
{
    const struct cpu_facts facts = cpu_read();
    struct trouble t;

    if (!cpu_suits(&facts, &t))
        fail(EFI_UNSUPPORTED, t.why, t.remedy, "Bulkhead cannot run on this computer as it is.");
}

/* The word after "entry=" in the boot entry's options, which are UTF-16; anything else there is not for us. */
static const char *wanted_entry(void)
{
    static const char key[] = "entry=";
    static char name[CONFIG_NAME];
    const efi_char *options = fw_loaded->options;
    uint32_t count = options ? fw_loaded->options_size / 2 : 0, matched = 0, used = 0;

    for (uint32_t i = 0; i < count && options[i]; i++) {
        if (matched == sizeof(key) - 1) {
            if (options[i] <= ' ' || options[i] > '~' || used == sizeof(name) - 1)
                break;
            name[used++] = (char)options[i];
        } else {
            matched = options[i] == (efi_char)key[matched] ? matched + 1 : options[i] == 'e';
        }
    }
    return name;
}

/* What is inside the loader's own file, and so under its signature. */
static struct boot_module own_section(const char *name)
{
    return section_find(fw_loaded->base, fw_loaded->size, name);
}

/* From a section, else from the file beside the loader. */
static struct boot_module read_module(const char *section, const char *what, const char *file, uint64_t max)
{
    struct boot_module m = own_section(section);

    if (m.start || !*file)
        return m;
    if (only_signed)
        fail(EFI_UNSUPPORTED,
             "Secure Boot is on, and this file is not inside the loader, where its signature covers it.", SIGN_IT,
             "The %s %s is refused.", what, file);
    return file_read(file, max, INSTALL_AGAIN);
}

static void read_config(void)
{
    struct boot_module text = read_module(".bhconf", "configuration", CONFIG_FILE, CONFIG_MAX);
    struct trouble t;

    while (text.size && !((const char *)text.start)[text.size - 1])
        text.size--; /* a section is padded */
    if (!config_parse((const char *)text.start, text.size, wanted_entry(), &entry, &t))
        fail(EFI_LOAD_ERROR, t.why, t.remedy, "The configuration %s cannot be used.",
             own_section(".bhconf").start ? "inside this loader" : file_path(CONFIG_FILE));
    print("Entry: %s\n", entry.name);
}

/* The image this file carries, to memory of its own; the build put it there, so it is as bootinfo.h says. */
static void load_hypervisor(void)
{
    struct boot_module file = own_section(".hv");
    uint8_t *to;

    info.image_size = ((const uint64_t *)file.start)[1];
    to = pages_get(info.image_size, HV_IMAGE_ALIGN, "the hypervisor");
    memcpy(to, (const void *)file.start, file.size);
    memset(to + file.size, 0, info.image_size - file.size);
    info.image_start = (uint64_t)to;
}

static void read_kernel(void)
{
    struct boot_module file = read_module(".bhlinux", "kernel", entry.kernel, FILE_MAX);
    struct trouble t;

    if (!file.start)
        fail(EFI_NOT_FOUND, "It has no line 'kernel = FILE'.",
             "Add the line: an unpacked Linux kernel beside the loader.", "The entry '%s' cannot be started.",
             entry.name);
    if (!elf_read_kernel((const void *)file.start, file.size, &info.kernel, &t))
        fail(EFI_LOAD_ERROR, t.why, t.remedy, "The kernel %s cannot be used.",
             own_section(".bhlinux").start ? "in this file" : entry.kernel);
    info.initrd = read_module(".bhinitr", "initrd", entry.initrd, FILE_MAX);
}

static uint64_t free_memory(void)
{
    struct efi_memory_descriptor d;
    struct memmap map;
    uint64_t free = 0;

    pages_map(&map);
    for (uint64_t at = 0; at + map.step <= map.size; at += map.step) {
        memcpy(&d, (const char *)map.entries + at, sizeof(d));
        if (d.type == EFI_BOOT_CODE || d.type == EFI_BOOT_DATA || d.type == EFI_CONVENTIONAL)
            free += d.pages * 4096;
    }
    return free;
}

/* What the hypervisor could only panic about (domain/dom0.c): memory that does not hold what the control domain starts
 * with. Its memory begins at the bottom, so the kernel's end counts; some more is for its tables, holes, and itself. */
static void check_memory(void)
{
    const uint64_t free = free_memory(), needed = info.kernel.end + info.initrd.size + MIB(112);

    if (entry.dom0_bytes > free)
        fail(EFI_LOAD_ERROR, "It is more than this machine has.", "Write a smaller dom0_mem in the configuration.",
             "dom0_mem = %s cannot be had: there are %llu MiB.", entry.dom0_mem, (unsigned long long)free >> 20);
    if ((entry.dom0_bytes && needed > entry.dom0_bytes) || needed + MIB(32) + free / 64 > free)
        fail(EFI_LOAD_ERROR, "Its kernel and initrd would not fit.",
             "Write a larger dom0_mem, use a smaller initrd, or a machine with more memory.",
             "The control domain needs %llu MiB, of %llu MiB free.", (unsigned long long)needed >> 20,
             (unsigned long long)free >> 20);
}

static void set_options(void)
{
    static char options[CONFIG_OPTIONS + 128];
    const char *memory = entry.dom0_mem, *console = entry.console;

    text_format(options, sizeof(options), "%s%s%s%s%s%s%s", *memory ? "dom0_mem=" : "", memory, *memory ? " " : "",
                *console ? "console=" : "", console, *console ? " " : "", entry.hypervisor);
    info.loader_name = (uint64_t)LOADER_NAME;
    info.kernel_command_line = (uint64_t)entry.options;
    info.hypervisor_command_line = (uint64_t)options;
}

efi_status efi_main(efi_handle image, struct efi_system_table *table)
{
    open_firmware(image, table);
    check_processor();
    only_signed = firmware_secure_boot();
    read_config();
    load_hypervisor();
    read_kernel();
    check_memory();
    set_options();
    firmware_collect(&info);
    print("Starting the hypervisor.\n");
    jump(&info);
}
