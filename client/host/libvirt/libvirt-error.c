/* SPDX-License-Identifier: GPL-2.0-or-later */
/* libvirt's errors in plain words: the message tells what failed and why, the hint what to do, and
 * libvirt's own text goes to the detail. */
#include <string.h>

#include <glib/gi18n-lib.h>

#include "libvirt-private.h"

/* Causes that libvirt and QEMU tell only by their words, most telling first. */
static const struct {
    const char *words;
    BhErrorCode code;
    const char *why, *hint;
} causes[] = {
    {"Failed to get \"write\" lock", BH_ERROR_BUSY, N_("Its disk is in use by another process."),
     N_("Shut down the other machine or program that uses the disk.")},
    {"Failed to get shared \"write\" lock", BH_ERROR_BUSY,
     N_("Its disk is in use by another process."),
     N_("Shut down the other machine or program that uses the disk.")},
    {"Failed to get \"", BH_ERROR_BUSY, N_("A file of it is in use by another process."),
     N_("Shut down the other machine or program that uses the file.")},
    {"Cannot allocate memory", BH_ERROR_NO_SPACE, N_("This computer has too little free memory."),
     N_("Close something, or give the machine less memory.")},
    {"cannot set up guest memory", BH_ERROR_NO_SPACE,
     N_("This computer has too little free memory."),
     N_("Close something, or give the machine less memory.")},
    {"No space left on device", BH_ERROR_NO_SPACE, N_("The disk is full."),
     N_("Free some space, then try again.")},
    {"is corrupt", BH_ERROR_INVALID, N_("The saved memory or an image is damaged."),
     N_("Discard the saved state to start afresh, or restore the file from a backup.")},
    {"image magic is incorrect", BH_ERROR_INVALID, N_("The saved memory is damaged."),
     N_("Discard the saved state to start afresh.")},
    {"failed to read qemu header", BH_ERROR_INVALID, N_("The saved memory is damaged."),
     N_("Discard the saved state to start afresh.")},
    {"save image", BH_ERROR_INVALID, N_("The saved memory cannot be used."),
     N_("Discard the saved state to start afresh.")},
    {"load of migration failed", BH_ERROR_INVALID, N_("The saved memory does not fit any more."),
     N_("Discard the saved state to start afresh.")},
    {"Could not access KVM kernel module", BH_ERROR_PERMISSION,
     N_("Hardware acceleration (/dev/kvm) may not be used."),
     N_("Add yourself to the group “kvm” and log in again.")},
    {"'/sys/bus/usb/devices'", BH_ERROR_NOT_FOUND, N_("This computer has no USB."), NULL},
    {"Did not find USB device", BH_ERROR_NOT_FOUND, N_("It is no longer there."),
     N_("Plug it in again.")},
    {"failed to open host usb device", BH_ERROR_PERMISSION,
     N_("You may not use it: its device node cannot be opened."),
     N_("Give yourself the right to it with a udev rule.")},
    {"No such file or directory", BH_ERROR_NOT_FOUND, N_("A file it needs is missing."),
     N_("Put the file back, or remove it from the machine (for a CD: eject it).")},
    {"Cannot access storage file", BH_ERROR_NOT_FOUND,
     N_("A file it needs is missing or may not be opened."),
     N_("Put the file back, or remove it from the machine (for a CD: eject it).")},
    {"Permission denied", BH_ERROR_PERMISSION, N_("A file it needs may not be opened."),
     N_("Change the permissions of the file or of its folder.")},
    {"is not in qcow2 format", BH_ERROR_INVALID, N_("Its disk image is damaged."),
     N_("Restore the image from a backup.")},
    {"is locked", BH_ERROR_BUSY, N_("The guest has locked the drive."),
     N_("Eject the medium inside the guest, then try again.")},
    {"swtpm", BH_ERROR_FAILED, N_("The emulated TPM does not work."),
     N_("Install the packages “swtpm” and “swtpm-tools”, or turn the TPM off.")},
    {"Unable to find any firmware", BH_ERROR_NOT_SUPPORTED, N_("This host has no firmware for it."),
     N_("Install the package “ovmf”, or choose BIOS firmware.")},
};

static BhErrorCode code_of(int libvirt_code)
{
    switch (libvirt_code) {
    case VIR_ERR_NO_DOMAIN:
        return BH_ERROR_NOT_FOUND;
    case VIR_ERR_DOM_EXIST:
        return BH_ERROR_EXISTS;
    case VIR_ERR_OPERATION_INVALID:
    case VIR_ERR_OPERATION_TIMEOUT:
    case VIR_ERR_RESOURCE_BUSY:
        return BH_ERROR_BUSY;
    case VIR_ERR_NO_SUPPORT:
    case VIR_ERR_OPERATION_UNSUPPORTED:
    case VIR_ERR_CONFIG_UNSUPPORTED:
    case VIR_ERR_ARGUMENT_UNSUPPORTED:
        return BH_ERROR_NOT_SUPPORTED;
    case VIR_ERR_OPERATION_DENIED:
    case VIR_ERR_ACCESS_DENIED:
    case VIR_ERR_AUTH_FAILED:
    case VIR_ERR_AUTH_CANCELLED:
    case VIR_ERR_AUTH_UNAVAILABLE:
        return BH_ERROR_PERMISSION;
    case VIR_ERR_NO_MEMORY:
        return BH_ERROR_NO_SPACE;
    default:
        return BH_ERROR_FAILED;
    }
}

static gboolean is_disconnect(const virError *cause)
{
    if (!cause)
        return FALSE;
    return cause->code == VIR_ERR_INVALID_CONN || cause->code == VIR_ERR_NO_CONNECT ||
           cause->domain == VIR_FROM_RPC ||
           (cause->code == VIR_ERR_INTERNAL_ERROR && cause->message &&
            strstr(cause->message, "client socket is closed"));
}

void bh_libvirt_set_error(GError **error, const char *what)
{
    const virError *cause = virGetLastError();
    const char *text = cause && cause->message ? cause->message : "";

    if (!error)
        return;
    if (is_disconnect(cause)) {
        *error = bh_error_new(BH_ERROR_DISCONNECTED, _("It reconnects by itself; try again then."),
                              text, _("%s The connection to the host was lost."), what);
        return;
    }
    for (gsize i = 0; i < G_N_ELEMENTS(causes); i++)
        if (strstr(text, causes[i].words)) {
            *error = bh_error_new(causes[i].code, causes[i].hint ? _(causes[i].hint) : NULL, text,
                                  "%s %s", what, _(causes[i].why));
            return;
        }
    g_autofree char *first_line = g_strndup(text, strcspn(text, "\n"));
    *error = bh_error_new(cause ? code_of(cause->code) : BH_ERROR_FAILED, NULL, text, "%s %s", what,
                          first_line);
}

void bh_libvirt_add_detail(GError **error, const char *text)
{
    const char *detail = error && *error ? bh_error_get_detail(*error) : NULL;
    g_auto(GStrv) lines = g_strsplit(text ? text : "", "\n", -1);

    if (!error || !*error)
        return;
    GString *both = g_string_new(detail);
    for (guint i = 0; lines[i]; i++) /* libvirt quotes QEMU: not twice */
        if (*lines[i] && !strstr(both->str, lines[i]))
            g_string_append_printf(both, "%s%s", both->len ? "\n" : "", lines[i]);
    GError *old = *error;
    *error =
        bh_error_new((BhErrorCode)old->code, bh_error_get_hint(old), both->str, "%s", old->message);
    g_string_free(both, TRUE);
    g_error_free(old);
}
