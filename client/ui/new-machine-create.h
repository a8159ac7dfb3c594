/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The work behind New machine: prepare, create, start and open. Belongs to the session, not to a
 * window. */
#pragma once

#include <gtk/gtk.h>

#include "session.h"

G_BEGIN_DECLS

/* Called once, on the main thread. error NULL: done. Cancellation counts as an error here. */
typedef void (*BhCreated)(const GError *error, gpointer data);

/* Makes the machine as one of the session's jobs; run: then starts and opens it. spec is copied.
 * The program is kept alive until it is over. */
void bh_create_machine(BhSession *session, const BhMachineSpec *spec, gboolean run,
                       BhCreated callback, gpointer data);
/* The same for the demo desktop, whose image is built first when that has not been done. */
void bh_create_demo(BhSession *session, BhCreated callback, gpointer data);

G_END_DECLS
