/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What accel.c and accel-cache.c share, and what the tests look at. */
#pragma once

#include <bulkhead/accel.h>

G_BEGIN_DECLS

/* How a probe ended. Stored in the cache by number: append only. */
typedef enum {
    BH_PROBE_WORKS,
    BH_PROBE_NO_DEVICE,
    BH_PROBE_NO_PERMISSION,
    BH_PROBE_CANNOT_OPEN,
    BH_PROBE_NO_EMULATOR,
    BH_PROBE_HANGS,
    BH_PROBE_FAILS,
    BH_PROBE_WRONG_ANSWER,
    BH_PROBE_CANCELLED,
    BH_N_PROBES
} BhProbe;

typedef struct {
    BhProbe probe;
    char *detail; /* what QEMU or the system said, or NULL */
} BhProbeResult;
void bh_probe_result_clear(BhProbeResult *self);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(BhProbeResult, bh_probe_result_clear)

/* Runs the probe guest under an accelerator ("kvm", "tcg") and CPU model. */
void bh_accel_run_guest(const char *emulator, const char *accelerator, const char *cpu,
                        guint timeout_ms, GCancellable *cancellable, BhProbeResult *result);

/* Under KVM, in limit_ms or, on a computer that is slow without KVM too, in as much longer. */
void bh_accel_try_kvm(const char *emulator, guint limit_ms, GCancellable *cancellable,
                      BhProbeResult *result);

/* Whether this process may open a device node, as a result; BH_PROBE_WORKS when it may. */
void bh_accel_check_device(const char *device, BhProbeResult *result);
char *bh_accel_note(const BhProbeResult *result); /* for people; NULL for BH_PROBE_WORKS */

/* The cache: what decides the outcome is in the key; another key or a broken file is a miss. */
char *bh_accel_cache_key(const char *emulator, const char *device);
gboolean bh_accel_cache_read(const char *key, BhProbeResult *result);
void bh_accel_cache_write(const char *key, const BhProbeResult *result);

G_END_DECLS
