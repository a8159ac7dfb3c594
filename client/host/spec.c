/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The driver-independent description of a machine: see bulkhead/spec.h. Pure. */
#include <glib/gi18n-lib.h>

#include <bulkhead/error.h>
#include <bulkhead/spec.h>

#define NAME_MAX_BYTES 200
#define MEMORY_MIN_MIB 16
#define MEMORY_MAX_MIB (16u << 20)
#define CPUS_MAX 1024
#define USB_CHANNELS_MAX 8
#define NOTES_MAX_BYTES (64 << 10)

G_DEFINE_BOXED_TYPE(BhMachineSpec, bh_machine_spec, bh_machine_spec_copy, bh_machine_spec_free)

BhMachineSpec *bh_machine_spec_new(void)
{
    BhMachineSpec *self = g_new0(BhMachineSpec, 1);
    self->cpus = 2;
    self->memory_mib = 2048;
    self->sound = TRUE;
    self->clipboard = TRUE;
    self->usb_channels = 4;
    return self;
}

BhMachineSpec *bh_machine_spec_copy(const BhMachineSpec *self)
{
    BhMachineSpec *copy = g_new(BhMachineSpec, 1);
    *copy = *self;
    copy->name = g_strdup(self->name);
    copy->os_id = g_strdup(self->os_id);
    copy->notes = g_strdup(self->notes);
    copy->cdrom = g_strdup(self->cdrom);
    copy->disk_source = g_strdup(self->disk_source);
    copy->disk_path = g_strdup(self->disk_path);
    return copy;
}

void bh_machine_spec_free(BhMachineSpec *self)
{
    if (!self)
        return;
    g_free(self->name);
    g_free(self->os_id);
    g_free(self->notes);
    g_free(self->cdrom);
    g_free(self->disk_source);
    g_free(self->disk_path);
    g_free(self);
}

static gboolean invalid(GError **error, const char *hint, const char *message)
{
    g_propagate_error(error, bh_error_new(BH_ERROR_INVALID, hint, NULL, "%s", message));
    return FALSE;
}

static gboolean name_is_valid(const char *name, GError **error)
{
    const char *hint = _("Choose another name.");

    if (!name || !*name)
        return invalid(error, hint, _("The name is empty."));
    if (!g_utf8_validate(name, -1, NULL))
        return invalid(error, hint, _("The name is not valid text."));
    if (strlen(name) > NAME_MAX_BYTES)
        return invalid(error, hint, _("The name is too long."));
    for (const char *p = name; *p; p = g_utf8_next_char(p)) {
        gunichar c = g_utf8_get_char(p);
        if (g_unichar_iscntrl(c) || c == '/' || c == 0x2028 || c == 0x2029)
            return invalid(error, hint,
                           _("The name contains a slash, a line break or a control character."));
    }
    if (g_unichar_isspace(g_utf8_get_char(name)) ||
        g_unichar_isspace(g_utf8_get_char(g_utf8_prev_char(name + strlen(name)))))
        return invalid(error, hint, _("The name begins or ends with a space."));
    if (g_str_equal(name, ".") || g_str_equal(name, ".."))
        return invalid(error, hint, _("The name is reserved."));
    return TRUE;
}

/* Notes may have line breaks and tabs, but must survive XML. */
static gboolean notes_are_valid(const char *notes, GError **error)
{
    const char *hint = _("Shorten or retype the notes.");

    if (!notes)
        return TRUE;
    if (strlen(notes) > NOTES_MAX_BYTES)
        return invalid(error, hint, _("The notes are longer than 64 KiB."));
    if (!g_utf8_validate(notes, -1, NULL))
        return invalid(error, hint, _("The notes are not valid text."));
    for (const char *p = notes; *p; p++)
        if ((guchar)*p < 0x20 && *p != '\n' && *p != '\t')
            return invalid(error, hint, _("The notes contain a control character."));
    return TRUE;
}

static gboolean disk_is_valid(const BhMachineSpec *self, GError **error)
{
    gboolean has_source = self->disk_source && *self->disk_source;

    if ((self->disk_origin == BH_DISK_IMPORT || self->disk_origin == BH_DISK_IN_PLACE) &&
        !has_source)
        return invalid(error, _("Choose a disk image."), _("No disk image was given."));
    if (self->disk_origin == BH_DISK_NEW && self->disk_bytes < (1 << 20))
        return invalid(error, _("Choose a size of at least 1 MiB."), _("The disk has no size."));
    if (self->disk_bytes > (G_GUINT64_CONSTANT(1) << 50))
        return invalid(error, _("Choose a smaller disk."), _("The disk is larger than 1 PiB."));
    return TRUE;
}

gboolean bh_machine_spec_validate(const BhMachineSpec *self, GError **error)
{
    if (!name_is_valid(self->name, error) || !notes_are_valid(self->notes, error) ||
        !disk_is_valid(self, error))
        return FALSE;
    if (self->cpus < 1 || self->cpus > CPUS_MAX)
        return invalid(error, _("Choose 1 or more CPUs."),
                       _("The number of CPUs is out of range."));
    if (self->memory_mib < MEMORY_MIN_MIB || self->memory_mib > MEMORY_MAX_MIB)
        return invalid(error, _("Choose between 16 MiB and 16 TiB."),
                       _("The amount of memory is out of range."));
    if (self->usb_channels > USB_CHANNELS_MAX)
        return invalid(error, _("Choose 0 to 8."), _("There are too many USB channels."));
    if (self->secure_boot && self->firmware != BH_FIRMWARE_EFI)
        return invalid(error, _("Choose EFI firmware or turn Secure Boot off."),
                       _("Secure Boot needs EFI firmware."));
    return TRUE;
}

BhSpecFields bh_machine_spec_diff(const BhMachineSpec *a, const BhMachineSpec *b)
{
    BhSpecFields fields = 0;

    fields |= g_strcmp0(a->name, b->name) ? BH_SPEC_NAME : 0;
    fields |= g_strcmp0(a->notes, b->notes) ? BH_SPEC_NOTES : 0;
    fields |= a->cpus != b->cpus ? BH_SPEC_CPUS : 0;
    fields |= a->memory_mib != b->memory_mib ? BH_SPEC_MEMORY : 0;
    fields |= !a->sound != !b->sound ? BH_SPEC_SOUND : 0;
    fields |= !a->clipboard != !b->clipboard ? BH_SPEC_CLIPBOARD : 0;
    fields |= g_strcmp0(a->cdrom, b->cdrom) ? BH_SPEC_CDROM : 0;
    fields |= a->video != b->video ? BH_SPEC_VIDEO : 0;
    fields |= a->usb_channels != b->usb_channels ? BH_SPEC_USB_CHANNELS : 0;
    fields |= !a->tpm != !b->tpm ? BH_SPEC_TPM : 0;
    fields |= !a->secure_boot != !b->secure_boot ? BH_SPEC_SECURE_BOOT : 0;
    fields |= a->nic != b->nic ? BH_SPEC_NIC : 0;
    return fields;
}
