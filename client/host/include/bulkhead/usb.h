/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * USB devices of this computer, and how they get into machines.
 *
 * BhUsbMonitor  lists the devices, live (udev "bind", not "add": a node is ready only then).
 * BhUsbDevice   one device: identity, names, what uses it on the host.
 * BhUsbRules    what the user wants per device and machine: never, ask, always. A small file.
 * BhUsbArbiter  decides the route into a machine, moves devices, brings them back after replug.
 *
 * Identity is vendor:product:serial, or vendor:product@port without a serial number; the second of
 * two present devices with the same serial number is vendor:product:serial@port. Bus and address
 * change with every enumeration and are never stored.
 */
#pragma once

#include <bulkhead/host.h>

G_BEGIN_DECLS

#define BH_TYPE_USB_DEVICE (bh_usb_device_get_type())
G_DECLARE_FINAL_TYPE(BhUsbDevice, bh_usb_device, BH, USB_DEVICE, GObject)

/* How much stands between a device and leaving the host. */
typedef enum {
    BH_USB_FREE,    /* nothing uses it */
    BH_USB_CONFIRM, /* in use: the user must agree, and may have it unmounted first */
    BH_USB_REFUSE   /* hub, or taking it would lock the user out */
} BhUsbGuard;

const char *bh_usb_device_get_id(BhUsbDevice *self);   /* "0951:1666:60A44C", "046d:c31c@1-3" */
const char *bh_usb_device_get_name(BhUsbDevice *self); /* "Kingston DataTraveler" */
const char *bh_usb_device_get_icon_name(BhUsbDevice *self); /* symbolic */
const char *
bh_usb_device_get_usage(BhUsbDevice *self); /* "mounted at /media/x", or NULL; translated */
BhUsbGuard bh_usb_device_get_guard(BhUsbDevice *self, const char **reason); /* reason: translated */
gboolean bh_usb_device_is_hub(BhUsbDevice *self); /* stays with the host, always */
gboolean
bh_usb_device_can_unmount(BhUsbDevice *self); /* mounted storage: unmounting would free it */
BhUsbAddress bh_usb_device_get_address(BhUsbDevice *self);
const char *bh_usb_device_get_port(BhUsbDevice *self); /* sysfs port path "1-3.2" */
const char *bh_usb_device_get_node(BhUsbDevice *self); /* "/dev/bus/usb/001/003" */

#define BH_TYPE_USB_MONITOR (bh_usb_monitor_get_type())
G_DECLARE_FINAL_TYPE(BhUsbMonitor, bh_usb_monitor, BH, USB_MONITOR,
                     GObject) /* a GListModel of BhUsbDevice */

/* Lists at once, then follows udev. Works without a running udevd (lists sysfs; no events then). */
BhUsbMonitor *bh_usb_monitor_new(void);
/* By id; borrowed or NULL. */
BhUsbDevice *bh_usb_monitor_find(BhUsbMonitor *self, const char *id);
/* Unmounts every file system of the device for the user (UDisks2). */
void bh_usb_device_unmount_async(BhUsbDevice *self, BhJob *job, GAsyncReadyCallback callback,
                                 gpointer data);
gboolean bh_usb_device_unmount_finish(BhUsbDevice *self, GAsyncResult *result, GError **error);

typedef enum { BH_USB_RULE_ASK, BH_USB_RULE_NEVER, BH_USB_RULE_ALWAYS } BhUsbRule;
const char *bh_usb_rule_get_name(BhUsbRule rule); /* "ask", "never", "always" */
gboolean bh_usb_rule_from_name(const char *name, BhUsbRule *rule);

#define BH_TYPE_USB_RULES (bh_usb_rules_get_type())
G_DECLARE_FINAL_TYPE(BhUsbRules, bh_usb_rules, BH, USB_RULES, GObject)
/* path NULL: $XDG_CONFIG_HOME/bulkhead/usb-rules. Watches the file: the CLI and app share it.
 * A broken file is kept aside, reported by "problem", and counts as empty. Signal "changed". */
BhUsbRules *bh_usb_rules_new(const char *path);
BhUsbRule bh_usb_rules_get(BhUsbRules *self, const char *machine_id, const char *device_id);
/* Stored at once, atomically. ASK is the default and removes the entry. */
gboolean bh_usb_rules_set(BhUsbRules *self, const char *machine_id, const char *device_id,
                          const char *device_name, BhUsbRule rule, GError **error);
typedef struct {
    char *machine_id, *device_id, *device_name;
    BhUsbRule rule;
} BhUsbRuleEntry;
GPtrArray *bh_usb_rules_list(BhUsbRules *self); /* of BhUsbRuleEntry; transfer full */

/* What could make a greyed row work. */
typedef enum {
    BH_USB_FIX_NONE,
    BH_USB_FIX_OPEN_DISPLAY, /* open the machine's window */
    BH_USB_FIX_START,        /* start the machine */
    BH_USB_FIX_ADD_CHANNELS, /* more redirection channels (after restart) */
    BH_USB_FIX_UNMOUNT,
    BH_USB_FIX_TAKE,      /* another machine has it: move it here */
    BH_USB_FIX_PERMISSION /* device node may not be opened: how-to */
} BhUsbFix;

/* The display connection's side of SPICE redirection; implemented by whoever holds the
 * SpiceSession of a machine, and registered with the arbiter while the session lives. Tasks belong
 * to the callee as in machine.h: it returns through each exactly once, then unrefs it. */
#define BH_TYPE_USB_REDIRECTOR (bh_usb_redirector_get_type())
G_DECLARE_INTERFACE(BhUsbRedirector, bh_usb_redirector, BH, USB_REDIRECTOR, GObject)
struct _BhUsbRedirectorInterface {
    GTypeInterface parent;
    /* NULL when the device can be redirected now, else a translated reason (transfer full), with
     * *fix set when there is one: ADD_CHANNELS when all channels are taken or there are none,
     * PERMISSION when the ACL helper is missing; it is BH_USB_FIX_NONE on entry. */
    char *(*why_not)(BhUsbRedirector *self, BhUsbDevice *device, BhUsbFix *fix);
    gboolean (*is_connected)(BhUsbRedirector *self, BhUsbDevice *device);
    /* Match by bus and address (bh_usb_device_get_address) at the time of the call. */
    void (*connect)(BhUsbRedirector *self, BhUsbDevice *device, GTask *task);    /* boolean */
    void (*disconnect)(BhUsbRedirector *self, BhUsbDevice *device, GTask *task); /* boolean */

    /* Optional (all four or none): an ISO file of this computer as a USB CD drive in the guest. */
    char *(*why_not_cd)(BhUsbRedirector *self, BhUsbFix *fix); /* as why_not */
    GPtrArray *(*list_cds)(BhUsbRedirector *self); /* of char *: paths shared now; transfer full */
    void (*share_cd)(BhUsbRedirector *self, const char *path, GTask *task);   /* boolean */
    void (*unshare_cd)(BhUsbRedirector *self, const char *path, GTask *task); /* boolean */
}; /* signal "changed": any answer above may have changed */
/* Emits "changed". */
void bh_usb_redirector_changed(BhUsbRedirector *self);

/* Shared CDs, for callers. FALSE from can_share_cd: this redirector has no such thing at all. */
gboolean bh_usb_redirector_can_share_cd(BhUsbRedirector *self);
char *bh_usb_redirector_why_not_cd(BhUsbRedirector *self, BhUsbFix *fix);
GPtrArray *bh_usb_redirector_list_cds(BhUsbRedirector *self);
void bh_usb_redirector_share_cd_async(BhUsbRedirector *self, const char *path, gboolean share,
                                      BhJob *job, GAsyncReadyCallback callback, gpointer data);
gboolean bh_usb_redirector_share_cd_finish(BhUsbRedirector *self, GAsyncResult *result,
                                           GError **error);

typedef enum { BH_USB_ROUTE_NONE, BH_USB_ROUTE_SPICE, BH_USB_ROUTE_HOST } BhUsbRoute;
const char *bh_usb_route_get_label(BhUsbRoute route); /* translated: "SPICE redirection", ... */

#define BH_TYPE_USB_ARBITER (bh_usb_arbiter_get_type())
G_DECLARE_FINAL_TYPE(BhUsbArbiter, bh_usb_arbiter, BH, USB_ARBITER, GObject)

/* Signals: "changed" (any answer below may differ); "ask" (BhMachine, BhUsbDevice): a device came
 * and no rule decides (for each machine that could take it; never for keyboards and mice); "failed"
 * (BhMachine, BhUsbDevice, GError): an automatic attach failed. */
BhUsbArbiter *bh_usb_arbiter_new(BhHost *host, BhUsbMonitor *monitor, BhUsbRules *rules);
/* FALSE: does only what it is told, and brings nothing back; for programs that end soon, so that
 * they do not act on rules behind the app's back. TRUE at first. */
void bh_usb_arbiter_set_automatic(BhUsbArbiter *self, gboolean automatic);
BhUsbMonitor *bh_usb_arbiter_get_monitor(BhUsbArbiter *self);
BhUsbRules *bh_usb_arbiter_get_rules(BhUsbArbiter *self);
void bh_usb_arbiter_add_redirector(BhUsbArbiter *self, BhMachine *machine, BhUsbRedirector *r);
void bh_usb_arbiter_remove_redirector(BhUsbArbiter *self, BhMachine *machine);
BhUsbRedirector *bh_usb_arbiter_get_redirector(BhUsbArbiter *self,
                                               BhMachine *machine); /* borrowed or NULL */

/* The machine that has the device now (borrowed), or NULL. */
BhMachine *bh_usb_arbiter_get_owner(BhUsbArbiter *self, BhUsbDevice *device);
gboolean bh_usb_arbiter_is_busy(BhUsbArbiter *self, BhUsbDevice *device); /* being moved */

/* The route into machine at this moment. NONE: *reason (translated, transfer full) and *fix tell.
 */
BhUsbRoute bh_usb_arbiter_get_route(BhUsbArbiter *self, BhMachine *machine, BhUsbDevice *device,
                                    char **reason, BhUsbFix *fix);

/* consent: the user agreed to take a device whose guard is CONFIRM, or from another machine;
 * without it such an attach ends in BH_ERROR_NEEDS_CONFIRM with the reason. A device the user
 * attached stays wanted: it returns after replug, re-enumeration and guest reboot until detached.
 */
void bh_usb_arbiter_attach_async(BhUsbArbiter *self, BhMachine *machine, BhUsbDevice *device,
                                 gboolean consent, BhJob *job, GAsyncReadyCallback callback,
                                 gpointer data);
gboolean bh_usb_arbiter_attach_finish(BhUsbArbiter *self, GAsyncResult *result, GError **error);
void bh_usb_arbiter_detach_async(BhUsbArbiter *self, BhUsbDevice *device, BhJob *job,
                                 GAsyncReadyCallback callback, gpointer data);
gboolean bh_usb_arbiter_detach_finish(BhUsbArbiter *self, GAsyncResult *result, GError **error);

G_END_DECLS
