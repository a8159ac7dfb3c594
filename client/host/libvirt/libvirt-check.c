/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What can be refused before anything is done, for making and for changing a machine alike: more
 * than the host has, and files that are not what they should be. Workers only.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <glib/gi18n-lib.h>

#include "../image-private.h"
#include "libvirt-private.h"

gboolean bh_libvirt_check_memory(const BhHostCaps *caps, guint memory_mib, GError **error)
{
    guint64 host_mib = caps->memory >> 20;

    if (!host_mib || memory_mib <= host_mib)
        return TRUE;
    g_propagate_error(error,
                      bh_error_new(BH_ERROR_INVALID, _("Give the machine less memory."), NULL,
                                   _("%u MiB of memory is more than this computer has "
                                     "(%" G_GUINT64_FORMAT " MiB)."),
                                   memory_mib, host_mib));
    return FALSE;
}

gboolean bh_libvirt_check_tpm(const BhHostCaps *caps, GError **error)
{
    if (caps->tpm)
        return TRUE;
    g_propagate_error(error, bh_error_new(BH_ERROR_NOT_SUPPORTED,
                                          _("Install the packages “swtpm” and “swtpm-tools”, or do "
                                            "without."),
                                          NULL, _("This host has no emulated TPM.")));
    return FALSE;
}

gboolean bh_libvirt_check_file(const char *path, GError **error)
{
    if (!g_utf8_validate(path, -1, NULL)) { /* XML is UTF-8; a file name need not be */
        g_propagate_error(error, bh_error_new(BH_ERROR_INVALID, _("Rename the file."), NULL,
                                              _("The file's name is not valid text.")));
        return FALSE;
    }
    if (access(path, R_OK) == 0)
        return TRUE;
    int code = errno;
    g_propagate_error(error, bh_error_new(code == EACCES ? BH_ERROR_PERMISSION : BH_ERROR_NOT_FOUND,
                                          _("Choose another file."), NULL,
                                          _("%s cannot be read: %s."), path, g_strerror(code)));
    return FALSE;
}

/* A device node is a real drive, whose medium is the guest's business. */
gboolean bh_libvirt_check_medium(const char *path, GError **error)
{
    g_auto(BhImageFile) file = {.fd = -1};
    g_autofree char *name = NULL;

    if (!path)
        return TRUE;
    if (!bh_libvirt_check_file(path, error))
        return FALSE;
    if (g_str_has_prefix(path, "/dev/"))
        return TRUE;
    if (!bh_image_file_open(&file, path, error))
        return FALSE;
    if (bh_iso_parse_head(file.head, file.head_length, NULL))
        return TRUE;
    name = g_filename_display_basename(path);
    g_propagate_error(error,
                      bh_error_new(BH_ERROR_INVALID, _("Choose an ISO file."), NULL,
                                   _("“%s” is not a CD or DVD image (ISO 9660 or UDF)."), name));
    return FALSE;
}
