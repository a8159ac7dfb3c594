/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Entry point of the app. */
#include <glib/gi18n.h>
#include <locale.h>
#include <malloc.h>

#include "application.h"
#include "stall.h"

int main(int argc, char **argv)
{
    g_autoptr(BhApplication) application = NULL;

    /* The app draws nothing with GL, but on X11 GDK would load a whole GL driver (60 MB resident)
     * to choose a visual. bh_application_startup takes the variable away from child processes. */
    g_setenv("GDK_GL", "disable", FALSE);
    /* Worker threads are short-lived and allocate little: a heap for each would only cost memory.
     */
    mallopt(M_ARENA_MAX, 2);
    setlocale(LC_ALL, "");
    bindtextdomain(GETTEXT_PACKAGE, BH_LOCALEDIR);
    bind_textdomain_codeset(GETTEXT_PACKAGE, "UTF-8");
    textdomain(GETTEXT_PACKAGE);
    bh_stall_start();
    g_set_prgname("bulkhead");
    gdk_set_program_class(BH_APP_ID);
    application = bh_application_new();
    return g_application_run(G_APPLICATION(application), argc, argv);
}
