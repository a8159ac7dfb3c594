/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Definitions and names, and the folders of files that belong to machines. Workers only. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <glib/gi18n-lib.h>

#include "../durable.h"
#include "domain-xml.h"
#include "libvirt-private.h"

/* Of sun_path, without the end mark. */
#define SOCKET_PATH_MAX 107
#define NAME_LEAST 8
#define NAME_MOST 20
#define SYSTEM_CONFIG "/etc/libvirt/qemu"
#define SYSTEM_IMAGES "/var/lib/libvirt/images"

virDomainPtr bh_libvirt_define(virConnectPtr conn, const char *xml, const char *what,
                               GError **error)
{
    virDomainPtr domain = virDomainDefineXML(conn, xml);

    if (domain)
        bh_libvirt_sync_config(conn);
    else
        bh_libvirt_set_error(error, what);
    return domain;
}

/* libvirt writes a definition, syncs and renames it, but not its folder. Done after each step of
 * ours, so that neither is lost what we say is done, nor a later step survives an earlier one. */
void bh_libvirt_sync_config(virConnectPtr conn)
{
    g_autofree char *session = g_build_filename(g_get_user_config_dir(), "libvirt", "qemu", NULL);

    if (bh_libvirt_is_here(conn))
        bh_sync_folder(bh_libvirt_is_session(conn) ? session : SYSTEM_CONFIG);
}

char *bh_libvirt_get_xml(virDomainPtr domain, GError **error)
{
    char *xml = virDomainGetXMLDesc(domain, VIR_DOMAIN_XML_INACTIVE | VIR_DOMAIN_XML_SECURE);
    char *copy = g_strdup(xml);

    if (!xml)
        bh_libvirt_set_error(error, _("The machine's definition could not be read."));
    free(xml);
    return copy;
}

static gboolean name_in_use(virConnectPtr conn, const char *name)
{
    virDomainPtr domain = virDomainLookupByName(conn, name);

    if (domain)
        virDomainFree(domain);
    virResetLastError();
    return domain != NULL;
}

/* In a session the paths are below the configuration folder (twice as long as the system's):
 * libvirt/qemu/channel/target/domain-ID-NAME/org.qemu.guest_agent.0, and the monitor's, which is
 * shorter. libvirt itself cuts NAME to 20 characters. Room is left for an ID of four digits. */
gsize bh_libvirt_name_max(virConnectPtr conn, gboolean *agent)
{
    const gsize fixed_agent =
        strlen("/libvirt/qemu/channel/target/domain-1234-/org.qemu.guest_agent.0");
    const gsize fixed_monitor = strlen("/libvirt/qemu/lib/domain-1234-/monitor.sock");
    gsize base = bh_libvirt_is_session(conn) ? strlen(g_get_user_config_dir()) : 0;
    gboolean fits = base + fixed_agent + NAME_LEAST <= SOCKET_PATH_MAX;
    gsize used = base + (fits ? fixed_agent : fixed_monitor);

    if (agent)
        *agent = fits;
    return used + NAME_LEAST > SOCKET_PATH_MAX ? NAME_LEAST
                                               : MIN(SOCKET_PATH_MAX - used, NAME_MOST);
}

char *bh_libvirt_free_name(virConnectPtr conn, const char *shown)
{
    gsize max = bh_libvirt_name_max(conn, NULL);
    char *candidate = bh_domain_safe_name(shown, max);

    for (guint i = 2; name_in_use(conn, candidate); i++) {
        g_autofree char *number = g_strdup_printf("-%u", i);
        g_autofree char *shorter = bh_domain_safe_name(shown, max - MIN(strlen(number), max - 1));
        g_free(candidate);
        candidate = g_strconcat(shorter, number, NULL);
    }
    return candidate;
}

gboolean bh_libvirt_rename(virConnectPtr conn, const char *uuid, const char *name)
{
    g_autoptr(virDomain) domain = virDomainLookupByUUIDString(conn, uuid);
    gboolean done = domain && virDomainIsActive(domain) == 0 && !name_in_use(conn, name) &&
                    virDomainRename(domain, name, 0) == 0;

    if (done)
        bh_libvirt_sync_config(conn);
    virResetLastError();
    return done;
}

static gboolean has_name(virDomainPtr domain, const char *name, const char *uuid)
{
    char id[VIR_UUID_STRING_BUFLEN] = "";

    if (virDomainGetUUIDString(domain, id) < 0 || g_strcmp0(id, uuid) == 0)
        return FALSE;
    if (g_str_equal(virDomainGetName(domain), name))
        return TRUE;
    g_autofree char *xml = bh_libvirt_get_xml(domain, NULL);
    g_autoptr(BhDomain) parsed = xml ? bh_domain_parse(xml, NULL) : NULL;
    return parsed && g_str_equal(parsed->spec->name, name);
}

gboolean bh_libvirt_check_name(virConnectPtr conn, const char *name, const char *uuid,
                               GError **error)
{
    virDomainPtr *domains = NULL;
    int n = virConnectListAllDomains(conn, &domains, 0);
    gboolean taken = FALSE;

    if (n < 0) {
        bh_libvirt_set_error(error, _("The machines could not be listed."));
        return FALSE;
    }
    for (int i = 0; i < n; i++) {
        taken = taken || has_name(domains[i], name, uuid);
        virDomainFree(domains[i]);
    }
    free(domains);
    virResetLastError();
    if (taken)
        g_propagate_error(error, bh_error_new(BH_ERROR_EXISTS, _("Choose another name."), NULL,
                                              _("There is already a machine named “%s”."), name));
    return !taken;
}

/* QEMU of the system's libvirt is another user: it cannot see into root's home. */
static char *folder_path(BhLibvirtHost *host, const char *what)
{
    if (g_str_equal(what, "disks") && !bh_libvirt_host_is_session(host) && geteuid() == 0)
        return g_strdup(SYSTEM_IMAGES);
    return g_build_filename(g_get_user_data_dir(), "bulkhead", what, NULL);
}

char *bh_libvirt_folder(BhLibvirtHost *host, const char *what, GError **error)
{
    g_autofree char *path = folder_path(host, what);

    if (g_mkdir_with_parents(path, g_str_equal(path, SYSTEM_IMAGES) ? 0711 : 0700) == 0)
        return g_steal_pointer(&path);
    int code = errno;
    g_propagate_error(
        error, bh_error_new(code == ENOSPC ? BH_ERROR_NO_SPACE : BH_ERROR_PERMISSION,
                            _("Check the permissions and the free space of your home."), NULL,
                            _("The folder %s could not be made: %s."), path, g_strerror(code)));
    return NULL;
}
