/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What only the firmware knows: Secure Boot's state, the screen, the tables of ACPI and SMBIOS. What the hypervisor
 * would have to read from the firmware's own memory later is copied.
 */
#include "loader.h"

#define UTF16_MAX 128

static const struct efi_guid global_guid = EFI_GLOBAL, graphics_guid = EFI_GRAPHICS, acpi_guid = EFI_ACPI_20,
                             smbios_guid = EFI_SMBIOS, smbios3_guid = EFI_SMBIOS3;

static bool variable_is_one(const efi_char *name)
{
    uint8_t value = 0;
    uint64_t size = sizeof(value);

    return fw->runtime->get_variable(name, &global_guid, NULL, &size, &value) == EFI_SUCCESS && value == 1;
}

bool firmware_secure_boot(void)
{
    return variable_is_one(u"SecureBoot") && !variable_is_one(u"SetupMode");
}

/* The variable ConOut lists the devices of the firmware's console; is a UART among them? */
bool firmware_serial_console(void)
{
    static uint8_t path[2048];
    uint64_t size = sizeof(path), at = 0;

    if (fw->runtime->get_variable(u"ConOut", &global_guid, NULL, &size, path) != EFI_SUCCESS)
        return false;
    while (at + sizeof(struct efi_device_path) <= size) {
        uint64_t length = path[at + 2] | (uint64_t)path[at + 3] << 8;

        if (path[at] == EFI_PATH_MESSAGING && path[at + 1] == EFI_PATH_UART)
            return true;
        if (length < sizeof(struct efi_device_path))
            return false;
        at += length;
    }
    return false;
}

static void set_mask(uint32_t mask, uint8_t *position, uint8_t *size)
{
    *position = mask ? (uint8_t)__builtin_ctz(mask) : 0;
    *size = (uint8_t)__builtin_popcount(mask);
}

static void collect_framebuffer(struct boot_framebuffer *f)
{
    static const uint32_t masks[2][4] = {
        [EFI_PIXELS_RGB] = {0xff, 0xff00, 0xff0000, 0xff000000},
        [EFI_PIXELS_BGR] = {0xff0000, 0xff00, 0xff, 0xff000000},
    };
    const struct efi_graphics_info *info;
    struct efi_graphics *graphics;
    uint32_t m[4];

    if (boot_services->locate_protocol(&graphics_guid, NULL, (void **)&graphics) != EFI_SUCCESS || !graphics->mode ||
        !graphics->mode->info)
        return;
    info = graphics->mode->info;
    if (info->pixels == EFI_PIXELS_MASKS)
        memcpy(m, &info->red, sizeof(m));
    else if (info->pixels == EFI_PIXELS_RGB || info->pixels == EFI_PIXELS_BGR)
        memcpy(m, masks[info->pixels], sizeof(m));
    else
        return;
    set_mask(m[0], &f->red_position, &f->red_size);
    set_mask(m[1], &f->green_position, &f->green_size);
    set_mask(m[2], &f->blue_position, &f->blue_size);
    set_mask(m[3], &f->reserved_position, &f->reserved_size);
    /* UEFI 12.9.2: a pixel is as wide as its highest mask bit, in whole bytes. */
    f->depth = (uint16_t)((32 - __builtin_clz(m[0] | m[1] | m[2] | m[3] | 1) + 7) & ~7);
    f->width = info->width;
    f->height = info->height;
    f->pitch = info->line * (f->depth / 8);
    f->base = graphics->mode->base;
    f->size = graphics->mode->size;
}

static uint64_t find_table(const struct efi_guid *guid)
{
    for (uint64_t i = 0; i < fw->nr_config_tables; i++)
        if (!memcmp(&fw->config_tables[i].guid, guid, sizeof(*guid)))
            return (uint64_t)fw->config_tables[i].table;
    return 0;
}

static uint64_t copy_of(const void *data, uint64_t size)
{
    void *copy = size ? pages_get(size, 4096, FOUR_GIB, "the firmware's tables") : NULL;

    if (copy)
        memcpy(copy, data, size);
    return (uint64_t)copy;
}

void firmware_collect(struct bootinfo *info)
{
    static efi_char vendor[UTF16_MAX];

    for (unsigned int i = 0; fw->vendor && i < UTF16_MAX - 1 && fw->vendor[i]; i++)
        vendor[i] = fw->vendor[i];
    info->secure_boot = firmware_secure_boot();
    info->rsdp = find_table(&acpi_guid);
    info->smbios = find_table(&smbios_guid);
    info->smbios3 = find_table(&smbios3_guid);
    info->efi_system_table = (uint64_t)fw;
    info->efi_runtime_services = (uint64_t)fw->runtime;
    info->efi_nr_config_tables = fw->nr_config_tables;
    info->efi_config_table = copy_of(fw->config_tables, fw->nr_config_tables * sizeof(struct efi_config_table));
    info->efi_vendor = copy_of(vendor, sizeof(vendor));
    info->efi_vendor_revision = fw->vendor_revision;
    info->efi_revision = fw->header.revision;
    collect_framebuffer(&info->framebuffer);
}
