/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which accelerator this host's machines get: by proof on this computer (bulkhead/accel.h), by
 * libvirt's word on another. */
#include <bulkhead/accel.h>
#include <glib/gi18n-lib.h>

#include "libvirt-private.h"

static BhAccel *find_accel(BhLibvirtHost *self)
{
    const BhHostCaps *caps = bh_libvirt_host_get_caps(self);

    if (bh_libvirt_host_is_local(self) && caps->kvm && caps->emulator)
        return bh_accel_probe(caps->emulator, NULL); /* remembers: only the first call takes time */
    BhAccel *accel = g_new0(BhAccel, 1);
    accel->kvm = !bh_libvirt_host_is_local(self) && caps->kvm;
    if (!accel->kvm)
        accel->note = g_strdup(_("libvirt offers no KVM on this host."));
    return accel;
}

gboolean bh_libvirt_host_prove_kvm(BhLibvirtHost *self)
{
    g_autoptr(BhAccel) accel = find_accel(self);
    return accel->kvm;
}

static void on_worker(GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
    g_task_return_pointer(task, find_accel(source), (GDestroyNotify)bh_accel_free);
}

static void on_main(GObject *source, GAsyncResult *result, gpointer data)
{
    g_autoptr(BhAccel) accel = g_task_propagate_pointer(G_TASK(result), NULL);
    BhHost *host = BH_HOST(source);
    gboolean first = bh_host_get_accelerator(host) == NULL;

    bh_host_set_accelerator(host, accel->kvm ? "kvm" : "tcg", accel->kvm ? NULL : accel->note);
    if (first && !accel->kvm)
        bh_host_log(host, BH_SEVERITY_WARNING, NULL, accel->note,
                    _("Machines run without hardware acceleration, which is slow."));
}

void bh_libvirt_host_probe_accel(BhLibvirtHost *self)
{
    g_autoptr(GTask) task = g_task_new(self, NULL, on_main, NULL);
    g_task_run_in_thread(task, on_worker);
}
