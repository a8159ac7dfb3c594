/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The files behind deleted machines: see libvirt-deleted.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <glib/gi18n-lib.h>
#include <glib/gstdio.h>

#include "../durable.h"
#include "domain-xml.h"
#include "libvirt-deleted.h"
#include "xml-util.h"

void bh_deleted_record_free(BhDeletedRecord *self)
{
    if (!self)
        return;
    g_free(self->uuid);
    g_free(self->name);
    g_free(self->uri);
    g_free(self->save_path);
    g_free(self->xml);
    g_ptr_array_unref(self->disks);
    g_free(self);
}

BhDeletedRecord *bh_deleted_record_parse(const char *text)
{
    g_autoptr(xmlDoc) doc = bh_xml_parse(text, NULL);
    xmlNode *root = doc ? xmlDocGetRootElement(doc) : NULL;
    xmlNode *domain = bh_xml_child(root, "domain");

    if (!domain || !xmlStrEqual(root->name, (const xmlChar *)"bulkhead-deleted"))
        return NULL;
    g_autoptr(BhDeletedRecord) self = g_new0(BhDeletedRecord, 1);
    self->disks = g_ptr_array_new_with_free_func(g_free);
    self->uuid = bh_xml_attr(root, "uuid");
    self->name = bh_xml_text(bh_xml_child(root, "name"));
    self->uri = bh_xml_attr(root, "uri");
    self->time = (gint64)bh_xml_attr_uint(root, "time", 0);
    self->purging = bh_xml_attr_is(root, "purging", "yes");
    self->restoring = bh_xml_attr_is(root, "restoring", "yes");
    self->save_path = bh_xml_attr(bh_xml_child(root, "saved"), "path");
    for (xmlNode *disk = bh_xml_child(root, "disk"); disk; disk = bh_xml_next(disk)) {
        char *path = bh_xml_attr(disk, "path");
        if (path)
            g_ptr_array_add(self->disks, path);
    }
    g_autoptr(xmlDoc) inner = xmlNewDoc((const xmlChar *)"1.0");
    xmlDocSetRootElement(inner, xmlDocCopyNode(domain, inner, 1));
    self->xml = bh_xml_to_string(inner);
    if (!self->uuid || !g_uuid_string_is_valid(self->uuid) || !self->name || !self->uri)
        return NULL;
    return g_steal_pointer(&self);
}

char *bh_deleted_record_to_text(const BhDeletedRecord *self)
{
    g_autoptr(xmlDoc) doc = xmlNewDoc((const xmlChar *)"1.0");
    xmlNode *root = xmlNewDocNode(doc, NULL, (const xmlChar *)"bulkhead-deleted", NULL);
    g_autofree char *time = g_strdup_printf("%" G_GINT64_FORMAT, self->time);
    g_autoptr(xmlDoc) domain = bh_xml_parse(self->xml, NULL);

    xmlDocSetRootElement(doc, root);
    bh_xml_set(root, "version", "1");
    bh_xml_set(root, "uuid", self->uuid);
    bh_xml_set(root, "uri", self->uri);
    bh_xml_set(root, "time", time);
    bh_xml_set(root, "purging", self->purging ? "yes" : NULL);
    bh_xml_set(root, "restoring", self->restoring ? "yes" : NULL);
    bh_xml_set_text(bh_xml_add(root, "name"), self->name);
    for (guint i = 0; i < self->disks->len; i++)
        bh_xml_set(bh_xml_add(root, "disk"), "path", self->disks->pdata[i]);
    if (self->save_path)
        bh_xml_set(bh_xml_add(root, "saved"), "path", self->save_path);
    xmlAddChild(root, xmlDocCopyNode(xmlDocGetRootElement(domain), doc, 1));
    return bh_xml_to_string(doc);
}

static char *record_file(BhLibvirtHost *host, const char *uuid, const char *suffix, GError **error)
{
    g_autofree char *folder = bh_libvirt_folder(host, "deleted", error);
    return folder ? g_strdup_printf("%s/%s%s", folder, uuid, suffix) : NULL;
}

char *bh_deleted_save_file(BhLibvirtHost *host, const char *uuid)
{
    return record_file(host, uuid, ".save", NULL);
}

void bh_deleted_give_back_saved(BhLibvirtHost *host, const BhDeletedRecord *record)
{
    g_autofree char *copy = bh_deleted_save_file(host, record->uuid);

    if (record->save_path && copy && access(record->save_path, F_OK) < 0 &&
        link(copy, record->save_path) < 0)
        g_warning("saved memory could not be put back to %s: %s", record->save_path,
                  g_strerror(errno));
}

gboolean bh_deleted_record_write(BhLibvirtHost *host, const BhDeletedRecord *self, GError **error)
{
    g_autofree char *path = record_file(host, self->uuid, ".xml", error);
    g_autofree char *text = bh_deleted_record_to_text(self);
    g_autoptr(GError) cause = NULL;

    if (!path)
        return FALSE;
    if (g_file_set_contents_full(path, text, -1,
                                 G_FILE_SET_CONTENTS_CONSISTENT | G_FILE_SET_CONTENTS_DURABLE, 0600,
                                 &cause)) {
        bh_sync_folder_of(path);
        return TRUE;
    }
    g_propagate_error(
        error,
        bh_error_new(g_error_matches(cause, G_FILE_ERROR, G_FILE_ERROR_NOSPC) ? BH_ERROR_NO_SPACE
                                                                              : BH_ERROR_PERMISSION,
                     _("Check the free space and the permissions of your "
                       "home."),
                     cause->message,
                     _("The record of the deleted machine could not be written, so nothing was "
                       "changed.")));
    return FALSE;
}

BhDeletedRecord *bh_deleted_record_load(BhLibvirtHost *host, const char *uuid, GError **error)
{
    g_autofree char *path = record_file(host, uuid, ".xml", error);
    g_autofree char *text = NULL;
    BhDeletedRecord *record = NULL;

    if (!path)
        return NULL;
    if (g_file_get_contents(path, &text, NULL, NULL))
        record = bh_deleted_record_parse(text);
    if (!record)
        g_propagate_error(error, bh_error_new(BH_ERROR_NOT_FOUND, NULL, path,
                                              _("This deleted machine is no longer there.")));
    return record;
}

void bh_deleted_record_drop(BhLibvirtHost *host, const char *uuid)
{
    g_autofree char *path = record_file(host, uuid, ".xml", NULL);
    g_autofree char *save = record_file(host, uuid, ".save", NULL);

    if (save)
        unlink(save);
    if (path) {
        unlink(path);
        bh_sync_folder_of(path);
    }
}

/* Only a plain file directly in our own folder, whatever the record says. */
static void remove_disk(const char *path, const char *folder)
{
    g_autofree char *parent = g_path_get_dirname(path);
    GStatBuf info;

    if (g_str_equal(parent, folder) && g_lstat(path, &info) == 0 && S_ISREG(info.st_mode))
        unlink(path);
}

static BhDeletedRecord *load_file(BhLibvirtHost *host, const char *file)
{
    g_autofree char *uuid =
        g_str_has_suffix(file, ".xml") ? g_strndup(file, strlen(file) - 4) : NULL;

    if (!uuid || !g_uuid_string_is_valid(uuid))
        return NULL;
    BhDeletedRecord *record = bh_deleted_record_load(host, uuid, NULL);
    if (record && (!g_str_equal(record->uuid, uuid) ||
                   g_strcmp0(record->uri, bh_host_get_uri(BH_HOST(host)))))
        g_clear_pointer(&record, bh_deleted_record_free);
    return record;
}

static int by_time(gconstpointer a, gconstpointer b)
{
    const BhDeletedRecord *first = *(BhDeletedRecord *const *)a,
                          *second = *(BhDeletedRecord *const *)b;
    return first->time < second->time ? -1 : first->time > second->time;
}

/* TRUE when the record still stands for a deleted machine. */
static gboolean settle(BhLibvirtHost *host, virConnectPtr conn, BhDeletedRecord *record)
{
    g_autoptr(virDomain) domain = NULL;

    if (record->purging)
        return !bh_deleted_record_purge(host, conn, record, NULL);
    domain = virDomainLookupByUUIDString(conn, record->uuid);
    if (domain) {
        /* Only then: a machine had back by other means may have run since, and old memory on a
         * newer disk would destroy it. */
        if (record->restoring)
            bh_deleted_give_back_saved(host, record);
        bh_deleted_record_drop(host, record->uuid);
        return FALSE;
    }
    const virError *why = virGetLastError();
    return why && why->code == VIR_ERR_NO_DOMAIN;
}

void bh_deleted_records_read(BhLibvirtHost *host, virConnectPtr conn, GPtrArray *records)
{
    g_autofree char *folder = bh_libvirt_folder(host, "deleted", NULL);
    g_autoptr(GDir) dir = folder ? g_dir_open(folder, 0, NULL) : NULL;
    const char *file;

    while (dir && (file = g_dir_read_name(dir))) {
        BhDeletedRecord *record = load_file(host, file);
        if (record && settle(host, conn, record))
            g_ptr_array_add(records, record);
        else
            bh_deleted_record_free(record);
    }
    g_ptr_array_sort(records, by_time);
}

/* The record's definition under a name nobody has. With a TPM even if it has none now: one that was
 * switched off has left its state. */
static virDomainPtr define_to_purge(virConnectPtr conn, const BhDeletedRecord *record,
                                    GError **error)
{
    g_autofree char *name = g_strconcat(BH_PURGE_PREFIX, record->uuid, NULL);
    g_autoptr(BhMachineSpec) spec = bh_machine_spec_new();
    const char *what = _("The machine could not be removed.");
    virDomainPtr domain = NULL;

    spec->tpm = TRUE;
    g_autofree char *with_tpm = bh_domain_change(record->xml, spec, BH_SPEC_TPM, name, FALSE, NULL);
    g_autofree char *xml = bh_domain_change(record->xml, spec, 0, name, FALSE, error);
    if (with_tpm)
        domain = bh_libvirt_define(conn, with_tpm, what, NULL);
    if (!domain && xml)
        domain = bh_libvirt_define(conn, xml, what, error);
    return domain;
}

/*
 * libvirt keeps files of its own for a machine (EFI variables, TPM state) in places that are its
 * business. So the machine is defined once more, for libvirt to remove them with it. Repeating all
 * this after a crash in between does no harm.
 */
static gboolean undefine_for_good(virConnectPtr conn, const BhDeletedRecord *record, GError **error)
{
    g_autoptr(virDomain) domain = define_to_purge(conn, record, error);

    if (!domain)
        return FALSE;
    int rc = virDomainUndefineFlags(domain, VIR_DOMAIN_UNDEFINE_NVRAM | VIR_DOMAIN_UNDEFINE_TPM |
                                                VIR_DOMAIN_UNDEFINE_MANAGED_SAVE);
    const virError *why = rc == 0 ? NULL : virGetLastError();
    if (rc == 0 || (why && why->code == VIR_ERR_NO_DOMAIN)) { /* another client was at it, too */
        virResetLastError();
        bh_libvirt_sync_config(conn);
        return TRUE;
    }
    bh_libvirt_set_error(error, _("The machine could not be removed."));
    return FALSE;
}

/* libvirt removes the store of EFI variables in use; the other one (bh_domain_nvram_path) is ours.
 */
static void remove_other_nvram(BhLibvirtHost *host, const BhDeletedRecord *record)
{
    g_autofree char *folder = bh_libvirt_folder(host, "nvram", NULL);
    g_autoptr(BhDomain) domain = bh_domain_parse(record->xml, NULL);

    for (gboolean secure = FALSE; folder && domain && domain->nvram && secure <= TRUE; secure++) {
        g_autofree char *path = bh_domain_nvram_path(domain->nvram, secure);
        if (strstr(path, record->uuid))
            remove_disk(path, folder);
    }
}

/* Unless another machine has the name, and so the log, by now. */
static void remove_log(virConnectPtr conn, const BhDeletedRecord *record)
{
    g_autoptr(BhDomain) domain = bh_domain_parse(record->xml, NULL);
    g_autoptr(virDomain) other = domain ? virDomainLookupByName(conn, domain->name) : NULL;

    if (domain && !other)
        bh_libvirt_log_remove(conn, domain->name);
    virResetLastError();
}

gboolean bh_deleted_record_purge(BhLibvirtHost *host, virConnectPtr conn, BhDeletedRecord *record,
                                 GError **error)
{
    g_autofree char *folder = bh_libvirt_folder(host, "disks", error);
    gboolean was_purging = record->purging;
    g_autoptr(virDomain) present = virDomainLookupByUUIDString(conn, record->uuid);

    if (!folder)
        return FALSE;
    if (present && !was_purging) {
        bh_deleted_record_drop(host,
                               record->uuid); /* had back by other means: not ours to remove */
        return TRUE;
    }
    record->purging = TRUE;
    if (!bh_deleted_record_write(host, record, error) || !undefine_for_good(conn, record, error))
        return FALSE;
    for (guint i = 0; i < record->disks->len; i++)
        remove_disk(record->disks->pdata[i], folder);
    remove_other_nvram(host, record);
    remove_log(conn, record);
    bh_deleted_record_drop(host, record->uuid);
    return TRUE;
}
