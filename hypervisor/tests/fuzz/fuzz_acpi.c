/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sources: lib/acpi.c */
/* Firmware made of any bytes, root pointer at 16; each mapping is a copy of exactly its size, so that a read beyond is
 * seen. */
#include "fake_metal.h"

#include <hv/acpi.h>
#include <stdlib.h>
#include <string.h>

static struct {
    const uint8_t *bytes;
    size_t size;
} firmware;
static void *copies[4096];
static unsigned nr_copies;

const void *acpi_map(paddr_t at, size_t size)
{
    if (at > firmware.size || size > firmware.size - at || nr_copies == ARRAY_SIZE(copies))
        return NULL;
    void *copy = copies[nr_copies++] = malloc(size ? size : 1);
    memcpy(copy, firmware.bytes + at, size);
    return copy;
}

static void look(const struct acpi_table *t)
{
    struct acpi_ecam ecam[4];
    struct acpi_table part;
    uint8_t out[600];
    uint32_t ids[] = { 0, 2, 254 };
    acpi_parse_fadt(t);
    acpi_hpet_base(t);
    unsigned nr_ecam = acpi_parse_mcfg(t, ecam, ARRAY_SIZE(ecam));
    for (unsigned i = 0; i < nr_ecam; i++)
        CHECK(ecam[i].first_bus <= ecam[i].last_bus);
    for (uint32_t at = ACPI_MADT_PARTS; acpi_next_part(t, &at, 1, &part);)
        CHECK(part.size >= 2 && at <= t->size);
    for (size_t size = 0; size <= sizeof(out); size += 100) {
        CHECK(acpi_build_madt(out, size, &(struct acpi_madt_plan){ ids, 3, t, NULL, 0 }) <= size);
        CHECK(acpi_build_xsdt(out, size, t, 4096) <= size);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct acpi_table root, t;
    firmware.bytes = data;
    firmware.size = size;
    if (acpi_root(16, &root)) {
        for (unsigned i = 0; acpi_next_table(&root, &i, &t);)
            look(&t);
    }
    for (paddr_t at = 1; at < MIN(size, 64u); at += 7) {
        if (acpi_table_at(at, &t))
            look(&t);
    }
    while (nr_copies)
        free(copies[--nr_copies]);
    return 0;
}
