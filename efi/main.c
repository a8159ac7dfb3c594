/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bulkhead.efi: finds configuration, kernel and initrd (in its own file first, else beside it), loads the hypervisor
 * it carries and jumps to it. docs/efi.md tells the whole way. Each step below ends the loader with a message when it
 * cannot be done; the firmware is left only when nothing can go wrong any more.
 */
#include "elf.h"
#include "loader.h"

#define LOADER_NAME "bulkhead.efi " BULKHEAD_VERSION
#define CONFIG_FILE "bulkhead.conf"
#define IMAGE_MAX MIB(64)
#define FILE_MAX GIB(2)
#define INSTALL_AGAIN "Run 'bulkhead-install install' on the installed system, or copy the file there."
#define SIGN_IT                                                                                                        \
    "Build one signed file with 'bulkhead-install --unified --sign KEY CERT install', or turn Secure Boot off."

struct efi_system_table *fw;
efi_handle fw_image;
struct efi_loaded_image *fw_loaded;

/* What bootinfo points at, in one piece of memory. */
struct handover {
    struct bootinfo info;
    char loader[64];
    char kernel_options[CONFIG_OPTIONS];
    char hypervisor_options[CONFIG_OPTIONS + 128];
};

static struct config_entry entry;

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

static void read_config(bool only_signed)
{
    struct boot_module text = section_find(".bhconf");
    const char *where = "inside this loader";
    char path[2 * CONFIG_PATH];
    struct trouble t;

    if (!text.start) {
        if (only_signed)
            fail(EFI_UNSUPPORTED,
                 "Secure Boot is on, and this file carries no configuration that its signature covers.", SIGN_IT,
                 "Bulkhead cannot start with Secure Boot like this.");
        text = file_read(CONFIG_FILE, CONFIG_MAX, INSTALL_AGAIN);
        file_path(CONFIG_FILE, path, sizeof(path));
        where = path;
    }
    while (text.size && !((const char *)text.start)[text.size - 1])
        text.size--; /* a section is padded */
    if (!config_parse((const char *)text.start, text.size, wanted_entry(), &entry, &t))
        fail(EFI_LOAD_ERROR, t.why, t.remedy, "The configuration %s cannot be used.", where);
    print("Entry: %s\n", entry.name);
}

static struct boot_module read_module(const char *section, const char *what, const char *path, bool only_signed)
{
    struct boot_module m = section_find(section);

    if (m.start || !*path)
        return m;
    if (only_signed)
        fail(EFI_UNSUPPORTED,
             "Secure Boot is on, and this file is not inside the loader, where its signature covers it.", SIGN_IT,
             "The %s %s is refused.", what, path);
    return file_read(path, FILE_MAX, INSTALL_AGAIN);
}

static void read_kernel(struct bootinfo *info, bool only_signed)
{
    struct elf_kernel kernel;
    struct trouble t;

    info->kernel = read_module(".bhlinux", "kernel", entry.kernel, only_signed);
    if (!info->kernel.start)
        fail(EFI_NOT_FOUND, "It has no line 'kernel = FILE'.",
             "Add the line: an unpacked Linux kernel beside the loader.", "The entry '%s' cannot be started.",
             entry.name);
    if (!elf_check_kernel((const void *)info->kernel.start, info->kernel.size, &kernel, &t))
        fail(EFI_LOAD_ERROR, t.why, t.remedy, "The kernel %s cannot be used.",
             section_find(".bhlinux").start ? "in this file" : entry.kernel);
    info->initrd = read_module(".bhinitr", "initrd", entry.initrd, only_signed);
}

/* The hypervisor this file carries, loaded; returns its entry. */
static uint64_t load_hypervisor(struct bootinfo *info)
{
    struct boot_module file = section_find(".hv");
    struct elf_image image;
    struct trouble t = {.why = "It carries no hypervisor.", .remedy = "Build it again."};
    void *to;

    if (!file.start || !elf_check_image((const void *)file.start, file.size, HV_IMAGE_BASE, IMAGE_MAX, &image, &t))
        fail(EFI_LOAD_ERROR, t.why, t.remedy, "This loader cannot be used.");
    to = pages_get(image.size, HV_IMAGE_ALIGN, FOUR_GIB, "the hypervisor");
    elf_place((const void *)file.start, HV_IMAGE_BASE, &image, to);
    info->image_start = (uint64_t)to;
    info->image_size = image.size;
    return image.entry;
}

/* A control domain larger than the machine would fail later, where it is harder to tell why. */
static void check_memory(void)
{
    struct boot_range *ranges;
    struct memmap map;
    uint64_t key, end, ram;

    pages_map(&map, &key);
    ranges = pages_get((memmap_room(&map) + 64) * sizeof(*ranges), 4096, FOUR_GIB, "the memory map");
    ram = memmap_ram(ranges, memmap_convert(&map, ranges), ~0ull, &end);
    if (entry.dom0_bytes >= ram)
        fail(EFI_LOAD_ERROR, "It is more than this machine has.", "Write a smaller dom0_mem in the configuration.",
             "dom0_mem = %s cannot be had: there are %llu MiB.", entry.dom0_mem, (unsigned long long)ram >> 20);
}

static void set_options(struct handover *h)
{
    const char *memory = entry.dom0_mem, *console = entry.console;

    memcpy(h->loader, LOADER_NAME, sizeof(LOADER_NAME));
    memcpy(h->kernel_options, entry.options, sizeof(entry.options));
    text_format(h->hypervisor_options, sizeof(h->hypervisor_options), "%s%s%s%s%s%s%s", *memory ? "dom0_mem=" : "",
                memory, *memory ? " " : "", *console ? "console=" : "", console, *console ? " " : "", entry.hypervisor);
    h->info.loader_name = (uint64_t)h->loader;
    h->info.kernel_command_line = (uint64_t)h->kernel_options;
    h->info.hypervisor_command_line = (uint64_t)h->hypervisor_options;
}

efi_status efi_main(efi_handle image, struct efi_system_table *table)
{
    struct handover *h;
    bool only_signed;
    uint64_t start;

    open_firmware(image, table);
    cpu_check();
    only_signed = firmware_secure_boot();
    read_config(only_signed);
    check_memory();
    h = pages_get(sizeof(*h), 4096, FOUR_GIB, "the hand-over");
    memset(h, 0, sizeof(*h));
    h->info.magic = BOOTINFO_MAGIC;
    h->info.version = BOOTINFO_VERSION;
    h->info.size = sizeof(h->info);
    start = load_hypervisor(&h->info);
    read_kernel(&h->info, only_signed);
    set_options(h);
    firmware_collect(&h->info);
    print("Starting the hypervisor.\n");
    jump(&h->info, start);
}
