/* SPDX-License-Identifier: GPL-2.0-or-later */
/* BhMachineSpec: what is accepted as a machine, and differences between two. Errors with hints. */
#include <string.h>

#include <bulkhead/error.h>
#include <bulkhead/spec.h>

static BhMachineSpec *good(void)
{
    BhMachineSpec *spec = bh_machine_spec_new();

    spec->name = g_strdup("Debian 12");
    return spec;
}

static void rename_spec(BhMachineSpec *spec, const char *name)
{
    g_free(spec->name);
    spec->name = g_strdup(name);
}

static void assert_invalid(const BhMachineSpec *spec)
{
    g_autoptr(GError) error = NULL;

    g_assert_false(bh_machine_spec_validate(spec, &error));
    g_assert_error(error, BH_ERROR, BH_ERROR_INVALID);
    g_assert_cmpuint(strlen(error->message), >, 5);
    g_assert_nonnull(bh_error_get_hint(error));
}

static void test_defaults(void)
{
    g_autoptr(BhMachineSpec) spec = good();
    g_autoptr(GError) error = NULL;

    g_assert_true(bh_machine_spec_validate(spec, &error));
    g_assert_no_error(error);
    g_assert_cmpint(spec->firmware, ==, BH_FIRMWARE_EFI);
    g_assert_cmpint(spec->disk_origin, ==, BH_DISK_NONE);
    g_assert_true(spec->sound && spec->clipboard);
}

static void test_names(void)
{
    static const char *const fine[] = {"a",           "Работа", "仕事 🖥", "שולחן עבודה",
                                       "a'b\"c<d>&e", "-rf",    "..a",         "100%",
                                       "$(reboot)",   "é",      "a\\b; c",     NULL};
    static const char *const wrong[] = {"",          " a",       "a ",    ".",
                                        "..",        "a/b",      "a\nb",  "a\tb",
                                        "a\x7f",     "\xff\xfe", "a\xc3", "a\xe2\x80\xa8",
                                        "a\xc2\x85", NULL};
    g_autoptr(BhMachineSpec) spec = good();
    g_autofree char *longest = g_strnfill(200, 'x');
    g_autofree char *longer = g_strnfill(201, 'x');

    for (guint i = 0; fine[i] != NULL; i++) {
        rename_spec(spec, fine[i]);
        g_assert_true(bh_machine_spec_validate(spec, NULL));
    }
    for (guint i = 0; wrong[i] != NULL; i++) {
        rename_spec(spec, wrong[i]);
        assert_invalid(spec);
    }
    rename_spec(spec, longest);
    g_assert_true(bh_machine_spec_validate(spec, NULL));
    rename_spec(spec, longer);
    assert_invalid(spec);
    rename_spec(spec, NULL);
    assert_invalid(spec);
}

static void test_ranges(void)
{
    g_autoptr(BhMachineSpec) spec = good();

    spec->cpus = 0;
    assert_invalid(spec);
    spec->cpus = 1;
    spec->memory_mib = 0;
    assert_invalid(spec);
    spec->memory_mib = G_MAXUINT;
    assert_invalid(spec);
    spec->memory_mib = 1024;
    spec->usb_channels = 9;
    assert_invalid(spec);
    spec->usb_channels = 8;
    g_assert_true(bh_machine_spec_validate(spec, NULL));
    spec->firmware = BH_FIRMWARE_BIOS;
    spec->secure_boot = TRUE;
    assert_invalid(spec);
}

static void test_disks(void)
{
    g_autoptr(BhMachineSpec) spec = good();

    spec->disk_origin = BH_DISK_NEW;
    assert_invalid(spec);
    spec->disk_bytes = 20u << 20;
    g_assert_true(bh_machine_spec_validate(spec, NULL));
    spec->disk_bytes = G_MAXUINT64;
    assert_invalid(spec);
    spec->disk_origin = BH_DISK_IMPORT;
    spec->disk_bytes = 0;
    assert_invalid(spec);
    spec->disk_source = g_strdup("/tmp/x.qcow2");
    g_assert_true(bh_machine_spec_validate(spec, NULL));
}

static void test_notes(void)
{
    g_autoptr(BhMachineSpec) spec = good();

    spec->notes = g_strdup("two\nlines\tand a tab");
    g_assert_true(bh_machine_spec_validate(spec, NULL));
    g_free(spec->notes);
    spec->notes = g_strdup("bell\a");
    assert_invalid(spec);
    g_free(spec->notes);
    spec->notes = g_strnfill(70000, 'x');
    assert_invalid(spec);
}

static void test_diff(void)
{
    g_autoptr(BhMachineSpec) a = good();
    g_autoptr(BhMachineSpec) b = bh_machine_spec_copy(a);

    g_assert_cmpuint(bh_machine_spec_diff(a, b), ==, 0);
    rename_spec(b, "other");
    b->cpus = 7;
    b->cdrom = g_strdup("/x.iso");
    b->sound = FALSE;
    b->nic = BH_NIC_E1000E;
    g_assert_cmpuint(bh_machine_spec_diff(a, b), ==,
                     BH_SPEC_NAME | BH_SPEC_CPUS | BH_SPEC_CDROM | BH_SPEC_SOUND | BH_SPEC_NIC);
    g_assert_cmpuint(bh_machine_spec_diff(b, a), ==, bh_machine_spec_diff(a, b));
}

static void test_errors(void)
{
    g_autoptr(GError) error = bh_error_new(BH_ERROR_BUSY, "Wait.", "raw", "It is %s", "busy");
    g_autoptr(GError) copy = g_error_copy(error);
    g_autoptr(GError) plain = g_error_new_literal(G_IO_ERROR, G_IO_ERROR_FAILED, "Plain");
    g_autofree char *text = bh_error_to_text(copy);
    g_autofree char *plain_text = bh_error_to_text(plain);

    g_assert_error(copy, BH_ERROR, BH_ERROR_BUSY);
    g_assert_cmpstr(bh_error_get_hint(copy), ==, "Wait.");
    g_assert_cmpstr(bh_error_get_detail(copy), ==, "raw");
    g_assert_nonnull(strstr(text, "It is busy"));
    g_assert_nonnull(strstr(text, "Wait."));
    g_assert_null(bh_error_get_hint(plain));
    g_assert_cmpstr(plain_text, ==, "Plain");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/spec/defaults", test_defaults);
    g_test_add_func("/spec/names", test_names);
    g_test_add_func("/spec/ranges", test_ranges);
    g_test_add_func("/spec/disks", test_disks);
    g_test_add_func("/spec/notes", test_notes);
    g_test_add_func("/spec/diff", test_diff);
    g_test_add_func("/error/parts", test_errors);
    return g_test_run();
}
