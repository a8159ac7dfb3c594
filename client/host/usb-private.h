/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the USB files of this room share and nobody else may use: how a BhUsbDevice is made, the
 * snapshot of the host that its protection is judged by, and the knobs that tests turn.
 */
#pragma once

#include <bulkhead/error.h>
#include <bulkhead/usb.h>

G_BEGIN_DECLS

/* usb-names.c: text from a device is hostile. */
char *bh_usb_sanitise(const char *raw);        /* for people; NULL when nothing is left */
char *bh_usb_sanitise_serial(const char *raw); /* for an id; NULL when it identifies nothing */
char *bh_usb_unescape(const char *encoded);    /* udev's \x20 encoding */
/* From usb.ids, for a system without udev's hardware database. file NULL: the usual places. */
void bh_usb_ids_lookup(const char *file, guint16 vendor, guint16 product, char **vendor_name,
                       char **product_name);
char *bh_usb_compose_name(const char *vendor_name, const char *product_name, guint16 vendor,
                          guint16 product);

/* usb-system.c: the host's side of things at one moment. */
typedef struct {
    guint major, minor;
    char *source; /* "/dev/sdb1" */
    char *point;  /* "/media/stick" */
} BhUsbMount;
typedef struct {
    char *path; /* in sysfs */
    gboolean keyboard, pointer;
} BhUsbInput;
typedef struct {
    char *proc;         /* "/proc" or a test's folder */
    GPtrArray *mounts;  /* BhUsbMount */
    GPtrArray *swaps;   /* char * */
    GHashTable *routes; /* set of interface names with a default route */
    GPtrArray *inputs;  /* BhUsbInput, real devices only */
    GHashTable *blocks; /* name -> path in sysfs; so the next two */
    GHashTable *interfaces;
    GHashTable *cards;
} BhUsbSystem;
BhUsbSystem *bh_usb_system_read(const char *proc);
void bh_usb_system_free(BhUsbSystem *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(BhUsbSystem, bh_usb_system_free)
/* Pure, and fuzzed: files of /proc. */
GPtrArray *bh_usb_parse_mounts(const char *text);
GPtrArray *bh_usb_parse_swaps(const char *text);
void bh_usb_parse_routes(const char *text, GHashTable *set);
void bh_usb_parse_ipv6_routes(const char *text, GHashTable *set);
/* A small text file, limited; NULL when it cannot be read. Never blocks on a device. */
char *bh_usb_read_small(const char *directory, const char *name);
gboolean bh_usb_path_is_below(const char *path, const char *parent);

/* usb-guard.c: what uses a device. */
typedef struct {
    char *name;        /* "sdb1", "dm-0" */
    char *node;        /* "/dev/sdb1" */
    GPtrArray *points; /* char *: where it is mounted */
    gboolean crypt;    /* an unlocked LUKS volume lies on it */
} BhUsbVolume;
typedef struct {
    BhUsbGuard guard;
    char *reason, *usage; /* translated, or NULL */
    gboolean can_unmount;
    gboolean only_storage; /* CONFIRM, and nothing but mounted volumes stands in the way */
    GPtrArray *volumes;    /* BhUsbVolume, outermost last: unmount in this order */
} BhUsbUse;
BhUsbUse *bh_usb_guard_check(const BhUsbSystem *system, const char *syspath, gboolean hub);
void bh_usb_use_free(BhUsbUse *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(BhUsbUse, bh_usb_use_free)

/* usb-device.c */
typedef enum {
    BH_USB_KIND_OTHER,
    BH_USB_KIND_HUB,
    BH_USB_KIND_STORAGE,
    BH_USB_KIND_KEYBOARD,
    BH_USB_KIND_POINTER,
    BH_USB_KIND_AUDIO,
    BH_USB_KIND_VIDEO,
    BH_USB_KIND_NETWORK,
    BH_USB_KIND_WIRELESS,
    BH_USB_KIND_PRINTER,
    BH_USB_KIND_CAMERA,
    BH_USB_KIND_SMARTCARD,
    BH_USB_KIND_GAMEPAD,
    BH_USB_KIND_PHONE,
} BhUsbKind;
typedef struct {
    const char *syspath, *port, *serial, *name, *node; /* serial may be NULL */
    BhUsbAddress address;
    BhUsbKind kind;
    gboolean duplicate; /* a device with this vendor, product and serial is listed already */
} BhUsbFacts;
BhUsbDevice *bh_usb_device_new(const BhUsbFacts *facts);
const char *bh_usb_device_get_syspath(BhUsbDevice *self);
BhUsbKind bh_usb_device_get_kind(BhUsbDevice *self);
const BhUsbUse *bh_usb_device_get_use(BhUsbDevice *self);
/* TRUE when something a caller can see is different; emits "changed" then. */
gboolean bh_usb_device_take_use(BhUsbDevice *self, BhUsbUse *use);
void bh_usb_device_set_monitor(BhUsbDevice *self, BhUsbMonitor *monitor); /* NULL: it is gone */
/* Looks again at what uses the device. FALSE when it is not plugged in any more. */
gboolean bh_usb_device_refresh(BhUsbDevice *self);
char *bh_usb_device_dup_proc(BhUsbDevice *self); /* the monitor's /proc */
gboolean bh_usb_device_is_present(BhUsbDevice *self);
gboolean bh_usb_id_is_valid(const char *id);

/* usb-monitor.c. proc: instead of /proc; bind_wait: how long an "add" waits for its "bind", ms. */
BhUsbMonitor *bh_usb_monitor_new_full(const char *proc, guint bind_wait);
void bh_usb_monitor_refresh(BhUsbMonitor *self);
const char *bh_usb_monitor_get_proc(BhUsbMonitor *self);

/* usb-rules-file.c. Pure, fuzzed: table of machine id -> (table of device id -> BhUsbRuleEntry). */
#define BH_USB_RULES_MAX_BYTES (256 * 1024)
#define BH_USB_RULES_MAX_ENTRIES 1000
GHashTable *bh_usb_rules_table_new(void);
GHashTable *bh_usb_rules_parse(const char *data, gsize length, GError **error);
char *bh_usb_rules_format(GHashTable *table, gsize *length);
guint bh_usb_rules_count(GHashTable *table);
BhUsbRuleEntry *bh_usb_rule_entry_new(const char *machine_id, const char *device_id,
                                      const char *device_name, BhUsbRule rule);
void bh_usb_rule_entry_free(BhUsbRuleEntry *self);

G_END_DECLS
