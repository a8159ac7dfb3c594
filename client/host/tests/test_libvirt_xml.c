/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The libvirt driver's pure parts: a spec to domain XML and back, changes to definitions that
 * others made, hostile texts. Where virt-xml-validate is there, all XML is held against libvirt's
 * schema.
 */
#include <string.h>

#include <glib/gstdio.h>

#include <bulkhead/error.h>

#include "../libvirt/domain-read.h"
#include "../libvirt/domain-xml.h"
#include "../libvirt/libvirt-deleted.h"

#define UUID "0f8e2a34-5b1c-4e7d-9a60-1b2c3d4e5f60"

static BhDomainPlan plan(void)
{
    return (BhDomainPlan){.uuid = UUID,
                          .domain_name = "plain",
                          .emulator = "/usr/bin/qemu-system-x86_64",
                          .max_cpus = 8,
                          .spice = TRUE,
                          .agent = TRUE,
                          .nvram = "/home/x/.local/share/bulkhead/nvram/a'b&c.fd",
                          .disk_path = "/home/x/disks/<&'\">.qcow2",
                          .disk_format = "qcow2",
                          .disk_managed = TRUE,
                          .disk_first = TRUE};
}

static BhMachineSpec *full_spec(void)
{
    BhMachineSpec *spec = bh_machine_spec_new();

    spec->name = g_strdup("plain");
    spec->os_id = g_strdup("http://debian.org/debian/12");
    spec->notes = g_strdup("Two\nlines & <more> ]]>");
    spec->cpus = 3;
    spec->memory_mib = 1536;
    spec->secure_boot = TRUE;
    spec->tpm = TRUE;
    spec->video = BH_VIDEO_QXL;
    spec->disk_bus = BH_BUS_VIRTIO;
    spec->nic = BH_NIC_VIRTIO;
    spec->cdrom = g_strdup("/media/a & b's <cd>.iso");
    return spec;
}

/* libvirt's schema; without the tool nothing is checked. */
static void validate(const char *xml)
{
    g_autofree char *tool = g_find_program_in_path("virt-xml-validate");
    g_autofree char *file = NULL, *output = NULL;
    int status = 0, fd = g_file_open_tmp("bh-XXXXXX.xml", &file, NULL);

    g_assert_cmpint(fd, >=, 0);
    g_close(fd, NULL);
    g_assert_true(g_file_set_contents(file, xml, -1, NULL));
    if (tool) {
        const char *argv[] = {tool, file, "domain", NULL};
        g_assert_true(g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_STDERR_TO_DEV_NULL, NULL,
                                   NULL, &output, NULL, &status, NULL));
        if (status)
            g_test_message("%s\n%s", output, xml);
        g_assert_cmpint(status, ==, 0);
    }
    g_unlink(file);
}

static BhDomain *parse(const char *xml)
{
    GError *error = NULL;
    BhDomain *domain = bh_domain_parse(xml, &error);

    g_assert_no_error(error);
    return domain;
}

static void assert_same(const BhMachineSpec *a, const BhMachineSpec *b)
{
    g_assert_cmphex(bh_machine_spec_diff(a, b), ==, 0);
    g_assert_cmpstr(a->os_id, ==, b->os_id);
    g_assert_cmpint(a->firmware, ==, b->firmware);
    g_assert_cmpint(a->disk_bus, ==, b->disk_bus);
}

static void test_round_trip(void)
{
    g_autoptr(BhMachineSpec) spec = full_spec();

    for (guint i = 0; i < 64; i++) {
        BhDomainPlan p = plan();
        spec->secure_boot = spec->tpm = i & 1;
        spec->firmware = i & 1 || !(i & 2) ? BH_FIRMWARE_EFI : BH_FIRMWARE_BIOS;
        spec->sound = i & 4;
        spec->clipboard = i & 8;
        spec->usb_channels = i % 9;
        spec->video = BH_VIDEO_QXL + i % 3;
        spec->disk_bus = i & 16 ? BH_BUS_SATA : BH_BUS_VIRTIO;
        spec->nic = BH_NIC_VIRTIO + i % 3;
        spec->install = (i & 32) != 0;
        p.kvm = i & 2;
        p.network = i & 4 ? "default" : NULL;
        g_autofree char *xml = bh_domain_xml(spec, &p);
        if (i % 8 == 0)
            validate(xml);
        g_autoptr(BhDomain) domain = parse(xml);
        assert_same(spec, domain->spec);
        g_assert_cmpstr(domain->spec->disk_path, ==, p.disk_path);
        g_assert_cmpstr(domain->uuid, ==, UUID);
        g_assert_cmpstr(domain->type, ==, p.kvm ? "kvm" : "qemu");
        g_assert_cmpuint(domain->max_cpus, ==, 8);
        g_assert_true(domain->ours);
        g_assert_cmpint(domain->installing, ==, spec->install);
        g_assert_true(bh_domain_first(domain, FALSE)->managed);
        if (spec->firmware == BH_FIRMWARE_EFI)
            g_assert_cmpstr(domain->nvram, ==, p.nvram);
    }
}

static void test_boot_order(void)
{
    g_autoptr(BhMachineSpec) spec = full_spec();
    BhDomainPlan p = plan();

    spec->install = TRUE;
    p.disk_first = FALSE; /* a disk that may boot already */
    g_autofree char *xml = bh_domain_xml(spec, &p);
    g_autoptr(BhDomain) domain = parse(xml);
    g_assert_true(domain->cdrom_first);
    g_autofree char *ended = bh_domain_end_install(xml, NULL);
    g_autoptr(BhDomain) after = parse(ended);
    g_assert_false(after->cdrom_first);
    g_assert_false(after->installing);
    g_assert_null(after->spec->cdrom);
    validate(ended);
    p.disk_path = NULL; /* a live CD */
    g_autofree char *live = bh_domain_xml(spec, &p);
    g_autoptr(BhDomain) live_domain = parse(live);
    g_assert_true(live_domain->cdrom_first);
}

static void test_names(void)
{
    static const char *const names[] = {"a & b",
                                        "<x>",
                                        "'\"",
                                        "%s%n%d",
                                        "\\",
                                        "#1",
                                        "日本語 \xf0\x9f\x92\xbb",
                                        "]]>",
                                        "&amp;",
                                        "a,b=c",
                                        "../../etc",
                                        "\xe2\x80\xae"
                                        "rtl",
                                        "-rf *",
                                        "~",
                                        "é́́́",
                                        ".hidden",
                                        "_",
                                        "x\xef\xbf\xbf",
                                        "n n n n n n n n n n n n n n n n n n n n n n n n n n n n n "
                                        "n n n n n n n n n n n n n n n n"};

    for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autoptr(BhMachineSpec) spec = full_spec();
        BhDomainPlan p = plan();
        g_free(spec->name);
        spec->name = g_strdup(names[i]);
        bh_spec_clean(spec);
        g_autofree char *safe = bh_domain_safe_name(names[i], 16);
        g_assert_cmpuint(strlen(safe), <=, 16);
        g_assert_true(g_ascii_isalnum(safe[0]));
        for (const char *c = safe; *c; c++)
            g_assert_true(g_ascii_isalnum(*c) || strchr(" ._+()-", *c));
        p.domain_name = safe;
        g_autofree char *xml = bh_domain_xml(spec, &p);
        g_autoptr(BhDomain) domain = parse(xml);
        g_assert_cmpstr(domain->spec->name, ==, spec->name);
        g_assert_cmpstr(domain->name, ==, safe);
        validate(xml);
        /* Renamed by others: theirs counts. */
        g_autofree char *changed = bh_domain_change(xml, spec, 0, "theirs", FALSE, NULL);
        g_autoptr(BhDomain) theirs = parse(changed);
        g_assert_cmpstr(theirs->spec->name, ==, "theirs");
    }
}

/* As virt-manager might have made it: nothing of ours, and details we do not know. */
static const char foreign[] =
    "<domain type='kvm' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'><name>vm</name>"
    "<uuid>" UUID "</uuid><memory unit='KiB'>2097152</memory><vcpu>2</vcpu>"
    "<os><type arch='x86_64' machine='pc'>hvm</type><boot "
    "dev='hd'/></os><features><acpi/></features>"
    "<cpu mode='host-model'/><devices><emulator>/usr/bin/kvm</emulator>"
    "<disk type='block' device='disk'><driver name='qemu' type='raw'/><source dev='/dev/vg/vm'/>"
    "<target dev='sda' bus='scsi'/></disk><controller type='scsi' model='virtio-scsi'/>"
    "<interface type='bridge'><source bridge='br0'/><model type='rtl8139'/></interface>"
    "<graphics type='vnc' port='-1' autoport='yes'/><video><model type='cirrus'/></video>"
    "<watchdog model='i6300esb' action='reset'/></devices>"
    "<qemu:commandline><qemu:arg value='-global'/><qemu:arg "
    "value='x=y'/></qemu:commandline></domain>";

static void test_foreign(void)
{
    g_autoptr(BhDomain) domain = parse(foreign);
    g_autoptr(BhMachineSpec) wanted = bh_machine_spec_copy(domain->spec);

    g_assert_false(domain->ours);
    g_assert_cmpuint(domain->spec->memory_mib, ==, 2048);
    g_assert_cmpint(domain->spec->firmware, ==, BH_FIRMWARE_BIOS);
    g_assert_cmpint(domain->display, ==, BH_DISPLAY_VNC);
    g_assert_cmpint(domain->spec->video, ==, BH_VIDEO_AUTO);
    g_assert_cmpint(domain->spec->nic, ==, BH_NIC_AUTO);
    g_assert_cmpstr(domain->spec->disk_path, ==, "/dev/vg/vm");
    wanted->cpus = 6;
    wanted->notes = g_strdup("mine now");
    wanted->cdrom = g_strdup("/x.iso");
    g_autofree char *xml = bh_domain_change(
        foreign, wanted, BH_SPEC_CPUS | BH_SPEC_NOTES | BH_SPEC_CDROM, "vm", FALSE, NULL);
    g_autoptr(BhDomain) changed = parse(xml);
    g_assert_cmpuint(changed->spec->cpus, ==, 6);
    g_assert_cmpstr(changed->spec->notes, ==, "mine now");
    g_assert_cmpstr(changed->spec->cdrom, ==, "/x.iso");
    g_assert_false(changed->ours);
    g_assert_nonnull(strstr(xml, "qemu:arg value=\"x=y\""));
    g_assert_nonnull(strstr(xml, "i6300esb"));
    g_assert_nonnull(strstr(xml, "br0"));
    validate(xml);
}

static void test_change_all(void)
{
    const BhSpecFields all = (BH_SPEC_NIC << 1) - 1;
    g_autoptr(BhMachineSpec) spec = full_spec(), other = full_spec();
    BhDomainPlan p = plan();
    g_autofree char *xml = bh_domain_xml(spec, &p);

    g_free(other->name);
    other->name = g_strdup("Other <name>");
    g_clear_pointer(&other->notes, g_free);
    g_clear_pointer(&other->cdrom, g_free);
    other->cpus = 12;
    other->memory_mib = 4096;
    other->sound = other->clipboard = other->tpm = other->secure_boot = FALSE;
    other->video = BH_VIDEO_VGA;
    other->usb_channels = 8;
    other->nic = BH_NIC_NONE;
    g_autofree char *there = bh_domain_change(xml, other, all, "plain", TRUE, NULL);
    g_autoptr(BhDomain) domain = parse(there);
    assert_same(other, domain->spec);
    g_assert_true(domain->renamed);
    g_assert_cmpuint(domain->max_cpus, ==, 12);
    validate(there);
    g_autofree char *back = bh_domain_change(there, spec, all, "plain", FALSE, NULL);
    g_autoptr(BhDomain) again = parse(back);
    assert_same(spec, again->spec);
    validate(back);
    g_autofree char *kvm = bh_domain_set_kvm(back, TRUE, NULL);
    g_autoptr(BhDomain) as_kvm = parse(kvm);
    g_assert_cmpstr(as_kvm->type, ==, "kvm");
    assert_same(spec, as_kvm->spec);
    validate(kvm);
}

static void test_pending(void)
{
    g_autoptr(BhMachineSpec) spec = full_spec();
    BhDomainPlan p = plan();
    g_autofree char *xml = bh_domain_xml(spec, &p);
    g_autoptr(BhDomain) config = parse(xml), live = parse(xml);

    g_assert_cmphex(bh_domain_pending(config, live), ==, 0);
    config->spec->sound = !config->spec->sound;
    config->spec->memory_mib = 512; /* the balloon reaches that */
    config->spec->clipboard = FALSE;
    g_free(config->spec->name);
    config->spec->name = g_strdup("else");
    g_assert_cmphex(bh_domain_pending(config, live), ==, BH_SPEC_SOUND);
    config->spec->memory_mib = 8192;
    config->spec->clipboard = TRUE;
    live->spec->clipboard = FALSE;
    g_assert_cmphex(bh_domain_pending(config, live), ==,
                    BH_SPEC_SOUND | BH_SPEC_MEMORY | BH_SPEC_CLIPBOARD);
}

static void test_bad_input(void)
{
    static const char *const bad[] = {
        "",
        "x",
        "<",
        "<domain",
        "<domain/>",
        "<domain><name>x</name></domain>",
        "<network/>",
        "<!DOCTYPE d [<!ENTITY a 'aaaa'><!ENTITY b '&a;&a;&a;'>]><domain><name>&b;</name></domain>",
        "<!DOCTYPE d [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><domain><uuid>&x;</uuid></domain>"};

    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++) {
        GError *error = NULL;
        g_assert_null(bh_domain_parse(bad[i], &error));
        g_assert_error(error, BH_ERROR, BH_ERROR_INVALID);
        g_error_free(error);
        g_assert_null(bh_deleted_record_parse(bad[i]));
    }
    g_autoptr(BhDomain) odd =
        parse("<domain><name>x</name><uuid>" UUID "</uuid>"
              "<memory unit='TiB'>99999999999999999999</memory>"
              "<vcpu current='99'>-3</vcpu><devices><disk/><disk device='cdrom'>"
              "<target/></disk><hostdev type='usb'><source><address bus='999' "
              "device='-1'/></source></hostdev><redirdev/></devices></domain>");
    g_assert_cmpuint(odd->usb->len, ==, 0);
    g_assert_cmpuint(odd->spec->cpus, >=, 1);
    g_assert_cmpuint(odd->spec->usb_channels, ==, 0);
}

static void test_usb(void)
{
    g_autofree char *device = bh_domain_usb_xml(0x0951, 0x1666, 3, 14);
    g_autofree char *xml = g_strdup_printf(
        "<domain><name>x</name><uuid>" UUID "</uuid><devices>%s"
        "<hostdev mode='subsystem' type='pci'><source><address bus='1' device='2'/></source>"
        "</hostdev></devices></domain>",
        device);
    g_autoptr(BhDomain) domain = parse(xml);

    g_assert_cmpuint(domain->usb->len, ==, 1);
    const BhUsbAddress *usb = domain->usb->pdata[0];
    g_assert_cmphex(usb->vendor, ==, 0x0951);
    g_assert_cmphex(usb->product, ==, 0x1666);
    g_assert_cmpuint(usb->bus, ==, 3);
    g_assert_cmpuint(usb->address, ==, 14);
}

static void test_record(void)
{
    g_autoptr(BhMachineSpec) spec = full_spec();
    BhDomainPlan p = plan();
    BhDeletedRecord record = {.uuid = (char *)UUID,
                              .name = (char *)"A & <B>\n",
                              .uri = (char *)"qemu:///session?x='y'&z",
                              .time = 1234567890123,
                              .save_path = (char *)"/a \"b\".save",
                              .disks = g_ptr_array_new()};

    record.xml = bh_domain_xml(spec, &p);
    g_ptr_array_add(record.disks, (char *)"/d/<1>.qcow2");
    g_autofree char *text = bh_deleted_record_to_text(&record);
    g_autoptr(BhDeletedRecord) back = bh_deleted_record_parse(text);
    g_assert_nonnull(back);
    g_assert_cmpstr(back->uuid, ==, record.uuid);
    g_assert_cmpstr(back->name, ==, record.name);
    g_assert_cmpstr(back->uri, ==, record.uri);
    g_assert_cmpint(back->time, ==, record.time);
    g_assert_cmpstr(back->save_path, ==, record.save_path);
    g_assert_cmpuint(back->disks->len, ==, 1);
    g_assert_cmpstr(back->disks->pdata[0], ==, "/d/<1>.qcow2");
    g_assert_false(back->purging);
    g_autoptr(BhDomain) domain = parse(back->xml);
    assert_same(spec, domain->spec);
    validate(back->xml);
    g_free(record.xml);
    g_ptr_array_unref(record.disks);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/libvirt-xml/round-trip", test_round_trip);
    g_test_add_func("/libvirt-xml/boot-order", test_boot_order);
    g_test_add_func("/libvirt-xml/names", test_names);
    g_test_add_func("/libvirt-xml/foreign", test_foreign);
    g_test_add_func("/libvirt-xml/change-all", test_change_all);
    g_test_add_func("/libvirt-xml/pending", test_pending);
    g_test_add_func("/libvirt-xml/bad-input", test_bad_input);
    g_test_add_func("/libvirt-xml/usb", test_usb);
    g_test_add_func("/libvirt-xml/record", test_record);
    return g_test_run();
}
