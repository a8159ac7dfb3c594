/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A BhUsbRedirector for tests: answers as it is told, on its own time or never. */
#pragma once

#include <bulkhead/error.h>
#include <bulkhead/usb.h>

#define BED_TYPE_REDIRECTOR (bed_redirector_get_type())
G_DECLARE_FINAL_TYPE(BedRedirector, bed_redirector, BED, REDIRECTOR, GObject)
struct _BedRedirector {
    GObject parent;
    GHashTable *connected; /* set of device ids */
    GPtrArray *cds;
    char *why_not;
    BhUsbFix fix;
    gboolean mute; /* keeps the task instead of answering */
    GTask *kept;
    BhUsbDevice *kept_device;
    BhErrorCode error; /* BH_ERROR_FAILED + 1 and up: the next connect fails so */
    guint connects;
};

static char *bed_why_not(BhUsbRedirector *r, BhUsbDevice *device, BhUsbFix *fix)
{
    *fix = BED_REDIRECTOR(r)->fix;
    return g_strdup(BED_REDIRECTOR(r)->why_not);
}

static gboolean bed_is_connected(BhUsbRedirector *r, BhUsbDevice *device)
{
    return g_hash_table_contains(BED_REDIRECTOR(r)->connected, bh_usb_device_get_id(device));
}

static void bed_connect(BhUsbRedirector *r, BhUsbDevice *device, GTask *task)
{
    BedRedirector *self = BED_REDIRECTOR(r);
    self->connects++;
    if (self->mute) {
        self->kept = task;
        g_set_object(&self->kept_device, device);
        return;
    }
    if (self->error) {
        g_task_return_error(task, bh_error_new(self->error, NULL, NULL, "told to fail"));
        self->error = 0;
    } else {
        g_hash_table_add(self->connected, g_strdup(bh_usb_device_get_id(device)));
        g_task_return_boolean(task, TRUE);
    }
    g_object_unref(task);
    bh_usb_redirector_changed(r);
}

static void bed_disconnect(BhUsbRedirector *r, BhUsbDevice *device, GTask *task)
{
    g_hash_table_remove(BED_REDIRECTOR(r)->connected, bh_usb_device_get_id(device));
    g_task_return_boolean(task, TRUE);
    g_object_unref(task);
    bh_usb_redirector_changed(r);
}

static inline void bed_redirector_answer(BedRedirector *self)
{
    GTask *task = g_steal_pointer(&self->kept);
    g_hash_table_add(self->connected, g_strdup(bh_usb_device_get_id(self->kept_device)));
    g_task_return_boolean(task, TRUE);
    g_object_unref(task);
    bh_usb_redirector_changed(BH_USB_REDIRECTOR(self));
}

static GPtrArray *bed_list_cds(BhUsbRedirector *r)
{
    GPtrArray *list = g_ptr_array_new_with_free_func(g_free);
    for (guint i = 0; i < BED_REDIRECTOR(r)->cds->len; i++)
        g_ptr_array_add(list, g_strdup(BED_REDIRECTOR(r)->cds->pdata[i]));
    return list;
}

static void bed_share_cd(BhUsbRedirector *r, const char *path, GTask *task)
{
    g_ptr_array_add(BED_REDIRECTOR(r)->cds, g_strdup(path));
    g_task_return_boolean(task, TRUE);
    g_object_unref(task);
    bh_usb_redirector_changed(r);
}

static void bed_unshare_cd(BhUsbRedirector *r, const char *path, GTask *task)
{
    guint index;
    if (g_ptr_array_find_with_equal_func(BED_REDIRECTOR(r)->cds, path, g_str_equal, &index))
        g_ptr_array_remove_index(BED_REDIRECTOR(r)->cds, index);
    g_task_return_boolean(task, TRUE);
    g_object_unref(task);
    bh_usb_redirector_changed(r);
}

static void bed_redirector_iface_init(BhUsbRedirectorInterface *iface)
{
    iface->why_not = bed_why_not;
    iface->is_connected = bed_is_connected;
    iface->connect = bed_connect;
    iface->disconnect = bed_disconnect;
    iface->list_cds = bed_list_cds;
    iface->share_cd = bed_share_cd;
    iface->unshare_cd = bed_unshare_cd;
}

G_DEFINE_TYPE_WITH_CODE(BedRedirector, bed_redirector, G_TYPE_OBJECT,
                        G_IMPLEMENT_INTERFACE(BH_TYPE_USB_REDIRECTOR, bed_redirector_iface_init))

static void bed_redirector_finalize(GObject *object)
{
    BedRedirector *self = BED_REDIRECTOR(object);
    g_hash_table_unref(self->connected);
    g_ptr_array_unref(self->cds);
    g_clear_object(&self->kept_device);
    g_free(self->why_not);
    G_OBJECT_CLASS(bed_redirector_parent_class)->finalize(object);
}

static void bed_redirector_class_init(BedRedirectorClass *klass)
{
    G_OBJECT_CLASS(klass)->finalize = bed_redirector_finalize;
}

static void bed_redirector_init(BedRedirector *self)
{
    self->connected = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    self->cds = g_ptr_array_new_with_free_func(g_free);
}
