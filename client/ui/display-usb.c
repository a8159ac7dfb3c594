/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The redirector: BhUsbDevice to SpiceUsbDevice and back, one operation at a time.
 *
 * Traps of spice-gtk 0.42 met here: its manager keeps no reference on a device while it connects it
 * (we hold one); disconnecting a device that is not connected is an assertion (it is checked);
 * its operations may never end once the session died (ours then end with an error). A shared CD
 * is a device that appears in the manager after it was asked for, and is gone for good once it
 * is disconnected or ejected.
 */
#include "display-usb.h"

#include <errno.h>
#include <glib/gi18n.h>
#include <glib/gstdio.h>
#include <libusb.h>
#include <string.h>
#include <sys/stat.h>

#include <bulkhead/error.h>

typedef struct {
    GTask *task; /* NULL once it has returned */
    gboolean connect;
    gboolean started;
    SpiceUsbDevice *device; /* owned */
    char *cd;               /* owned: path, for a CD that is being shared */
    BhDisplayUsb *self;     /* owned while started: the callback comes in any case or never */
} Operation;

struct _BhDisplayUsb {
    GObject parent_instance;
    SpiceSession *session;
    SpiceUsbDeviceManager *manager; /* borrowed from session; NULL when USB cannot be used */
    char *problem;                  /* why there is no manager */
    GQueue operations;              /* of Operation; the head runs */
    GHashTable *cds;                /* SpiceUsbDevice (owned) to path */
    guint changed_source;
    gboolean closed;
};

static void redirector_init(BhUsbRedirectorInterface *iface);
static void run_next(BhDisplayUsb *self);

G_DEFINE_TYPE_WITH_CODE(BhDisplayUsb, bh_display_usb, G_TYPE_OBJECT,
                        G_IMPLEMENT_INTERFACE(BH_TYPE_USB_REDIRECTOR, redirector_init))

static void device_free(gpointer device)
{
    if (device)
        g_boxed_free(SPICE_TYPE_USB_DEVICE, device);
}

static gpointer device_ref(SpiceUsbDevice *device)
{
    return g_boxed_copy(SPICE_TYPE_USB_DEVICE, device);
}

/* --- finding --- */

static gboolean is_at(SpiceUsbDevice *device, const BhUsbAddress *address)
{
    libusb_device *usb = (libusb_device *)spice_usb_device_get_libusb_device(device);

    return usb && libusb_get_bus_number(usb) == address->bus &&
           libusb_get_device_address(usb) == address->address;
}

/* Transfer full, or NULL. */
static SpiceUsbDevice *find_device(BhDisplayUsb *self, BhUsbDevice *wanted)
{
    BhUsbAddress address = bh_usb_device_get_address(wanted);
    g_autoptr(GPtrArray) devices = NULL;

    if (!self->manager)
        return NULL;
    devices = spice_usb_device_manager_get_devices(self->manager);
    for (guint i = 0; i < devices->len; i++)
        if (is_at(g_ptr_array_index(devices, i), &address))
            return device_ref(g_ptr_array_index(devices, i));
    return NULL;
}

/* --- telling --- */

static gboolean on_changed_idle(gpointer data)
{
    BhDisplayUsb *self = BH_DISPLAY_USB(data);

    self->changed_source = 0;
    bh_usb_redirector_changed(BH_USB_REDIRECTOR(self));
    return G_SOURCE_REMOVE;
}

/* From an idle callback: spice-gtk signals in the middle of its own bookkeeping. */
static void changed(BhDisplayUsb *self)
{
    if (!self->changed_source && !self->closed)
        self->changed_source = g_idle_add(on_changed_idle, self);
}

static char *why_no_channel(BhDisplayUsb *self, BhUsbFix *fix)
{
    int free_channels = 0;

    if (!self->manager)
        return g_strdup(self->problem ? self->problem : _("The display is not connected."));
    if (!spice_session_has_channel_type(self->session, SPICE_CHANNEL_USBREDIR)) {
        *fix = BH_USB_FIX_ADD_CHANNELS;
        return g_strdup(_("The machine has no USB redirection channels."));
    }
    g_object_get(self->manager, "free-channels", &free_channels, NULL);
    if (free_channels < 1) {
        *fix = BH_USB_FIX_ADD_CHANNELS;
        return g_strdup(_("All USB redirection channels of the machine are in use."));
    }
    return NULL;
}

static char *usb_why_not(BhUsbRedirector *redirector, BhUsbDevice *wanted, BhUsbFix *fix)
{
    BhDisplayUsb *self = BH_DISPLAY_USB(redirector);
    g_autoptr(GError) error = NULL;
    SpiceUsbDevice *device = find_device(self, wanted);
    char *reason = NULL;

    if (!device) {
        reason = self->manager ? g_strdup(_("The device is not ready for redirection."))
                               : why_no_channel(self, fix);
    } else if (!spice_usb_device_manager_is_device_connected(self->manager, device)) {
        reason = why_no_channel(self, fix);
        if (!reason && !spice_usb_device_manager_can_redirect_device(self->manager, device, &error))
            reason = g_strdup_printf(_("The machine refuses this device: %s"), error->message);
    }
    device_free(device);
    return reason;
}

static gboolean usb_is_connected(BhUsbRedirector *redirector, BhUsbDevice *wanted)
{
    BhDisplayUsb *self = BH_DISPLAY_USB(redirector);
    SpiceUsbDevice *device = find_device(self, wanted);
    gboolean connected =
        device && spice_usb_device_manager_is_device_connected(self->manager, device);

    device_free(device);
    return connected;
}

/* --- errors --- */

static gboolean mentions(const char *text, const char *const *words)
{
    g_autofree char *lower = g_ascii_strdown(text, -1);

    for (; *words; words++)
        if (strstr(lower, *words))
            return TRUE;
    return FALSE;
}

/* spice-gtk's errors of this kind have one code; only the text tells them apart. */
static GError *explain(const GError *error, gboolean connecting)
{
    static const char *const rights[] = {"facl",   "authori", "polkit", "permission",
                                         "access", "denied",  NULL};
    static const char *const helper[] = {"acl-helper", "acl helper", NULL};
    static const char *const gone[] = {"no such device", "disconnected", "no_device", NULL};

    if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
        return g_error_copy(error);
    if (error->domain == G_SPAWN_ERROR || mentions(error->message, helper))
        return bh_error_new(
            BH_ERROR_PERMISSION, _("Install the package spice-client-glib-usb-acl-helper."),
            error->message, _("The helper that opens USB devices for you cannot be run."));
    if (mentions(error->message, rights))
        return bh_error_new(BH_ERROR_PERMISSION,
                            _("USB redirection is allowed to the person who sits at this computer: "
                              "log in on its own screen, or ask its administrator for access."),
                            error->message, _("You may not use this USB device."));
    if (mentions(error->message, gone))
        return bh_error_new(BH_ERROR_NOT_FOUND, _("Plug it in again."), error->message,
                            _("The USB device is not there any more."));
    return bh_error_new(BH_ERROR_FAILED, NULL, error->message,
                        connecting ? _("The USB device could not be given to the machine.")
                                   : _("The USB device could not be taken back."));
}

static GError *lost_error(void)
{
    return bh_error_new(BH_ERROR_DISCONNECTED, _("Try again when the machine's screen is back."),
                        NULL, _("The connection to the machine was lost."));
}

/* --- operations --- */

static void operation_free(Operation *operation)
{
    device_free(operation->device);
    g_free(operation->cd);
    g_clear_object(&operation->task);
    g_clear_object(&operation->self);
    g_free(operation);
}

/* Takes the error; NULL: it went well. */
static void operation_return(Operation *operation, GError *error)
{
    g_autoptr(GTask) task = g_steal_pointer(&operation->task);

    if (!task)
        g_clear_error(&error);
    else if (error)
        g_task_return_error(task, error);
    else
        g_task_return_boolean(task, TRUE);
}

/* The operation is off the queue; the next one starts. Frees it. */
static void operation_end(Operation *operation, GError *error)
{
    g_autoptr(BhDisplayUsb) self = g_object_ref(operation->self);

    g_queue_remove(&self->operations, operation);
    operation_return(operation, error);
    operation_free(operation);
    changed(self);
    run_next(self);
}

static void on_connected(GObject *source, GAsyncResult *result, gpointer data)
{
    Operation *operation = data;
    g_autoptr(GError) error = NULL;

    if (!spice_usb_device_manager_connect_device_finish(SPICE_USB_DEVICE_MANAGER(source), result,
                                                        &error)) {
        g_hash_table_remove(operation->self->cds, operation->device);
        operation_end(operation, explain(error, TRUE));
    } else {
        operation_end(operation, NULL);
    }
}

static void on_disconnected(GObject *source, GAsyncResult *result, gpointer data)
{
    Operation *operation = data;
    g_autoptr(GError) error = NULL;

    if (!spice_usb_device_manager_disconnect_device_finish(SPICE_USB_DEVICE_MANAGER(source), result,
                                                           &error)) {
        operation_end(operation, explain(error, FALSE));
    } else {
        g_hash_table_remove(operation->self->cds, operation->device);
        operation_end(operation, NULL);
    }
}

static void start_connect(BhDisplayUsb *self, Operation *operation)
{
    /* Not the task's cancellable: an attach that is cancelled half-way wedges the channel. */
    spice_usb_device_manager_connect_device_async(self->manager, operation->device, NULL,
                                                  on_connected, operation);
}

/* What is wrong with the file, or NULL. spice-gtk says the same for all of it: "failed". */
static GError *check_iso(const char *path)
{
    GStatBuf info;

    if (g_stat(path, &info) != 0 || g_access(path, R_OK) != 0)
        return bh_error_new(errno == ENOENT ? BH_ERROR_NOT_FOUND : BH_ERROR_PERMISSION,
                            _("Choose an ISO image you can read."), path,
                            _("The CD image cannot be read: %s."), g_strerror(errno));
    if (!S_ISREG(info.st_mode) && !S_ISBLK(info.st_mode))
        return bh_error_new(BH_ERROR_INVALID, _("Choose an ISO image."), path,
                            _("This is not a CD image."));
    return NULL;
}

static void start_share(BhDisplayUsb *self, Operation *operation)
{
    GError *error = check_iso(operation->cd);

    if (error) {
        operation_end(operation, error);
        return;
    }
    /* The device arrives with "device-added", from an idle callback. */
    if (spice_usb_device_manager_create_shared_cd_device(self->manager, operation->cd, &error))
        return;
    operation_end(operation, bh_error_new(BH_ERROR_INVALID, _("Choose an ISO image."),
                                          error ? error->message : NULL,
                                          _("The CD image could not be shared.")));
    g_clear_error(&error);
}

static void run_next(BhDisplayUsb *self)
{
    Operation *operation = g_queue_peek_head(&self->operations);

    if (!operation || operation->started || self->closed)
        return;
    operation->started = TRUE;
    operation->self = g_object_ref(self);
    if (operation->cd)
        start_share(self, operation);
    else if (operation->connect)
        start_connect(self, operation);
    else if (spice_usb_device_manager_is_device_connected(self->manager, operation->device))
        spice_usb_device_manager_disconnect_device_async(self->manager, operation->device, NULL,
                                                         on_disconnected, operation);
    else
        operation_end(operation, NULL);
}

/* Takes device, cd and the task: as every driver side does, see machine.h. */
static void add_operation(BhDisplayUsb *self, GTask *task, gboolean connect, SpiceUsbDevice *device,
                          char *cd)
{
    Operation *operation = g_new0(Operation, 1);

    operation->task = task;
    operation->connect = connect;
    operation->device = device;
    operation->cd = cd;
    g_queue_push_tail(&self->operations, operation);
    run_next(self);
}

/* Takes both. */
static void refuse(GTask *task, GError *error)
{
    g_task_return_error(task, error);
    g_object_unref(task);
}

static void usb_move(BhUsbRedirector *redirector, BhUsbDevice *wanted, GTask *task,
                     gboolean connect)
{
    BhDisplayUsb *self = BH_DISPLAY_USB(redirector);
    SpiceUsbDevice *device = find_device(self, wanted);

    if (!device)
        refuse(task, bh_error_new(BH_ERROR_NOT_FOUND, _("Plug it in again."), NULL,
                                  _("The USB device is not there any more.")));
    else
        add_operation(self, task, connect, device, NULL);
}

static void usb_connect(BhUsbRedirector *redirector, BhUsbDevice *wanted, GTask *task)
{
    usb_move(redirector, wanted, task, TRUE);
}

static void usb_disconnect(BhUsbRedirector *redirector, BhUsbDevice *wanted, GTask *task)
{
    usb_move(redirector, wanted, task, FALSE);
}

/* --- shared CDs --- */

static char *usb_why_not_cd(BhUsbRedirector *redirector, BhUsbFix *fix)
{
    return why_no_channel(BH_DISPLAY_USB(redirector), fix);
}

static GPtrArray *usb_list_cds(BhUsbRedirector *redirector)
{
    BhDisplayUsb *self = BH_DISPLAY_USB(redirector);
    GPtrArray *paths = g_ptr_array_new_with_free_func(g_free);
    GHashTableIter iter;
    gpointer path;

    g_hash_table_iter_init(&iter, self->cds);
    while (g_hash_table_iter_next(&iter, NULL, &path))
        g_ptr_array_add(paths, g_strdup(path));
    return paths;
}

static void usb_share_cd(BhUsbRedirector *redirector, const char *path, GTask *task)
{
    BhDisplayUsb *self = BH_DISPLAY_USB(redirector);

    if (self->manager)
        add_operation(self, task, TRUE, NULL, g_strdup(path));
    else
        refuse(task, lost_error());
}

static void usb_unshare_cd(BhUsbRedirector *redirector, const char *path, GTask *task)
{
    BhDisplayUsb *self = BH_DISPLAY_USB(redirector);
    GHashTableIter iter;
    gpointer device, shared;

    g_hash_table_iter_init(&iter, self->cds);
    while (self->manager && g_hash_table_iter_next(&iter, &device, &shared))
        if (!strcmp(shared, path)) {
            add_operation(self, task, FALSE, device_ref(device), NULL);
            return;
        }
    g_task_return_boolean(task, TRUE); /* it is not shared: nothing to do */
    g_object_unref(task);
}

static void on_device_added(SpiceUsbDeviceManager *manager, SpiceUsbDevice *device,
                            BhDisplayUsb *self)
{
    Operation *operation = g_queue_peek_head(&self->operations);

    if (operation && operation->cd && !operation->device &&
        spice_usb_device_manager_is_device_shared_cd(manager, device)) {
        operation->device = device_ref(device);
        g_hash_table_insert(self->cds, device_ref(device), g_strdup(operation->cd));
        start_connect(self, operation);
    }
    changed(self);
}

static void on_device_removed(SpiceUsbDeviceManager *manager, SpiceUsbDevice *device,
                              BhDisplayUsb *self)
{
    g_hash_table_remove(self->cds, device);
    changed(self);
}

static void on_device_error(SpiceUsbDeviceManager *manager, SpiceUsbDevice *device, GError *error,
                            BhDisplayUsb *self)
{
    g_message("USB redirection ended: %s", error ? error->message : "unknown");
    changed(self);
}

/* --- life --- */

static void on_channel(SpiceSession *session, SpiceChannel *channel, BhDisplayUsb *self)
{
    if (SPICE_IS_USBREDIR_CHANNEL(channel))
        changed(self);
}

void bh_display_usb_close(BhDisplayUsb *self)
{
    if (self->closed)
        return;
    self->closed = TRUE;
    g_clear_handle_id(&self->changed_source, g_source_remove);
    if (self->manager)
        g_signal_handlers_disconnect_by_data(self->manager, self);
    g_signal_handlers_disconnect_by_data(self->session, self);
    for (GList *link = self->operations.head; link; link = link->next)
        operation_return(link->data, lost_error());
    /* A started one is still spice-gtk's: its callback frees it. */
    for (GList *link = self->operations.head; link;) {
        GList *next = link->next;
        Operation *operation = link->data;
        if (!operation->started || (operation->cd && !operation->device)) {
            g_queue_delete_link(&self->operations, link);
            operation_free(operation);
        }
        link = next;
    }
    g_hash_table_remove_all(self->cds);
    self->manager = NULL;
}

static void bh_display_usb_dispose(GObject *object)
{
    BhDisplayUsb *self = BH_DISPLAY_USB(object);

    bh_display_usb_close(self);
    g_queue_clear_full(&self->operations, (GDestroyNotify)operation_free);
    g_clear_pointer(&self->cds, g_hash_table_unref);
    g_clear_object(&self->session);
    g_clear_pointer(&self->problem, g_free);
    G_OBJECT_CLASS(bh_display_usb_parent_class)->dispose(object);
}

static void redirector_init(BhUsbRedirectorInterface *iface)
{
    iface->why_not = usb_why_not;
    iface->is_connected = usb_is_connected;
    iface->connect = usb_connect;
    iface->disconnect = usb_disconnect;
    iface->why_not_cd = usb_why_not_cd;
    iface->list_cds = usb_list_cds;
    iface->share_cd = usb_share_cd;
    iface->unshare_cd = usb_unshare_cd;
}

static void bh_display_usb_class_init(BhDisplayUsbClass *class)
{
    G_OBJECT_CLASS(class)->dispose = bh_display_usb_dispose;
}

static void bh_display_usb_init(BhDisplayUsb *self)
{
    g_queue_init(&self->operations);
    self->cds = g_hash_table_new_full(NULL, NULL, device_free, g_free);
}

BhDisplayUsb *bh_display_usb_new(SpiceSession *session)
{
    BhDisplayUsb *self = g_object_new(BH_TYPE_DISPLAY_USB, NULL);
    g_autoptr(GError) error = NULL;

    self->session = g_object_ref(session);
    self->manager = spice_usb_device_manager_get(session, &error);
    if (!self->manager) {
        self->problem = g_strdup_printf(_("USB redirection cannot be used here: %s"),
                                        error ? error->message : _("unknown reason"));
        return self;
    }
    g_object_set(self->manager, "auto-connect", FALSE, "redirect-on-connect", NULL, NULL);
    g_signal_connect(self->manager, "device-added", G_CALLBACK(on_device_added), self);
    g_signal_connect(self->manager, "device-removed", G_CALLBACK(on_device_removed), self);
    g_signal_connect(self->manager, "device-error", G_CALLBACK(on_device_error), self);
    g_signal_connect_swapped(self->manager, "notify::free-channels", G_CALLBACK(changed), self);
    g_signal_connect(session, "channel-new", G_CALLBACK(on_channel), self);
    g_signal_connect(session, "channel-destroy", G_CALLBACK(on_channel), self);
    return self;
}
