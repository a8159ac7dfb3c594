/* SPDX-License-Identifier: GPL-2.0-or-later */
/* BhUsbRedirector: the interface's signal, and shared CDs for callers. See usb.h. */
#include "usb-private.h"

#include "operation.h"

#include <glib/gi18n-lib.h>

G_DEFINE_INTERFACE(BhUsbRedirector, bh_usb_redirector, G_TYPE_OBJECT)

static void bh_usb_redirector_default_init(BhUsbRedirectorInterface *iface)
{
    g_signal_new("changed", BH_TYPE_USB_REDIRECTOR, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL,
                 G_TYPE_NONE, 0);
}

void bh_usb_redirector_changed(BhUsbRedirector *self)
{
    g_signal_emit_by_name(self, "changed");
}

gboolean bh_usb_redirector_can_share_cd(BhUsbRedirector *self)
{
    return BH_USB_REDIRECTOR_GET_IFACE(self)->share_cd != NULL;
}

char *bh_usb_redirector_why_not_cd(BhUsbRedirector *self, BhUsbFix *fix)
{
    BhUsbRedirectorInterface *iface = BH_USB_REDIRECTOR_GET_IFACE(self);
    *fix = BH_USB_FIX_NONE;
    if (!iface->share_cd)
        return g_strdup(_("This display cannot share a CD image."));
    return iface->why_not_cd ? iface->why_not_cd(self, fix) : NULL;
}

GPtrArray *bh_usb_redirector_list_cds(BhUsbRedirector *self)
{
    BhUsbRedirectorInterface *iface = BH_USB_REDIRECTOR_GET_IFACE(self);
    return iface->list_cds ? iface->list_cds(self) : g_ptr_array_new_with_free_func(g_free);
}

void bh_usb_redirector_share_cd_async(BhUsbRedirector *self, const char *path, gboolean share,
                                      BhJob *job, GAsyncReadyCallback callback, gpointer data)
{
    BhUsbRedirectorInterface *iface = BH_USB_REDIRECTOR_GET_IFACE(self);
    GTask *task =
        bh_operation_new(self, job, bh_usb_redirector_share_cd_async, NULL, callback, data);
    BhUsbFix fix;
    char *reason = share ? bh_usb_redirector_why_not_cd(self, &fix) : NULL;
    if (reason || !iface->share_cd || !iface->unshare_cd) {
        g_task_return_error(task, bh_error_new(BH_ERROR_NOT_SUPPORTED, NULL, NULL, "%s",
                                               reason ? reason : "no shared CD"));
        g_free(reason);
        g_object_unref(task);
        return;
    }
    (share ? iface->share_cd : iface->unshare_cd)(self, path, task);
}

gboolean bh_usb_redirector_share_cd_finish(BhUsbRedirector *self, GAsyncResult *result,
                                           GError **error)
{
    return g_task_propagate_boolean(G_TASK(result), error);
}
