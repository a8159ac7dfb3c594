/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * BhLibvirtMachine: a domain as people see it. Its state comes from the last snapshot, from what we
 * are doing to it (starting, saving, stopping: "doing"), and from what it was before: a machine
 * that was on and is off for no known reason has crashed, also when libvirtd died with it.
 */
#include <string.h>

#include <glib/gi18n-lib.h>

#include "libvirt-private.h"

/* A guest that ignores the power button is shown as running again after this. */
#define STOPPING_SECONDS 90

struct _BhLibvirtMachine {
    BhMachine parent_instance;
    GWeakRef host;
    BhSnapshot *last;
    BhState doing;
    gboolean was_active, crashed, asked_off;
    gboolean our_reset;    /* the next reboot is one we made */
    gboolean own_shutdown; /* it went off without anybody here asking */
    char *crash_log;
    guint stopping_source;
};

static guint removal_failed;

G_DEFINE_TYPE(BhLibvirtMachine, bh_libvirt_machine, BH_TYPE_MACHINE)

BhLibvirtHost *bh_libvirt_machine_ref_host(BhLibvirtMachine *self)
{
    return g_weak_ref_get(&self->host);
}

BhLibvirtHost *bh_libvirt_machine_need_host(BhLibvirtMachine *self, GTask *task)
{
    BhLibvirtHost *host = g_weak_ref_get(&self->host);

    if (!host) {
        g_task_return_error(task, bh_error_new(BH_ERROR_DISCONNECTED, NULL, NULL,
                                               _("The connection to the host is closed.")));
        g_object_unref(task);
    }
    return host;
}

static void log_event(BhLibvirtMachine *self, BhSeverity severity, const char *detail,
                      const char *format)
{
    g_autoptr(BhLibvirtHost) host = g_weak_ref_get(&self->host);
    BhMachine *machine = BH_MACHINE(self);

    if (!host)
        return;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    bh_host_log(BH_HOST(host), severity, machine, detail, format, bh_machine_get_name(machine));
#pragma GCC diagnostic pop
}

/* State. */

static BhState active_state(const BhLibvirtMachine *self, const char **detail)
{
    const BhSnapshot *last = self->last;

    switch (last->state) {
    case VIR_DOMAIN_PAUSED:
        if (last->reason == VIR_DOMAIN_PAUSED_STARTING_UP)
            return BH_STATE_STARTING;
        if (last->reason == VIR_DOMAIN_PAUSED_SAVE)
            return BH_STATE_SAVING;
        if (last->reason == VIR_DOMAIN_PAUSED_SHUTTING_DOWN)
            return BH_STATE_STOPPING;
        if (last->reason == VIR_DOMAIN_PAUSED_IOERROR)
            *detail = _("Its disk could not be written: is the host's disk full? Resume it when "
                        "there is room.");
        if (last->reason == VIR_DOMAIN_PAUSED_CRASHED)
            *detail = _("The guest system crashed.");
        return BH_STATE_PAUSED;
    case VIR_DOMAIN_PMSUSPENDED:
        *detail = _("The guest put itself to sleep. Resume wakes it.");
        return BH_STATE_PAUSED;
    case VIR_DOMAIN_SHUTDOWN:
        return BH_STATE_STOPPING;
    default:
        return self->doing == BH_STATE_STOPPING ? BH_STATE_STOPPING : BH_STATE_RUNNING;
    }
}

static BhState current_state(const BhLibvirtMachine *self, const char **detail)
{
    const BhSnapshot *last = self->last;

    if (self->doing == BH_STATE_SAVING)
        return BH_STATE_SAVING;
    if (last->active)
        return active_state(self, detail);
    if (self->doing == BH_STATE_STARTING)
        return BH_STATE_STARTING;
    if (last->saved)
        return BH_STATE_SAVED;
    if (self->crashed) {
        *detail = self->crash_log && *self->crash_log
                      ? self->crash_log
                      : _("Its QEMU process ended without a message.");
        return BH_STATE_CRASHED;
    }
    if (self->own_shutdown)
        *detail = _("The guest shut itself down.");
    else if (last->reason == VIR_DOMAIN_SHUTOFF_FAILED && last->log && *last->log)
        *detail = last->log; /* the last start failed */
    return BH_STATE_OFF;
}

static void log_change(BhLibvirtMachine *self, BhState before, BhState now, const char *detail)
{
    if (before == now)
        return;
    switch (now) {
    case BH_STATE_OFF:
        if (before != BH_STATE_STARTING && before != BH_STATE_SAVED)
            log_event(self, BH_SEVERITY_INFO, detail, _("“%s” is off."));
        break;
    case BH_STATE_RUNNING:
        if (before != BH_STATE_STOPPING)
            log_event(self, BH_SEVERITY_INFO, NULL, _("“%s” is running."));
        break;
    case BH_STATE_PAUSED:
        log_event(self, detail ? BH_SEVERITY_WARNING : BH_SEVERITY_INFO, detail,
                  _("“%s” is paused."));
        break;
    case BH_STATE_SAVED:
        log_event(self, BH_SEVERITY_INFO, NULL, _("“%s” is saved."));
        break;
    case BH_STATE_CRASHED:
        log_event(self, BH_SEVERITY_ERROR, detail, _("“%s” ended unexpectedly."));
        break;
    default:
        break;
    }
}

static void show_state(BhLibvirtMachine *self, gboolean log)
{
    BhMachine *machine = BH_MACHINE(self);
    const char *detail = NULL;
    BhState before = bh_machine_get_state(machine), now = current_state(self, &detail);

    /* What depends on the state first, so that who is told of the state sees it. */
    bh_machine_set_display_kind(machine,
                                self->last->live ? self->last->live->display : BH_DISPLAY_NONE);
    bh_machine_set_state(machine, now, detail);
    if (log)
        log_change(self, before, now, detail);
}

static gboolean unexplained(int reason)
{
    return reason == VIR_DOMAIN_SHUTOFF_UNKNOWN || reason == VIR_DOMAIN_SHUTOFF_DAEMON ||
           reason == VIR_DOMAIN_SHUTOFF_FAILED;
}

/* What an end of the machine meant, from the reason and who asked. */
static void note_end(BhLibvirtMachine *self)
{
    const BhSnapshot *last = self->last;

    self->own_shutdown = last->reason == VIR_DOMAIN_SHUTOFF_SHUTDOWN && !self->asked_off;
    /* Without a daemon that saw it end, libvirt cannot tell the reason. */
    self->crashed = !last->saved && (last->reason == VIR_DOMAIN_SHUTOFF_CRASHED ||
                                     (!self->asked_off && unexplained(last->reason)));
    g_free(self->crash_log);
    self->crash_log = self->crashed ? g_strdup(last->log) : NULL;
    self->asked_off = FALSE;
    if (last->config->installing && last->reason == VIR_DOMAIN_SHUTOFF_SHUTDOWN)
        bh_libvirt_machine_end_install(self, FALSE);
}

static BhMachineSpec *shown_spec(const BhSnapshot *last)
{
    BhMachineSpec *spec = bh_machine_spec_copy(last->config->spec);

    /* The medium that is in the drive now; the stored one may be what an outside tool wants next.
     */
    if (last->live && bh_domain_first(last->live, TRUE)) {
        g_free(spec->cdrom);
        spec->cdrom = g_strdup(last->live->spec->cdrom);
    }
    return spec;
}

static const char *accelerator_of(const BhSnapshot *last)
{
    const char *type = last->live ? last->live->type : last->config->type;

    if (g_strcmp0(type, "qemu") == 0)
        return "tcg";
    return type;
}

static gboolean same_usb(GPtrArray *a, GPtrArray *b)
{
    gboolean same = a->len == b->len;

    for (guint i = 0; same && i < a->len; i++)
        same = memcmp(a->pdata[i], b->pdata[i], sizeof(BhUsbAddress)) == 0;
    return same;
}

static void show_usb(BhLibvirtMachine *self)
{
    BhMachine *machine = BH_MACHINE(self);
    GPtrArray *addresses = g_ptr_array_new_with_free_func(g_free);

    for (guint i = 0; self->last->live && i < self->last->live->usb->len; i++)
        g_ptr_array_add(addresses,
                        g_memdup2(self->last->live->usb->pdata[i], sizeof(BhUsbAddress)));
    if (same_usb(bh_machine_get_usb_addresses(machine), addresses))
        g_ptr_array_unref(addresses);
    else
        bh_machine_take_usb_addresses(machine, addresses);
}

void bh_libvirt_machine_apply_snapshot(BhLibvirtMachine *self, BhSnapshot *taken)
{
    g_autoptr(BhSnapshot) snapshot = taken;
    BhMachine *machine = BH_MACHINE(self);
    gboolean first = self->last == NULL;

    if (!first && snapshot->number < self->last->number)
        return;
    bh_snapshot_free(self->last);
    self->last = g_steal_pointer(&snapshot);
    if (self->last->active) {
        self->crashed = self->own_shutdown = FALSE;
    } else if (self->was_active) {
        note_end(self);
    } else if (first && self->last->reason == VIR_DOMAIN_SHUTOFF_CRASHED) {
        self->crashed = TRUE;
        self->crash_log = g_strdup(self->last->log);
    }
    self->was_active = self->last->active;
    if (!self->last->active)
        self->our_reset = FALSE;
    if (!self->last->active && self->doing == BH_STATE_STOPPING)
        self->doing = BH_STATE_OFF;
    g_object_freeze_notify(G_OBJECT(self));
    bh_machine_set_name(machine, self->last->config->spec->name);
    bh_machine_take_spec(machine, shown_spec(self->last));
    bh_machine_set_accelerator(machine, accelerator_of(self->last));
    bh_machine_set_restart_pending(
        machine, self->last->live ? bh_domain_pending(self->last->config, self->last->live) : 0);
    show_usb(self);
    show_state(self, !first);
    g_object_thaw_notify(G_OBJECT(self));
}

static gboolean on_stopping_too_long(gpointer data)
{
    BhLibvirtMachine *self = data;

    self->stopping_source = 0;
    if (self->doing == BH_STATE_STOPPING) {
        log_event(self, BH_SEVERITY_WARNING, NULL,
                  _("“%s” did not react to the request to shut down."));
        self->asked_off = FALSE;
        bh_libvirt_machine_set_doing(self, BH_STATE_OFF);
    }
    return G_SOURCE_REMOVE;
}

void bh_libvirt_machine_set_doing(BhLibvirtMachine *self, BhState doing)
{
    self->doing = doing;
    g_clear_handle_id(&self->stopping_source, g_source_remove);
    if (doing == BH_STATE_STOPPING)
        self->stopping_source = g_timeout_add_seconds(STOPPING_SECONDS, on_stopping_too_long, self);
    if (bh_machine_get_state(BH_MACHINE(self)) != BH_STATE_GONE)
        show_state(self, TRUE);
}

void bh_libvirt_machine_set_asked_off(BhLibvirtMachine *self, gboolean asked)
{
    self->asked_off = asked;
}

void bh_libvirt_machine_removal_failed(BhLibvirtMachine *self)
{
    g_signal_emit(self, removal_failed, 0);
}

void bh_libvirt_machine_expect_reset(BhLibvirtMachine *self)
{
    self->our_reset = TRUE;
}

void bh_libvirt_machine_rebooted(BhLibvirtMachine *self)
{
    gboolean ours = self->our_reset;

    self->our_reset = FALSE;
    log_event(self, BH_SEVERITY_INFO, NULL, _("“%s” rebooted."));
    if (self->doing == BH_STATE_STOPPING)
        bh_libvirt_machine_set_doing(self, BH_STATE_OFF);
    if (self->last->config->installing && !ours)
        bh_libvirt_machine_end_install(self, TRUE);
}

/* The object. */

static void bh_libvirt_machine_dispose(GObject *object)
{
    g_clear_handle_id(&BH_LIBVIRT_MACHINE(object)->stopping_source, g_source_remove);
    G_OBJECT_CLASS(bh_libvirt_machine_parent_class)->dispose(object);
}

static void bh_libvirt_machine_finalize(GObject *object)
{
    BhLibvirtMachine *self = BH_LIBVIRT_MACHINE(object);

    g_weak_ref_clear(&self->host);
    bh_snapshot_free(self->last);
    g_free(self->crash_log);
    G_OBJECT_CLASS(bh_libvirt_machine_parent_class)->finalize(object);
}

static void bh_libvirt_machine_class_init(BhLibvirtMachineClass *class)
{
    BhMachineClass *machine_class = BH_MACHINE_CLASS(class);

    G_OBJECT_CLASS(class)->dispose = bh_libvirt_machine_dispose;
    G_OBJECT_CLASS(class)->finalize = bh_libvirt_machine_finalize;
    machine_class->act = bh_libvirt_machine_act;
    machine_class->apply = bh_libvirt_machine_apply;
    machine_class->open_display = bh_libvirt_machine_open_display;
    machine_class->screenshot = bh_libvirt_machine_screenshot;
    machine_class->send_keys = bh_libvirt_machine_send_keys;
    machine_class->usb_attach = bh_libvirt_machine_usb_attach;
    machine_class->usb_detach = bh_libvirt_machine_usb_detach;
    machine_class->remove = bh_libvirt_machine_remove;
    machine_class->read_log = bh_libvirt_machine_read_log;
    removal_failed = g_signal_new("removal-failed", BH_TYPE_LIBVIRT_MACHINE, G_SIGNAL_RUN_LAST, 0,
                                  NULL, NULL, NULL, G_TYPE_NONE, 0);
}

static void bh_libvirt_machine_init(BhLibvirtMachine *self)
{
    g_weak_ref_init(&self->host, NULL);
}

BhLibvirtMachine *bh_libvirt_machine_new(BhLibvirtHost *host, BhSnapshot *snapshot)
{
    BhLibvirtMachine *self = g_object_new(BH_TYPE_LIBVIRT_MACHINE, "id", snapshot->uuid, NULL);

    g_weak_ref_set(&self->host, host);
    bh_libvirt_machine_apply_snapshot(self, snapshot);
    return self;
}
