/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libFuzzer target: domain XML and deleted-machine records of any content. Whatever parses must
 * also survive every change, and the result must parse again.
 */
#include <stddef.h>
#include <stdint.h>

#include "../libvirt/domain-read.h"
#include "../libvirt/domain-xml.h"
#include "../libvirt/libvirt-caps.h"
#include "../libvirt/libvirt-deleted.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must_parse(char *xml)
{
    g_autofree char *text = xml;
    g_autoptr(BhDomain) domain = text ? bh_domain_parse(text, NULL) : NULL;
    g_assert_nonnull(domain);
}

static void change(const char *xml)
{
    const BhSpecFields all = (BH_SPEC_NIC << 1) - 1;
    g_autoptr(BhDomain) domain = bh_domain_parse(xml, NULL);
    g_autoptr(BhMachineSpec) spec = bh_machine_spec_new();

    if (!domain)
        return;
    spec->name = g_strdup("new & <name>");
    spec->notes = g_strdup("notes");
    spec->cdrom = g_strdup("/a.iso");
    spec->tpm = spec->secure_boot = TRUE;
    must_parse(bh_domain_change(xml, spec, all, "safe", TRUE, NULL));
    must_parse(bh_domain_change(xml, domain->spec, all, "safe", FALSE, NULL));
    must_parse(bh_domain_set_kvm(xml, TRUE, NULL));
    must_parse(bh_domain_end_install(xml, NULL));
    g_free(bh_domain_cdrom_xml(xml, "/b.iso", NULL));
    bh_domain_pending(domain, domain);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autofree char *xml = g_strndup((const char *)data, size);
    g_autoptr(BhDeletedRecord) record = bh_deleted_record_parse(xml);
    g_autoptr(BhHostCaps) caps = g_new0(BhHostCaps, 1);

    bh_host_caps_parse(caps, xml);
    if (record)
        g_free(bh_deleted_record_to_text(record));
    change(xml);
    return 0;
}
