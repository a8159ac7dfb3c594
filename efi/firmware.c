/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What only the firmware knows: Secure Boot's state, the screen, its tables (SMBIOS is among them). Nothing is copied
 * but the screen's mode: what is pointed at lies in memory of the runtime services or of ACPI, which stays
 * (UEFI 2.3.4, 8.4).
 */
#include "loader.h"

/* UEFI 3.3: 0 as long as anybody may set the keys. */
bool firmware_secure_boot(void)
{
    uint8_t value = 0;
    uint64_t size = sizeof(value);

    return fw->runtime->get_variable(u"SecureBoot", EFI_GLOBAL, NULL, &size, &value) == EFI_SUCCESS && value == 1;
}

/* The variable ConOut lists the devices of the firmware's console; is a UART among them? */
bool firmware_serial_console(void)
{
    static uint8_t path[2048];
    const struct efi_device_path *node = (const void *)path;
    uint64_t size = sizeof(path);

    if (fw->runtime->get_variable(u"ConOut", EFI_GLOBAL, NULL, &size, path) != EFI_SUCCESS)
        return false;
    for (; (const uint8_t *)(node + 1) <= path + size && node->length >= sizeof(*node); node = efi_path_next(node))
        if (node->type == EFI_PATH_MESSAGING && node->subtype == EFI_PATH_UART)
            return true;
    return false;
}

static void collect_framebuffer(struct bootinfo *info)
{
    struct efi_graphics *graphics;

    if (boot_services->locate_protocol(EFI_GRAPHICS, NULL, (void **)&graphics) != EFI_SUCCESS)
        return;
    info->framebuffer = (struct boot_module){graphics->mode->base, graphics->mode->size};
    info->screen = *graphics->mode->info;
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
    info->rsdp = find_table(EFI_ACPI_20);
    info->efi_runtime_services = (uint64_t)fw->runtime;
    info->efi_config_table = (uint64_t)fw->config_tables;
    info->efi_nr_config_tables = fw->nr_config_tables;
    info->efi_vendor = (uint64_t)fw->vendor;
    info->efi_vendor_revision = fw->vendor_revision;
    info->efi_revision = fw->header.revision;
    collect_framebuffer(info);
}
