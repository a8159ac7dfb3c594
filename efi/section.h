/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Finding a section of a loaded PE image. Pure. */
#ifndef EFI_SECTION_H
#define EFI_SECTION_H

#include "text.h"

/* Where in `image` (as the firmware laid it out, `size` bytes) the section `name` lies; false: it has none. */
bool pe_find_section(const void *image, uint64_t size, const char *name, uint64_t *at, uint64_t *length);

#endif
