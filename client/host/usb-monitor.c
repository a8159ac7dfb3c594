/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * BhUsbMonitor: the USB devices of this computer, as a live GListModel in port order.
 *
 * A device appears on udev's "bind" event: at "add" its node and its drivers are not ready, and
 * attaching it then fails. "add" alone counts only after a while (kernels before 4.14, a device
 * without a driver). It goes on "unbind" or "remove" of the device itself. What uses a device is
 * looked at again when mounts, swap, network or the devices below it change.
 */
#include "usb-private.h"

#include <fcntl.h>
#include <glib-unix.h>
#include <gudev/gudev.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BIND_WAIT_MS 2000
#define REFRESH_DELAY_MS 150

typedef struct {
    int fd;
    guint source;
} Watch;

struct _BhUsbMonitor {
    GObject parent;
    GUdevClient *udev;
    GPtrArray *devices;  /* BhUsbDevice */
    GHashTable *waiting; /* syspath -> timeout source id: added, not bound yet */
    char *proc;
    guint bind_wait;
    guint refresh_source;
    Watch watches[3];
};

static void bh_usb_monitor_model_init(GListModelInterface *iface);

G_DEFINE_TYPE_WITH_CODE(BhUsbMonitor, bh_usb_monitor, G_TYPE_OBJECT,
                        G_IMPLEMENT_INTERFACE(G_TYPE_LIST_MODEL, bh_usb_monitor_model_init))

static GType get_item_type(GListModel *model)
{
    return BH_TYPE_USB_DEVICE;
}

static guint get_n_items(GListModel *model)
{
    return BH_USB_MONITOR(model)->devices->len;
}

static gpointer get_item(GListModel *model, guint position)
{
    GPtrArray *devices = BH_USB_MONITOR(model)->devices;
    return position < devices->len ? g_object_ref(devices->pdata[position]) : NULL;
}

static void bh_usb_monitor_model_init(GListModelInterface *iface)
{
    iface->get_item_type = get_item_type;
    iface->get_n_items = get_n_items;
    iface->get_item = get_item;
}

/* "1-10.2" comes after "1-9": numbers are compared as numbers. */
static int compare_ports(const char *a, const char *b)
{
    g_autofree char *ka = g_utf8_collate_key_for_filename(a, -1);
    g_autofree char *kb = g_utf8_collate_key_for_filename(b, -1);
    int order = strcmp(ka, kb);
    return order ? order : strcmp(a, b);
}

static void insert_device(BhUsbMonitor *self, BhUsbDevice *device)
{
    guint i = 0;
    while (i < self->devices->len && compare_ports(bh_usb_device_get_port(self->devices->pdata[i]),
                                                   bh_usb_device_get_port(device)) < 0)
        i++;
    g_ptr_array_insert(self->devices, i, device);
    bh_usb_device_set_monitor(device, self);
    g_list_model_items_changed(G_LIST_MODEL(self), i, 0, 1);
}

static void remove_syspath(BhUsbMonitor *self, const char *syspath)
{
    for (guint i = 0; i < self->devices->len; i++) {
        g_autoptr(BhUsbDevice) device = g_object_ref(self->devices->pdata[i]);
        if (strcmp(bh_usb_device_get_syspath(device), syspath) != 0)
            continue;
        bh_usb_device_set_monitor(device, NULL);
        g_ptr_array_remove_index(self->devices, i);
        g_list_model_items_changed(G_LIST_MODEL(self), i, 1, 0);
        return;
    }
}

/* The classes of the device's interfaces, as "08:06:50" texts (class, subclass, protocol). */
static GPtrArray *read_interfaces(const char *syspath)
{
    GPtrArray *list = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GDir) dir = g_dir_open(syspath, 0, NULL);
    const char *name;
    while (dir && (name = g_dir_read_name(dir))) {
        if (!strchr(name, ':'))
            continue;
        g_autofree char *folder = g_build_filename(syspath, name, NULL);
        g_autofree char *class = bh_usb_read_small(folder, "bInterfaceClass");
        g_autofree char *subclass = bh_usb_read_small(folder, "bInterfaceSubClass");
        g_autofree char *protocol = bh_usb_read_small(folder, "bInterfaceProtocol");
        if (class)
            g_ptr_array_add(list, g_strdup_printf("%s:%s:%s", class, subclass ? subclass : "",
                                                  protocol ? protocol : ""));
    }
    return list;
}

/* The kind of a device with several functions is the one that names it best: a webcam with a
 * microphone is a webcam, a headset with volume keys is a headset. */
static BhUsbKind find_kind(const char *device_class, GPtrArray *interfaces)
{
    static const struct {
        const char *prefix;
        BhUsbKind kind;
    } table[] = {
        {"08", BH_USB_KIND_STORAGE},        {"0e", BH_USB_KIND_VIDEO},
        {"06", BH_USB_KIND_CAMERA},         {"07", BH_USB_KIND_PRINTER},
        {"0b", BH_USB_KIND_SMARTCARD},      {"e0:01", BH_USB_KIND_WIRELESS},
        {"01", BH_USB_KIND_AUDIO},          {"02:06", BH_USB_KIND_NETWORK},
        {"02:0d", BH_USB_KIND_NETWORK},     {"e0:02", BH_USB_KIND_NETWORK},
        {"ff:42", BH_USB_KIND_PHONE},       {"ff:5d", BH_USB_KIND_GAMEPAD},
        {"03:01:01", BH_USB_KIND_KEYBOARD}, {"03:01:02", BH_USB_KIND_POINTER},
    };
    if (g_strcmp0(device_class, "09") == 0)
        return BH_USB_KIND_HUB;
    for (guint i = 0; i < G_N_ELEMENTS(table); i++)
        for (guint k = 0; k < interfaces->len; k++)
            if (g_str_has_prefix(interfaces->pdata[k], table[i].prefix))
                return table[i].kind;
    return BH_USB_KIND_OTHER;
}

/* udev's copy first: sysfs answers these strings only after locking the device, which waits as
 * long as a misbehaving one is being reset. */
static char *device_string(GUdevDevice *udev, const char *property, const char *attribute)
{
    g_autofree char *value = bh_usb_unescape(g_udev_device_get_property(udev, property));
    char *clean = bh_usb_sanitise(value);
    return clean ? clean : bh_usb_sanitise(g_udev_device_get_sysfs_attr(udev, attribute));
}

static char *device_name(GUdevDevice *udev, guint16 vendor, guint16 product)
{
    g_autofree char *maker = device_string(udev, "ID_VENDOR_ENC", "manufacturer");
    g_autofree char *model = device_string(udev, "ID_MODEL_ENC", "product");
    g_autofree char *ids_maker = NULL, *ids_model = NULL;
    char hex[8];
    /* Without strings udev puts the numbers there. */
    g_snprintf(hex, sizeof hex, "%04x", vendor);
    if (g_strcmp0(maker, hex) == 0)
        g_clear_pointer(&maker, g_free);
    g_snprintf(hex, sizeof hex, "%04x", product);
    if (g_strcmp0(model, hex) == 0)
        g_clear_pointer(&model, g_free);
    if (!maker)
        maker = bh_usb_sanitise(g_udev_device_get_property(udev, "ID_VENDOR_FROM_DATABASE"));
    if (!model)
        model = bh_usb_sanitise(g_udev_device_get_property(udev, "ID_MODEL_FROM_DATABASE"));
    if (!maker || !model) {
        bh_usb_ids_lookup(NULL, vendor, product, &ids_maker, &ids_model);
        if (!maker)
            maker = g_steal_pointer(&ids_maker);
        if (!model)
            model = g_steal_pointer(&ids_model);
    }
    return bh_usb_compose_name(maker, model, vendor, product);
}

static char *device_serial(GUdevDevice *udev)
{
    const char *serial = g_udev_device_get_property(udev, "ID_SERIAL_SHORT");
    return bh_usb_sanitise_serial(serial ? serial : g_udev_device_get_sysfs_attr(udev, "serial"));
}

static guint hex_attribute(const char *syspath, const char *name)
{
    g_autofree char *text = bh_usb_read_small(syspath, name);
    return text ? (guint)g_ascii_strtoull(text, NULL, 16) : 0;
}

static guint number_attribute(const char *syspath, const char *name)
{
    g_autofree char *text = bh_usb_read_small(syspath, name);
    return text ? (guint)g_ascii_strtoull(text, NULL, 10) : 0;
}

static gboolean serial_is_listed(BhUsbMonitor *self, const BhUsbFacts *facts)
{
    g_autofree char *id = facts->serial ? g_strdup_printf("%04x:%04x:%s", facts->address.vendor,
                                                          facts->address.product, facts->serial)
                                        : NULL;
    return id && bh_usb_monitor_find(self, id) != NULL;
}

/* NULL for what is no device of its own: root hubs ("usb1"), and what went away meanwhile. */
static BhUsbDevice *make_device(BhUsbMonitor *self, GUdevDevice *udev)
{
    const char *syspath = g_udev_device_get_sysfs_path(udev);
    g_autofree char *port = g_path_get_basename(syspath);
    BhUsbFacts facts = {.syspath = syspath, .port = port};
    facts.address.vendor = hex_attribute(syspath, "idVendor");
    facts.address.product = hex_attribute(syspath, "idProduct");
    facts.address.bus = number_attribute(syspath, "busnum");
    facts.address.address = number_attribute(syspath, "devnum");
    if (!g_ascii_isdigit(port[0]) || facts.address.bus == 0 || facts.address.address == 0)
        return NULL;
    g_autofree char *class = bh_usb_read_small(syspath, "bDeviceClass");
    g_autofree char *serial = device_serial(udev);
    g_autofree char *name = device_name(udev, facts.address.vendor, facts.address.product);
    g_autofree char *node =
        g_strdup_printf("/dev/bus/usb/%03u/%03u", facts.address.bus, facts.address.address);
    g_autoptr(GPtrArray) interfaces = read_interfaces(syspath);
    facts.serial = serial;
    facts.name = name;
    facts.node = node;
    facts.kind = find_kind(class, interfaces);
    facts.duplicate = serial_is_listed(self, &facts);
    return bh_usb_device_new(&facts);
}

static BhUsbDevice *find_by_syspath(BhUsbMonitor *self, const char *syspath)
{
    for (guint i = 0; i < self->devices->len; i++)
        if (strcmp(bh_usb_device_get_syspath(self->devices->pdata[i]), syspath) == 0)
            return self->devices->pdata[i];
    return NULL;
}

static void check_use(BhUsbDevice *device, const BhUsbSystem *system)
{
    bh_usb_device_take_use(device,
                           bh_usb_guard_check(system, bh_usb_device_get_syspath(device),
                                              bh_usb_device_get_kind(device) == BH_USB_KIND_HUB));
}

/* A bind for a listed device with the same address is a mere change of driver; with another
 * address its removal was missed: it is a new device. */
static void add_udev_device(BhUsbMonitor *self, GUdevDevice *udev)
{
    const char *syspath = g_udev_device_get_sysfs_path(udev);
    BhUsbDevice *old = find_by_syspath(self, syspath);
    if (old && bh_usb_device_get_address(old).address == number_attribute(syspath, "devnum"))
        return;
    if (old)
        remove_syspath(self, syspath);
    BhUsbDevice *device = make_device(self, udev);
    if (!device)
        return;
    g_autoptr(BhUsbSystem) system = bh_usb_system_read(self->proc);
    check_use(device, system);
    insert_device(self, device);
}

void bh_usb_monitor_refresh(BhUsbMonitor *self)
{
    g_autoptr(BhUsbSystem) system = bh_usb_system_read(self->proc);
    /* Handlers of "changed" may do anything, so walk over a copy. */
    g_autoptr(GPtrArray) devices = g_ptr_array_new_with_free_func(g_object_unref);
    for (guint i = 0; i < self->devices->len; i++)
        g_ptr_array_add(devices, g_object_ref(self->devices->pdata[i]));
    for (guint i = 0; i < devices->len; i++)
        check_use(devices->pdata[i], system);
}

static gboolean on_refresh(gpointer data)
{
    BhUsbMonitor *self = data;
    self->refresh_source = 0;
    bh_usb_monitor_refresh(self);
    return G_SOURCE_REMOVE;
}

/* Events come in bursts (a disk brings ten): one look at the end is enough. */
static void queue_refresh(BhUsbMonitor *self)
{
    if (self->refresh_source == 0)
        self->refresh_source = g_timeout_add(REFRESH_DELAY_MS, on_refresh, self);
}

typedef struct {
    BhUsbMonitor *monitor;
    GUdevDevice *udev;
} Waiting;

static void waiting_free(gpointer data)
{
    Waiting *waiting = data;
    g_object_unref(waiting->udev);
    g_free(waiting);
}

static gboolean on_bind_missing(gpointer data)
{
    Waiting *waiting = data;
    g_hash_table_remove(waiting->monitor->waiting, g_udev_device_get_sysfs_path(waiting->udev));
    add_udev_device(waiting->monitor, waiting->udev);
    return G_SOURCE_REMOVE;
}

static void stop_waiting(BhUsbMonitor *self, const char *syspath)
{
    guint source = GPOINTER_TO_UINT(g_hash_table_lookup(self->waiting, syspath));
    if (source == 0)
        return;
    g_hash_table_remove(self->waiting, syspath);
    g_source_remove(source);
}

static void wait_for_bind(BhUsbMonitor *self, GUdevDevice *udev)
{
    Waiting *waiting = g_new(Waiting, 1);
    const char *syspath = g_udev_device_get_sysfs_path(udev);
    *waiting = (Waiting){self, g_object_ref(udev)};
    stop_waiting(self, syspath);
    guint source = g_timeout_add_full(G_PRIORITY_DEFAULT, self->bind_wait, on_bind_missing, waiting,
                                      waiting_free);
    g_hash_table_insert(self->waiting, g_strdup(syspath), GUINT_TO_POINTER(source));
}

static void on_device_event(BhUsbMonitor *self, const char *action, GUdevDevice *udev)
{
    const char *syspath = g_udev_device_get_sysfs_path(udev);
    if (strcmp(action, "bind") == 0) {
        stop_waiting(self, syspath);
        add_udev_device(self, udev);
    } else if (strcmp(action, "add") == 0) {
        wait_for_bind(self, udev);
    } else if (strcmp(action, "remove") == 0 || strcmp(action, "unbind") == 0) {
        stop_waiting(self, syspath);
        remove_syspath(self, syspath);
    }
}

static void on_uevent(GUdevClient *client, const char *action, GUdevDevice *udev, gpointer data)
{
    BhUsbMonitor *self = data;
    if (g_strcmp0(g_udev_device_get_subsystem(udev), "usb") == 0 &&
        g_strcmp0(g_udev_device_get_devtype(udev), "usb_device") == 0)
        on_device_event(self, action, udev);
    queue_refresh(self);
}

static gboolean on_proc_changed(int fd, GIOCondition condition, gpointer data)
{
    queue_refresh(data);
    return G_SOURCE_CONTINUE;
}

static gboolean on_route_changed(int fd, GIOCondition condition, gpointer data)
{
    char buffer[4096];
    while (recv(fd, buffer, sizeof buffer, MSG_DONTWAIT) > 0)
        continue;
    queue_refresh(data);
    return G_SOURCE_CONTINUE;
}

static Watch watch_fd(BhUsbMonitor *self, int fd, GIOCondition condition, GUnixFDSourceFunc call)
{
    Watch watch = {fd, 0};
    if (fd < 0)
        return watch;
    GSource *source = g_unix_fd_source_new(fd, condition);
    g_source_set_callback(source, G_SOURCE_FUNC(call), self, NULL);
    watch.source = g_source_attach(source, g_main_context_get_thread_default());
    g_source_unref(source);
    return watch;
}

/* The kernel signals an exceptional condition on these files when the table changes. */
static Watch watch_proc(BhUsbMonitor *self, const char *name)
{
    g_autofree char *path = g_build_filename(self->proc, name, NULL);
    return watch_fd(self, open(path, O_RDONLY | O_CLOEXEC), G_IO_PRI | G_IO_ERR, on_proc_changed);
}

/* Not GNetworkMonitor: making that one can wait for NetworkManager on the system bus. */
static Watch watch_routes(BhUsbMonitor *self)
{
    struct sockaddr_nl address = {.nl_family = AF_NETLINK,
                                  .nl_groups = RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE};
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
    if (fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) < 0) {
        close(fd);
        fd = -1;
    }
    return watch_fd(self, fd, G_IO_IN, on_route_changed);
}

static void unwatch(Watch *watch)
{
    g_clear_handle_id(&watch->source, g_source_remove);
    if (watch->fd >= 0)
        close(watch->fd);
    watch->fd = -1;
}

static int compare_udev(gconstpointer a, gconstpointer b)
{
    g_autofree char *pa = g_path_get_basename(g_udev_device_get_sysfs_path((GUdevDevice *)a));
    g_autofree char *pb = g_path_get_basename(g_udev_device_get_sysfs_path((GUdevDevice *)b));
    return compare_ports(pa, pb);
}

static void list_devices(BhUsbMonitor *self)
{
    GList *list = g_udev_client_query_by_subsystem(self->udev, "usb");
    list = g_list_sort(list, compare_udev); /* decides who is first among equal serial numbers */
    for (GList *l = list; l; l = l->next)
        if (g_strcmp0(g_udev_device_get_devtype(l->data), "usb_device") == 0)
            add_udev_device(self, l->data);
    g_list_free_full(list, g_object_unref);
}

static void bh_usb_monitor_dispose(GObject *object)
{
    BhUsbMonitor *self = BH_USB_MONITOR(object);
    GHashTableIter iter;
    gpointer source;
    if (self->waiting) {
        g_hash_table_iter_init(&iter, self->waiting);
        while (g_hash_table_iter_next(&iter, NULL, &source))
            g_source_remove(GPOINTER_TO_UINT(source));
        g_clear_pointer(&self->waiting, g_hash_table_unref);
    }
    g_clear_handle_id(&self->refresh_source, g_source_remove);
    for (guint i = 0; i < G_N_ELEMENTS(self->watches); i++)
        unwatch(&self->watches[i]);
    if (self->udev)
        g_signal_handlers_disconnect_by_data(self->udev, self);
    g_clear_object(&self->udev);
    G_OBJECT_CLASS(bh_usb_monitor_parent_class)->dispose(object);
}

static void bh_usb_monitor_finalize(GObject *object)
{
    BhUsbMonitor *self = BH_USB_MONITOR(object);
    g_ptr_array_unref(self->devices);
    g_free(self->proc);
    G_OBJECT_CLASS(bh_usb_monitor_parent_class)->finalize(object);
}

static void bh_usb_monitor_class_init(BhUsbMonitorClass *klass)
{
    G_OBJECT_CLASS(klass)->dispose = bh_usb_monitor_dispose;
    G_OBJECT_CLASS(klass)->finalize = bh_usb_monitor_finalize;
}

static void bh_usb_monitor_init(BhUsbMonitor *self)
{
    for (guint i = 0; i < G_N_ELEMENTS(self->watches); i++)
        self->watches[i].fd = -1;
    self->devices = g_ptr_array_new_with_free_func(g_object_unref);
    self->waiting = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
}

BhUsbMonitor *bh_usb_monitor_new_full(const char *proc, guint bind_wait)
{
    /* The last ones only tell that something below a device came or went. */
    static const char *const subsystems[] = {"usb", "block", "input", "net", "sound", NULL};
    BhUsbMonitor *self = g_object_new(BH_TYPE_USB_MONITOR, NULL);
    self->proc = g_strdup(proc);
    self->bind_wait = bind_wait;
    self->udev = g_udev_client_new(subsystems);
    g_signal_connect(self->udev, "uevent", G_CALLBACK(on_uevent), self);
    self->watches[0] = watch_proc(self, "self/mountinfo");
    self->watches[1] = watch_proc(self, "swaps");
    self->watches[2] = watch_routes(self);
    list_devices(self);
    return self;
}

BhUsbMonitor *bh_usb_monitor_new(void)
{
    return bh_usb_monitor_new_full("/proc", BIND_WAIT_MS);
}

const char *bh_usb_monitor_get_proc(BhUsbMonitor *self)
{
    return self->proc;
}

BhUsbDevice *bh_usb_monitor_find(BhUsbMonitor *self, const char *id)
{
    for (guint i = 0; i < self->devices->len; i++)
        if (strcmp(bh_usb_device_get_id(self->devices->pdata[i]), id) == 0)
            return self->devices->pdata[i];
    return NULL;
}
