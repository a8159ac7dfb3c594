/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How qemu-img is run, and what its failures mean to a person. */
#include "image-private.h"

#include <bulkhead/error.h>
#include <glib/gi18n-lib.h>
#include <string.h>

static gboolean says(const BhChildResult *result, const char *text)
{
    return strstr(result->errors, text) != NULL;
}

GError *bh_qemu_img_error(const BhChildResult *result, const char *path)
{
    g_autofree char *name = g_filename_display_basename(path);
    const char *detail = *result->errors ? result->errors : NULL;

    if (says(result, "No space left") || says(result, "Disk quota exceeded") ||
        says(result, "File too large"))
        return bh_error_new(BH_ERROR_NO_SPACE, _("Free some space, or choose another folder."),
                            detail, _("The disk became full while “%s” was written."), name);
    if (says(result, "truncated") || says(result, "end of the file") || says(result, "after EOF") ||
        says(result, "after end of file"))
        return bh_error_new(BH_ERROR_INVALID,
                            _("Its download or copy was probably interrupted: fetch it again."),
                            detail, _("The file “%s” is truncated: its end is missing."), name);
    if (says(result, "Failed to get"))
        return bh_error_new(BH_ERROR_BUSY, _("Shut down the machine that uses it, then try again."),
                            detail, _("The image “%s” is in use."), name);
    if (says(result, "Permission denied"))
        return bh_error_new(BH_ERROR_PERMISSION, _("Check the permissions of the file and folder."),
                            detail, _("You may not use the file “%s”."), name);
    if (result->timed_out || result->too_long)
        return bh_error_new(BH_ERROR_INVALID, NULL, detail,
                            _("The image “%s” could not be examined in time. It may be damaged."),
                            name);
    return bh_error_new(BH_ERROR_INVALID,
                        _("Fetch it again, or make a copy and try “qemu-img check -r all” on it."),
                        detail, _("The image “%s” is damaged or of an unknown kind."), name);
}

gboolean bh_qemu_img(const char *const *argv, const BhChildLimits *limits, const char *path,
                     GCancellable *cancellable, BhChildResult *result, GError **error)
{
    g_autoptr(GError) local = NULL;

    if (!bh_child_run(argv, limits, cancellable, result, &local)) {
        if (g_error_matches(local, G_SPAWN_ERROR, G_SPAWN_ERROR_NOENT))
            g_propagate_error(
                error, bh_error_new(BH_ERROR_NOT_SUPPORTED, _("Install the package qemu-utils."),
                                    local->message, _("The program qemu-img is missing.")));
        else
            g_propagate_error(error, g_steal_pointer(&local));
        return FALSE;
    }
    if (bh_child_succeeded(result))
        return TRUE;
    g_propagate_error(error, bh_qemu_img_error(result, path));
    return FALSE;
}
