/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Between thumbnail.c, which draws, and thumbnailer.c, which fetches. */
#pragma once

#include "thumbnail.h"

G_BEGIN_DECLS

/* The last picture of the machine's screen, scaled; borrowed, or NULL. */
cairo_surface_t *bh_machine_get_picture(BhMachine *machine);

G_END_DECLS
