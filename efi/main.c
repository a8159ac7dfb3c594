/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bulkhead.efi: finds configuration, kernel and initrd (in its own file first, else beside it), loads the hypervisor
 * it carries and jumps to it. docs/efi.md tells the whole way. Each step below ends the loader with a message when it
 * cannot be done; the firmware is left only when nothing can go wrong any more.
 */
#include "loader.h"

#define CONFIG_FILE "bulkhead.conf"
#define INSTALL_AGAIN "Run 'bulkhead-install install' on the installed system, or copy the file there."
#define SIGN_IT                                                                                                        \
    "Build one signed file with 'bulkhead-install --unified --sign KEY CERT install', or turn Secure Boot off."

struct efi_system_table *fw;
efi_handle fw_image;
struct efi_loaded_image *fw_loaded;

static struct config_entry entry;
static struct bootinfo info;
static char options[BOOT_OPTIONS]; /* the hypervisor's */
static bool only_signed;

extern const uint64_t hv_image[], hv_image_end[]; /* enter.S */

static void open_firmware(efi_handle image, struct efi_system_table *table)
{
    fw = table;
    fw_image = image;
    console_open();
    print("\nbulkhead.efi " BULKHEAD_VERSION "\n");
    boot_services->handle_protocol(image, EFI_LOADED_IMAGE, (void **)&fw_loaded); /* each program has it: UEFI 7.4 */
    boot_services->set_watchdog(0, 0, 0, NULL); /* large files take longer than its five minutes on slow disks */
}

static void check_processor(void)
{
    const struct cpu_facts facts = cpu_read();
    struct trouble t;

    if (!cpu_suits(&facts, &t))
        fail(t.why, t.remedy, "Bulkhead cannot run on this computer as it is.");
}

/* The word after "entry=" in the boot entry's options, which are UTF-16; anything else there is not for us. */
static const char *wanted_entry(void)
{
    static const efi_char key[] = u"entry=";
    static char name[64];
    const size_t length = sizeof(key) / sizeof(key[0]) - 1;
    const efi_char *c = fw_loaded->options, *end = c + fw_loaded->options_size / sizeof(*c);
    size_t used = 0;

    while (c + length < end && memcmp(c, key, length * sizeof(*c)))
        c++;
    for (c += length; c < end && used < sizeof(name) - 1 && *c > ' ' && *c <= '~'; c++)
        name[used++] = (char)*c;
    return name;
}

/* From a section of the loader, which is under its signature, else from the file beside it. */
static struct boot_module read_module(const char *section, const char *what, const char *file)
{
    struct boot_module m = section_find(fw_loaded->base, section);

    if (m.start || !*file)
        return m;
    if (only_signed)
        fail("Secure Boot is on, and this file is not inside the loader, where its signature covers it.", SIGN_IT,
             "The %s %s is refused.", what, file);
    return file_read(file, INSTALL_AGAIN);
}

static void read_config(void)
{
    struct boot_module text = read_module(".bhconf", "configuration", CONFIG_FILE);
    struct trouble t;

    if (!config_parse((const char *)text.start, text.size, wanted_entry(), &entry, &t))
        fail(t.why, t.remedy, "The configuration %s cannot be used.", file_path(CONFIG_FILE));
    print("Entry: %s\n", entry.name);
}

/* The image this file carries, to memory of its own; the build put it there, so it is as bootinfo.h says. */
static void load_hypervisor(void)
{
    const uint64_t size = (uint64_t)hv_image_end - (uint64_t)hv_image;
    uint8_t *to;

    info.image_size = hv_image[1];
    to = pages_get(info.image_size, HV_IMAGE_ALIGN, "the hypervisor");
    memcpy(to, hv_image, size);
    memset(to + size, 0, info.image_size - size);
    info.image_start = (uint64_t)to;
}

static void read_kernel(void)
{
    const char *name = entry.value[CONFIG_KERNEL];
    struct boot_module file = read_module(".bhlinux", "kernel", name);
    struct trouble t;

    if (!file.start)
        fail("It has no line 'kernel = FILE'.", "Add the line: an unpacked Linux kernel beside the loader.",
             "The entry '%s' cannot be started.", entry.name);
    if (!elf_read_kernel((const void *)file.start, file.size, &info.kernel, &t))
        fail(t.why, t.remedy, "The kernel %s cannot be used.", name);
    info.initrd = read_module(".bhinitr", "initrd", entry.value[CONFIG_INITRD]);
}

static uint64_t free_memory(void)
{
    const struct boot_range *r;
    uint64_t free = 0;

    pages_map(&info);
    r = (const struct boot_range *)info.ranges;
    for (uint64_t i = 0; i < info.nr_ranges; i++)
        free += r[i].kind == BOOT_RAM ? r[i].end - r[i].start : 0;
    return free;
}

/* What the hypervisor could only panic about (domain/dom0.c): memory that does not hold what the control domain starts
 * with. Its memory begins at the bottom, so the kernel's end counts; some more is for its tables, holes, and itself. */
static void check_memory(void)
{
    const uint64_t free = free_memory(), needed = info.kernel.end + info.initrd.size + MIB(112);
    uint64_t given = free;

    if (!option_size(options, "dom0_mem", &given) && *entry.value[CONFIG_DOM0_MEM])
        fail("It is not a size.", "Write a size like 1536M or 2G.", "dom0_mem = %s cannot be used.",
             entry.value[CONFIG_DOM0_MEM]);
    if (given > free)
        fail("It is more than this machine has.", "Write a smaller dom0_mem in the configuration.",
             "dom0_mem of %llu MiB cannot be had: there are %llu MiB.", given >> 20, free >> 20);
    if (needed > given || needed + MIB(32) + free / 64 > free)
        fail("Its kernel and initrd would not fit.",
             "Write a larger dom0_mem, use a smaller initrd, or a machine with more memory.",
             "The control domain needs %llu MiB, of %llu MiB free.", needed >> 20, free >> 20);
}

static void set_options(void)
{
    const char *memory = entry.value[CONFIG_DOM0_MEM], *console = entry.value[CONFIG_CONSOLE];

    if (snprintf(options, sizeof(options), "%s%s%s%s %s", *memory ? "dom0_mem=" : "", memory,
                 *console ? " console=" : "", console, entry.value[CONFIG_HYPERVISOR]) >= BOOT_OPTIONS)
        fail("The lines dom0_mem, console and hypervisor are too long together.", "Shorten them.",
             "The hypervisor takes %u characters of options.", BOOT_OPTIONS - 1);
    info.kernel_command_line = (uint64_t)entry.value[CONFIG_OPTIONS];
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
    set_options();
    check_memory();
    firmware_collect(&info);
    print("Starting the hypervisor.\n");
    jump(&info);
}
