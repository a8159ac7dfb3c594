/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which way a device gets into a machine, or why there is none.
 *
 * Pass-through (HOST) is preferred where it works: the device outlives the machine's window, needs
 * no helper and no free channel, and isochronous devices (webcams, sound) run at full rate. It
 * needs a host that is this computer and a node that QEMU may open: always so for a system
 * connection, where libvirt gives QEMU the rights; for a session QEMU runs with this user's rights,
 * which rarely cover the node of an ordinary device. Redirection (SPICE) covers the rest: the SPICE
 * client asks polkit for the device, and it works towards a remote host as well.
 */
#include "usb-arbiter-private.h"

#include <glib/gi18n-lib.h>
#include <string.h>
#include <unistd.h>

const char *bh_usb_route_get_label(BhUsbRoute route)
{
    switch (route) {
    case BH_USB_ROUTE_SPICE:
        return _("SPICE redirection");
    case BH_USB_ROUTE_HOST:
        return _("Host pass-through");
    default:
        return _("No route");
    }
}

const char *bh_usb_fix_get_hint(BhUsbFix fix)
{
    switch (fix) {
    case BH_USB_FIX_OPEN_DISPLAY:
        return _("Open the machine’s window.");
    case BH_USB_FIX_START:
        return _("Start the machine.");
    case BH_USB_FIX_ADD_CHANNELS:
        return _("Add USB redirection channels in the machine’s settings, or give a device back.");
    case BH_USB_FIX_UNMOUNT:
        return _("Unmount it first.");
    case BH_USB_FIX_TAKE:
        return _("Take it from that machine.");
    case BH_USB_FIX_PERMISSION:
        return _("Give your user the right to open the device.");
    default:
        return NULL;
    }
}

static BhUsbRoute none(char **reason, BhUsbFix *fix, BhUsbFix what, char *text)
{
    g_free(*reason);
    *reason = text;
    *fix = what;
    return BH_USB_ROUTE_NONE;
}

/* With a session connection QEMU runs as this user. */
static gboolean runs_as_user(BhHost *host)
{
    g_autoptr(GUri) uri = g_uri_parse(bh_host_get_uri(host), G_URI_FLAGS_NONE, NULL);
    return uri && g_strcmp0(g_uri_get_path(uri), "/session") == 0;
}

static gboolean node_is_open(const BhUsbRouteQuery *query)
{
    return !runs_as_user(query->host) ||
           access(bh_usb_device_get_node(query->device), R_OK | W_OK) == 0;
}

static BhUsbRoute check_machine(const BhUsbRouteQuery *query, char **reason, BhUsbFix *fix)
{
    const char *name = bh_machine_get_name(query->machine);
    switch (bh_machine_get_state(query->machine)) {
    case BH_STATE_RUNNING:
    case BH_STATE_PAUSED:
    case BH_STATE_STOPPING:
        return BH_USB_ROUTE_HOST; /* any but NONE */
    case BH_STATE_STARTING:
        return none(reason, fix, BH_USB_FIX_NONE, g_strdup_printf(_("“%s” is starting."), name));
    case BH_STATE_SAVING:
        return none(reason, fix, BH_USB_FIX_NONE, g_strdup_printf(_("“%s” is being saved."), name));
    case BH_STATE_GONE:
        return none(reason, fix, BH_USB_FIX_NONE,
                    g_strdup_printf(_("“%s” does not exist any more."), name));
    default:
        return none(reason, fix, BH_USB_FIX_START,
                    g_strdup_printf(_("“%s” is not running."), name));
    }
}

static BhUsbRoute check_redirection(const BhUsbRouteQuery *query, char **reason, BhUsbFix *fix)
{
    const char *name = bh_machine_get_name(query->machine);
    const BhMachineSpec *spec = bh_machine_get_spec(query->machine);
    if (!(bh_host_get_features(query->host) & BH_FEATURE_USB_REDIRECTION) ||
        bh_machine_get_display_kind(query->machine) != BH_DISPLAY_SPICE)
        return none(reason, fix, BH_USB_FIX_NONE,
                    g_strdup_printf(_("“%s” cannot take devices through its display."), name));
    if (spec && spec->usb_channels == 0)
        return none(reason, fix, BH_USB_FIX_ADD_CHANNELS,
                    g_strdup_printf(_("“%s” has no USB redirection channels."), name));
    if (!query->redirector)
        return none(reason, fix, BH_USB_FIX_OPEN_DISPLAY,
                    g_strdup_printf(_("The device goes through the window of “%s”, which is not "
                                      "open."),
                                    name));
    *fix = BH_USB_FIX_NONE;
    char *why = BH_USB_REDIRECTOR_GET_IFACE(query->redirector)
                    ->why_not(query->redirector, query->device, fix);
    return why ? none(reason, fix, *fix, why) : BH_USB_ROUTE_SPICE;
}

BhUsbRoute bh_usb_route_decide(const BhUsbRouteQuery *query, char **reason, BhUsbFix *fix)
{
    const char *guard_reason;
    BhHostFeatures features = bh_host_get_features(query->host);
    gboolean passthrough = (features & BH_FEATURE_USB_PASSTHROUGH) && (features & BH_FEATURE_LOCAL);
    if (!bh_usb_device_is_present(query->device))
        return none(reason, fix, BH_USB_FIX_NONE, g_strdup(_("The device was unplugged.")));
    if (bh_usb_device_get_guard(query->device, &guard_reason) == BH_USB_REFUSE)
        return none(reason, fix, BH_USB_FIX_NONE, g_strdup(guard_reason));
    if (query->rule == BH_USB_RULE_NEVER)
        return none(reason, fix, BH_USB_FIX_NONE,
                    g_strdup_printf(_("You chose never to give it to “%s”."),
                                    bh_machine_get_name(query->machine)));
    if (check_machine(query, reason, fix) == BH_USB_ROUTE_NONE)
        return BH_USB_ROUTE_NONE;
    if (passthrough && node_is_open(query)) {
        *fix = BH_USB_FIX_NONE;
        return BH_USB_ROUTE_HOST;
    }
    if (check_redirection(query, reason, fix) == BH_USB_ROUTE_SPICE)
        return BH_USB_ROUTE_SPICE;
    /* Redirection is out of the question: what is missing for pass-through is the better advice. */
    if (*fix == BH_USB_FIX_NONE && passthrough && !query->redirector)
        return none(reason, fix, BH_USB_FIX_PERMISSION,
                    g_strdup_printf(_("You may not open the device (%s)."),
                                    bh_usb_device_get_node(query->device)));
    return BH_USB_ROUTE_NONE;
}
