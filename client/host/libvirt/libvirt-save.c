/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where saved memory is, and whether it is sound: see libvirt-private.h. The place and the first
 * bytes are libvirt's business, but no call tells them; both are unchanged since libvirt 0.9.5. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <glib/gi18n-lib.h>

#include "../durable.h"
#include "libvirt-private.h"

#define MAGIC "LibvirtQemudSave"

gboolean bh_libvirt_is_session(virConnectPtr conn)
{
    char *uri = virConnectGetURI(conn);
    gboolean session = uri && strstr(uri, "/session");

    free(uri);
    return session;
}

gboolean bh_libvirt_is_here(virConnectPtr conn)
{
    char *uri = virConnectGetURI(conn);
    const char *server = uri ? strstr(uri, "://") : NULL;
    gboolean here = server && server[strlen("://")] == '/';

    free(uri);
    return here;
}

char *bh_libvirt_save_path(virConnectPtr conn, const char *domain_name)
{
    g_autofree char *file = g_strconcat(domain_name, ".save", NULL);

    if (bh_libvirt_is_session(conn))
        return g_build_filename(g_get_user_config_dir(), "libvirt", "qemu", "save", file, NULL);
    return g_build_filename("/var/lib/libvirt/qemu/save", file, NULL);
}

gboolean bh_libvirt_is_saved(virDomainPtr domain)
{
    virConnectPtr conn = virDomainGetConnect(domain);
    g_autofree char *path = NULL;

    if (virDomainHasManagedSaveImage(domain, 0) == 1)
        return TRUE;
    /* Of another computer's, or of the system's seen by a user, only libvirt can tell. */
    path = bh_libvirt_save_path(conn, virDomainGetName(domain));
    return bh_libvirt_is_here(conn) && access(path, F_OK) == 0;
}

/* libvirt syncs the memory, but neither the head, which it writes last, nor the file's name. */
void bh_libvirt_save_sync(virDomainPtr domain)
{
    virConnectPtr conn = virDomainGetConnect(domain);
    g_autofree char *path = bh_libvirt_save_path(conn, virDomainGetName(domain));

    if (bh_libvirt_is_here(conn))
        bh_sync_file(path);
}

gboolean bh_libvirt_check_saved(virDomainPtr domain, GError **error)
{
    g_autofree char *path =
        bh_libvirt_save_path(virDomainGetConnect(domain), virDomainGetName(domain));
    char magic[sizeof MAGIC] = "";
    FILE *file = bh_libvirt_is_here(virDomainGetConnect(domain)) ? fopen(path, "re") : NULL;
    gboolean readable = file != NULL;

    if (!readable)
        return TRUE; /* not ours to read: libvirt will tell */
    gboolean sound = fread(magic, 1, strlen(MAGIC), file) == strlen(MAGIC) &&
                     memcmp(magic, MAGIC, strlen(MAGIC)) == 0;
    fclose(file);
    if (!sound)
        g_propagate_error(error, bh_error_new(BH_ERROR_INVALID,
                                              _("Discard the saved state to start afresh."), path,
                                              _("The saved memory is damaged.")));
    return sound;
}
