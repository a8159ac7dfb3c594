/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See output.h. The keys of the JSON forms are documented in the man page and stay. */
#include "output.h"

#include <stdio.h>

#include "term.h"

const char *const video_names[] = {"auto", "qxl", "virtio", "vga", NULL};
const char *const nic_names[] = {"auto", "virtio", "e1000e", "none", NULL};

/* ---- tables ---- */

struct _Table {
    guint columns;
    GPtrArray *cells; /* of char*, row by row, the headings first */
};

static void table_add(Table *self, va_list args)
{
    for (guint i = 0; i < self->columns; i++)
        g_ptr_array_add(self->cells, term_clean(va_arg(args, const char *), FALSE));
}

Table *table_new(guint columns, ...)
{
    Table *self = g_new0(Table, 1);
    va_list args;

    self->columns = columns;
    self->cells = g_ptr_array_new_with_free_func(g_free);
    va_start(args, columns);
    table_add(self, args);
    va_end(args);
    return self;
}

void table_row(Table *self, ...)
{
    va_list args;

    va_start(args, self);
    table_add(self, args);
    va_end(args);
}

void table_print_free(Table *self)
{
    g_autofree guint *widths = g_new0(guint, self->columns);

    for (guint i = 0; i < self->cells->len; i++) {
        guint width = term_width(g_ptr_array_index(self->cells, i));

        widths[i % self->columns] = MAX(widths[i % self->columns], width);
    }
    for (guint i = 0; self->cells->len > self->columns && i < self->cells->len; i++) {
        const char *cell = g_ptr_array_index(self->cells, i);
        guint column = i % self->columns;

        if (column + 1 == self->columns)
            printf("%s\n", cell);
        else
            printf("%s%*s", cell, (int)(widths[column] - term_width(cell) + 2), "");
    }
    g_ptr_array_unref(self->cells);
    g_free(self);
}

/* ---- JSON ---- */

static void print_json(JsonBuilder *builder, gboolean pretty)
{
    g_autoptr(JsonNode) root = json_builder_get_root(builder);
    g_autofree char *text = json_to_string(root, pretty);

    puts(text);
    fflush(stdout);
    g_object_unref(builder);
}

void output_json(JsonBuilder *builder)
{
    print_json(builder, TRUE);
}

void output_json_line(JsonBuilder *builder)
{
    print_json(builder, FALSE);
}

void json_string(JsonBuilder *builder, const char *key, const char *value)
{
    g_autofree char *valid = value != NULL ? g_utf8_make_valid(value, -1) : NULL;

    json_builder_set_member_name(builder, key);
    if (valid != NULL)
        json_builder_add_string_value(builder, valid);
    else
        json_builder_add_null_value(builder);
}

void json_bool(JsonBuilder *builder, const char *key, gboolean value)
{
    json_builder_set_member_name(builder, key);
    json_builder_add_boolean_value(builder, value);
}

void json_int(JsonBuilder *builder, const char *key, gint64 value)
{
    json_builder_set_member_name(builder, key);
    json_builder_add_int_value(builder, value);
}

static const struct {
    BhSpecFields field;
    const char *name;
} field_names[] = {
    {BH_SPEC_NAME, "name"},
    {BH_SPEC_NOTES, "notes"},
    {BH_SPEC_CPUS, "cpus"},
    {BH_SPEC_MEMORY, "memory"},
    {BH_SPEC_SOUND, "sound"},
    {BH_SPEC_CLIPBOARD, "clipboard"},
    {BH_SPEC_CDROM, "cdrom"},
    {BH_SPEC_VIDEO, "video"},
    {BH_SPEC_USB_CHANNELS, "usb-channels"},
    {BH_SPEC_TPM, "tpm"},
    {BH_SPEC_SECURE_BOOT, "secure-boot"},
    {BH_SPEC_NIC, "nic"},
};

char *fields_to_text(BhSpecFields fields)
{
    GString *text = g_string_new(NULL);

    for (gsize i = 0; i < G_N_ELEMENTS(field_names); i++)
        if (fields & field_names[i].field)
            g_string_append_printf(text, "%s%s", text->len > 0 ? ", " : "", field_names[i].name);
    return g_string_free(text, FALSE);
}

static void json_fields(JsonBuilder *builder, const char *key, BhSpecFields fields)
{
    json_builder_set_member_name(builder, key);
    json_builder_begin_array(builder);
    for (gsize i = 0; i < G_N_ELEMENTS(field_names); i++)
        if (fields & field_names[i].field)
            json_builder_add_string_value(builder, field_names[i].name);
    json_builder_end_array(builder);
}

static void json_usb(JsonBuilder *builder, BhMachine *machine)
{
    GPtrArray *addresses = bh_machine_get_usb_addresses(machine);

    json_builder_set_member_name(builder, "usb");
    json_builder_begin_array(builder);
    for (guint i = 0; addresses != NULL && i < addresses->len; i++) {
        const BhUsbAddress *address = g_ptr_array_index(addresses, i);
        g_autofree char *product = g_strdup_printf("%04x:%04x", address->vendor, address->product);

        json_builder_begin_object(builder);
        json_string(builder, "product", product);
        json_int(builder, "bus", address->bus);
        json_int(builder, "address", address->address);
        json_builder_end_object(builder);
    }
    json_builder_end_array(builder);
}

static const char *display_name(BhDisplayKind kind)
{
    static const char *const names[] = {"none", "spice", "vnc"};

    return kind <= BH_DISPLAY_VNC ? names[kind] : "none";
}

static void json_spec(JsonBuilder *builder, const BhMachineSpec *spec)
{
    json_string(builder, "os", spec->os_id);
    json_string(builder, "notes", spec->notes);
    json_int(builder, "cpus", spec->cpus);
    json_int(builder, "memory_mib", spec->memory_mib);
    json_string(builder, "firmware", spec->firmware == BH_FIRMWARE_EFI ? "efi" : "bios");
    json_bool(builder, "secure_boot", spec->secure_boot);
    json_bool(builder, "tpm", spec->tpm);
    json_string(builder, "video", video_names[spec->video]);
    json_string(builder, "nic", nic_names[spec->nic]);
    json_bool(builder, "sound", spec->sound);
    json_bool(builder, "clipboard", spec->clipboard);
    json_int(builder, "usb_channels", spec->usb_channels);
    json_string(builder, "cdrom", spec->cdrom);
    json_string(builder, "disk", spec->disk_path);
}

void json_machine(JsonBuilder *builder, BhMachine *machine)
{
    json_builder_begin_object(builder);
    json_string(builder, "id", bh_machine_get_id(machine));
    json_string(builder, "name", bh_machine_get_name(machine));
    json_string(builder, "state", bh_state_get_name(bh_machine_get_state(machine)));
    json_string(builder, "state_detail", bh_machine_get_state_detail(machine));
    json_bool(builder, "active", bh_machine_is_active(machine));
    json_string(builder, "accelerator", bh_machine_get_accelerator(machine));
    json_string(builder, "display", display_name(bh_machine_get_display_kind(machine)));
    json_spec(builder, bh_machine_get_spec(machine));
    json_fields(builder, "restart_pending", bh_machine_get_restart_pending(machine));
    json_usb(builder, machine);
    json_builder_end_object(builder);
}

static char *iso_time(gint64 microseconds)
{
    g_autoptr(GDateTime) time = g_date_time_new_from_unix_utc(microseconds / G_USEC_PER_SEC);
    g_autoptr(GDateTime) exact = g_date_time_add(time, (GTimeSpan)(microseconds % G_USEC_PER_SEC));

    return g_date_time_format_iso8601(exact);
}

void json_event(JsonBuilder *builder, BhEvent *event)
{
    static const char *const severities[] = {"info", "warning", "error"};
    g_autofree char *time = iso_time(bh_event_get_time(event));

    json_builder_begin_object(builder);
    json_string(builder, "time", time);
    json_string(builder, "severity", severities[bh_event_get_severity(event)]);
    json_string(builder, "machine", bh_event_get_machine_id(event));
    json_string(builder, "text", bh_event_get_text(event));
    json_string(builder, "detail", bh_event_get_detail(event));
    json_builder_end_object(builder);
}

void json_deleted(JsonBuilder *builder, BhDeleted *deleted)
{
    g_autofree char *time = iso_time(bh_deleted_get_time(deleted) * G_USEC_PER_SEC);

    json_builder_begin_object(builder);
    json_string(builder, "id", bh_deleted_get_id(deleted));
    json_string(builder, "name", bh_deleted_get_name(deleted));
    json_string(builder, "time", time);
    json_builder_end_object(builder);
}

char *format_time(gint64 seconds)
{
    g_autoptr(GDateTime) time = g_date_time_new_from_unix_local(seconds);

    return time != NULL ? g_date_time_format(time, "%F %T") : g_strdup("");
}

char *format_bytes(guint64 bytes)
{
    return g_format_size_full(bytes, G_FORMAT_SIZE_IEC_UNITS);
}
