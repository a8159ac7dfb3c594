/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Proposals for new machines: see bulkhead/create.h. */
#include <string.h>

#include <glib/gi18n-lib.h>

#include <bulkhead/create.h>

#define NAME_BYTES 200
#define DEFAULT_DISK (G_GUINT64_CONSTANT(20) << 30)
#define DEMO_OS "http://debian.org/debian/12"
#define DEMO_MEMORY_MIB 1024

/* Cuts at a character, never inside one. */
static void cut(GString *text, gsize bytes)
{
    if (text->len <= bytes)
        return;
    const char *end = g_utf8_find_prev_char(text->str, text->str + bytes + 1);
    g_string_truncate(text, (gsize)(end - text->str));
}

static char *mend_name(const char *wanted)
{
    g_autofree char *valid = g_utf8_make_valid(wanted ? wanted : "", -1);
    GString *name = g_string_new(NULL);

    for (const char *p = valid; *p != '\0'; p = g_utf8_next_char(p)) {
        gunichar c = g_utf8_get_char(p);

        if (c == '/')
            c = '-';
        else if (g_unichar_iscntrl(c) || c == 0x2028 || c == 0x2029 || g_unichar_isspace(c))
            c = ' ';
        g_string_append_unichar(name, c);
    }
    cut(name, NAME_BYTES);
    g_strstrip(name->str);
    if (*name->str == '\0' || g_str_equal(name->str, ".") || g_str_equal(name->str, "..")) {
        g_string_free(name, TRUE);
        return g_strdup(_("Machine"));
    }
    return g_string_free(name, FALSE);
}

char *bh_host_unique_name(BhHost *host, const char *wanted)
{
    g_autofree char *base = mend_name(wanted);

    if (bh_host_find_machine(host, base) == NULL)
        return g_steal_pointer(&base);
    for (guint i = 2;; i++) {
        g_autofree char *number = g_strdup_printf(" %u", i);
        GString *name = g_string_new(base);

        cut(name, NAME_BYTES - strlen(number));
        g_string_append(name, number);
        if (bh_host_find_machine(host, name->str) == NULL)
            return g_string_free(name, FALSE);
        g_string_free(name, TRUE);
    }
}

/* What the system asks for but the host cannot give is left out; the rest may still be of use. */
static void fit_to_host(BhHost *host, BhMachineSpec *spec)
{
    BhHostFeatures features = bh_host_get_features(host);

    if (!(features & BH_FEATURE_EFI))
        spec->firmware = BH_FIRMWARE_BIOS;
    if (!(features & BH_FEATURE_SECURE_BOOT) || spec->firmware != BH_FIRMWARE_EFI)
        spec->secure_boot = FALSE;
    if (!(features & BH_FEATURE_TPM))
        spec->tpm = FALSE;
}

static void take_medium(BhMachineSpec *spec, const BhMediaInfo *media)
{
    if (media->kind == BH_MEDIA_ISO) {
        spec->cdrom = g_strdup(media->path);
        spec->install = TRUE;
        spec->disk_origin = BH_DISK_NEW;
        return;
    }
    spec->disk_origin = BH_DISK_IMPORT;
    spec->disk_source = g_strdup(media->path);
    spec->disk_bytes = 0;
}

BhMachineSpec *bh_spec_from_media(BhHost *host, const BhMediaInfo *media, const BhOs *os)
{
    BhMachineSpec *spec = bh_machine_spec_new();
    g_autoptr(BhOs) looked_up = os == NULL ? bh_os_lookup(media ? media->os_id : NULL) : NULL;
    const BhOs *system = os != NULL ? os : looked_up;

    spec->name =
        bh_host_unique_name(host, media != NULL ? media->suggested_name : _("New machine"));
    spec->disk_origin = BH_DISK_NEW;
    bh_os_propose(system, bh_host_get_cpus(host), bh_host_get_memory(host), spec);
    if (os != NULL || (media != NULL && media->os_id != NULL)) {
        g_free(spec->os_id);
        spec->os_id = g_strdup(system->id);
    }
    if (media != NULL)
        take_medium(spec, media);
    if (spec->disk_origin == BH_DISK_NEW && spec->disk_bytes == 0)
        spec->disk_bytes = DEFAULT_DISK;
    fit_to_host(host, spec);
    return spec;
}

BhMachineSpec *bh_spec_for_demo(BhHost *host, const char *image)
{
    BhMediaInfo media = {.path = (char *)image,
                         .kind = BH_MEDIA_DISK,
                         .os_id = (char *)DEMO_OS,
                         .suggested_name = (char *)_("Demo desktop")};
    BhMachineSpec *spec = bh_spec_from_media(host, &media, NULL);

    spec->memory_mib = DEMO_MEMORY_MIB;
    return spec;
}
