/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which accelerator really works, by proof: a 64-bit guest is run under the candidate and must
 * finish within 2 s with the right answer. /dev/kvm that opens proves nothing (nested or filtered
 * virtualisation may hang). The result is cached per boot of the computer, QEMU and rights.
 */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

typedef struct {
    gboolean kvm; /* KVM ran the probe */
    char *note;   /* when not: why, for people; else NULL */
    gboolean cached;
} BhAccel;
void bh_accel_free(BhAccel *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(BhAccel, bh_accel_free)

/* emulator: path of qemu-system-x86_64. Blocks up to 3 s: workers only. Never fails: an error of
 * any kind means no KVM, with the note telling why. */
BhAccel *bh_accel_probe(const char *emulator, GCancellable *cancellable);

G_END_DECLS
