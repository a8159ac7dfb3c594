/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Single devices in domain XML, shared by new definitions and changes to old ones. Pure. */
#pragma once

#include <bulkhead/spec.h>

/* CRB is the interface Windows 11 expects; version 2.0 is what it demands. */
#define BH_PART_TPM "<tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm>"
#define BH_PART_REDIRDEV "<redirdev bus='usb' type='spicevmc'/>"
#define BH_PART_SOUND "<sound model='ich9'><audio id='1'/></sound>"
#define BH_PART_AUDIO_SPICE "<audio id='1' type='spice'/>"
#define BH_PART_AUDIO_NONE "<audio id='1' type='none'/>"

char *bh_part_cpu(gboolean kvm, guint max_cpus, const char *os_id);          /* os_id: or NULL */
char *bh_part_cdrom(const char *target, const char *path, guint boot_order); /* order 0: none */
char *bh_part_video(BhVideo video);
char *bh_part_nic(BhNic nic, const char *network);
/* Graphics and the agent's channel. */
char *bh_part_spice(gboolean clipboard);
