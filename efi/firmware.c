/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What only the firmware knows: Secure Boot's state, the screen, the tables of ACPI and SMBIOS. Nothing is copied: what
 * is pointed at lies in memory of the runtime services or of ACPI, which stays (UEFI 2.3.4, 8.4).
 */
#include "loader.h"

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

static void collect_framebuffer(struct boot_framebuffer *f)
{
    const struct efi_graphics_info *info;
    struct efi_graphics *graphics;

    if (boot_services->locate_protocol(&graphics_guid, NULL, (void **)&graphics) != EFI_SUCCESS || !graphics->mode ||
        !graphics->mode->info)
        return;
    info = graphics->mode->info;
    /* Masks are given only where they are not these two (UEFI 12.9.2.1). */
    if (info->pixels == EFI_PIXELS_RGB)
        *f = (struct boot_framebuffer){.red = 0xff, .green = 0xff00, .blue = 0xff0000};
    else if (info->pixels == EFI_PIXELS_BGR)
        *f = (struct boot_framebuffer){.red = 0xff0000, .green = 0xff00, .blue = 0xff};
    else if (info->pixels == EFI_PIXELS_MASKS)
        *f = (struct boot_framebuffer){.red = info->red, .green = info->green, .blue = info->blue};
    else
        return;
    f->width = info->width;
    f->height = info->height;
    f->line = info->line;
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

void firmware_collect(struct bootinfo *info)
{
    info->secure_boot = firmware_secure_boot();
    info->rsdp = find_table(&acpi_guid);
    info->smbios = find_table(&smbios_guid);
    info->smbios3 = find_table(&smbios3_guid);
    info->efi_system_table = (uint64_t)fw;
    info->efi_runtime_services = (uint64_t)fw->runtime;
    info->efi_config_table = (uint64_t)fw->config_tables;
    info->efi_nr_config_tables = fw->nr_config_tables;
    info->efi_vendor = (uint64_t)fw->vendor;
    info->efi_vendor_revision = fw->vendor_revision;
    info->efi_revision = fw->header.revision;
    collect_framebuffer(&info->framebuffer);
}
