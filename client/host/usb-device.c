/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * BhUsbDevice: one plugged-in device.
 *
 * Everything but its use is fixed for the object's life: a device that is unplugged and comes back,
 * or enumerates anew, is a new object with the same id.
 *
 * The id: vendor:product:serial. Without a usable serial number vendor:product@port. When a second
 * device with the same vendor, product and serial is plugged in while the first is there, the
 * second is vendor:product:serial@port (at start, the one on the lower port counts as the first).
 */
#include "usb-private.h"

#include <glib/gi18n-lib.h>
#include <string.h>

struct _BhUsbDevice {
    GObject parent;
    char *id, *name, *syspath, *port, *node;
    BhUsbAddress address;
    BhUsbKind kind;
    BhUsbUse *use;
    BhUsbMonitor *monitor; /* weak; NULL once it is unplugged */
};

enum { CHANGED, N_SIGNALS };
static guint signals[N_SIGNALS];

G_DEFINE_TYPE(BhUsbDevice, bh_usb_device, G_TYPE_OBJECT)

static void bh_usb_device_finalize(GObject *object)
{
    BhUsbDevice *self = BH_USB_DEVICE(object);
    g_clear_weak_pointer(&self->monitor);
    g_free(self->id);
    g_free(self->name);
    g_free(self->syspath);
    g_free(self->port);
    g_free(self->node);
    bh_usb_use_free(self->use);
    G_OBJECT_CLASS(bh_usb_device_parent_class)->finalize(object);
}

static void bh_usb_device_class_init(BhUsbDeviceClass *klass)
{
    G_OBJECT_CLASS(klass)->finalize = bh_usb_device_finalize;
    signals[CHANGED] = g_signal_new("changed", BH_TYPE_USB_DEVICE, G_SIGNAL_RUN_LAST, 0, NULL, NULL,
                                    NULL, G_TYPE_NONE, 0);
}

static void bh_usb_device_init(BhUsbDevice *self)
{
    self->use = g_new0(BhUsbUse, 1);
    self->use->volumes = g_ptr_array_new();
}

static char *make_id(const BhUsbFacts *facts)
{
    const BhUsbAddress *a = &facts->address;
    if (!facts->serial)
        return g_strdup_printf("%04x:%04x@%s", a->vendor, a->product, facts->port);
    if (facts->duplicate)
        return g_strdup_printf("%04x:%04x:%s@%s", a->vendor, a->product, facts->serial,
                               facts->port);
    return g_strdup_printf("%04x:%04x:%s", a->vendor, a->product, facts->serial);
}

BhUsbDevice *bh_usb_device_new(const BhUsbFacts *facts)
{
    BhUsbDevice *self = g_object_new(BH_TYPE_USB_DEVICE, NULL);
    self->id = make_id(facts);
    self->name = g_strdup(facts->name);
    self->syspath = g_strdup(facts->syspath);
    self->port = g_strdup(facts->port);
    self->node = g_strdup(facts->node);
    self->address = facts->address;
    self->kind = facts->kind;
    return self;
}

/* "0951:1666" then ":serial" and/or "@port": what make_id writes, and rules files may hold. */
gboolean bh_usb_id_is_valid(const char *id)
{
    gsize n = strlen(id);
    if (n < 11 || n > 160 || id[4] != ':' || (id[9] != ':' && id[9] != '@'))
        return FALSE;
    for (gsize i = 0; i < 9; i++)
        if (i != 4 && !g_ascii_isxdigit(id[i]))
            return FALSE;
    for (gsize i = 10; i < n; i++)
        if (!g_ascii_isalnum(id[i]) && !strchr("._-@", id[i]))
            return FALSE;
    return TRUE;
}

const char *bh_usb_device_get_id(BhUsbDevice *self)
{
    return self->id;
}

const char *bh_usb_device_get_name(BhUsbDevice *self)
{
    return self->name;
}

const char *bh_usb_device_get_icon_name(BhUsbDevice *self)
{
    static const char *const icons[] = {
        [BH_USB_KIND_OTHER] = "media-removable-symbolic",
        [BH_USB_KIND_HUB] = "preferences-system-devices-symbolic",
        [BH_USB_KIND_STORAGE] = "drive-harddisk-usb-symbolic",
        [BH_USB_KIND_KEYBOARD] = "input-keyboard-symbolic",
        [BH_USB_KIND_POINTER] = "input-mouse-symbolic",
        [BH_USB_KIND_AUDIO] = "audio-card-symbolic",
        [BH_USB_KIND_VIDEO] = "camera-web-symbolic",
        [BH_USB_KIND_NETWORK] = "network-wired-symbolic",
        [BH_USB_KIND_WIRELESS] = "bluetooth-symbolic",
        [BH_USB_KIND_PRINTER] = "printer-symbolic",
        [BH_USB_KIND_CAMERA] = "camera-photo-symbolic",
        [BH_USB_KIND_SMARTCARD] = "auth-smartcard-symbolic",
        [BH_USB_KIND_GAMEPAD] = "input-gaming-symbolic",
        [BH_USB_KIND_PHONE] = "phone-symbolic",
    };
    return icons[self->kind];
}

const char *bh_usb_device_get_usage(BhUsbDevice *self)
{
    return self->use->usage;
}

BhUsbGuard bh_usb_device_get_guard(BhUsbDevice *self, const char **reason)
{
    if (reason)
        *reason = self->use->reason;
    return self->use->guard;
}

gboolean bh_usb_device_is_hub(BhUsbDevice *self)
{
    return self->kind == BH_USB_KIND_HUB;
}

gboolean bh_usb_device_can_unmount(BhUsbDevice *self)
{
    return self->use->can_unmount;
}

BhUsbAddress bh_usb_device_get_address(BhUsbDevice *self)
{
    return self->address;
}

const char *bh_usb_device_get_port(BhUsbDevice *self)
{
    return self->port;
}

const char *bh_usb_device_get_node(BhUsbDevice *self)
{
    return self->node;
}

const char *bh_usb_device_get_syspath(BhUsbDevice *self)
{
    return self->syspath;
}

BhUsbKind bh_usb_device_get_kind(BhUsbDevice *self)
{
    return self->kind;
}

const BhUsbUse *bh_usb_device_get_use(BhUsbDevice *self)
{
    return self->use;
}

gboolean bh_usb_device_take_use(BhUsbDevice *self, BhUsbUse *use)
{
    gboolean same = use->guard == self->use->guard && use->can_unmount == self->use->can_unmount &&
                    g_strcmp0(use->reason, self->use->reason) == 0 &&
                    g_strcmp0(use->usage, self->use->usage) == 0;
    bh_usb_use_free(self->use);
    self->use = use;
    if (!same)
        g_signal_emit(self, signals[CHANGED], 0);
    return !same;
}

void bh_usb_device_set_monitor(BhUsbDevice *self, BhUsbMonitor *monitor)
{
    g_set_weak_pointer(&self->monitor, monitor);
}

gboolean bh_usb_device_is_present(BhUsbDevice *self)
{
    return self->monitor != NULL;
}

gboolean bh_usb_device_refresh(BhUsbDevice *self)
{
    if (!self->monitor)
        return FALSE;
    bh_usb_monitor_refresh(self->monitor);
    return self->monitor != NULL;
}

char *bh_usb_device_dup_proc(BhUsbDevice *self)
{
    return g_strdup(self->monitor ? bh_usb_monitor_get_proc(self->monitor) : "/proc");
}
