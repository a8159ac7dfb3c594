/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Finding a section of a loaded PE image. Pure. */
#ifndef EFI_SECTION_H
#define EFI_SECTION_H

#include <hv/bootinfo.h>

#include "text.h"

/* The section `name` of `image`, `size` bytes as the firmware laid it out; start 0: it has none. */
struct boot_module section_find(const void *image, uint64_t size, const char *name);

#endif
