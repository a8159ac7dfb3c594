/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The memory map: order, overlaps, joining, rounding, hostile descriptors; against a page-by-page model. */
/* sources: memmap.c ../hypervisor/lib/lib.c */
#include "../../efi.h"
#include "../../pure.h"
#include "../check.h"

#define ENTRIES 64
#define STEP (sizeof(struct efi_memory_descriptor) + 8) /* firmware's are longer than the specification's */
#define WORLD 128

/* UEFI 7.2.3 */
enum {
    EFI_RESERVED,
    EFI_LOADER_CODE,
    EFI_BOOT_DATA = 4,
    EFI_RUNTIME_CODE,
    EFI_RUNTIME_DATA,
    EFI_CONVENTIONAL,
    EFI_UNUSABLE,
    EFI_ACPI_RECLAIM,
    EFI_ACPI_NVS,
    EFI_MMIO,
};

static uint8_t raw[ENTRIES * STEP];
static unsigned int count;
static struct boot_range ranges[2 * ENTRIES + 1];

static void add(uint32_t type, uint64_t start, uint64_t pages, uint64_t attributes)
{
    struct efi_memory_descriptor d = {.type = type, .physical_start = start, .pages = pages, .attributes = attributes};

    memcpy(raw + count++ * STEP, &d, sizeof(d));
}

static unsigned int convert(void)
{
    unsigned int n = memmap_convert(raw, count * STEP, STEP, ranges);

    CHECK(n <= 2 * count + 1);
    for (unsigned int i = 0; i < n; i++) {
        CHECK(ranges[i].start < ranges[i].end && !((ranges[i].start | ranges[i].end) & 4095));
        CHECK(!i || ranges[i - 1].end <= ranges[i].start);
    }
    return n;
}

static void test_plain(void)
{
    count = 0;
    add(EFI_MMIO, 0xf0000000, 16, 1);
    add(EFI_CONVENTIONAL, 0x100000, 0x100, 0xf);
    add(EFI_BOOT_DATA, 0x200000, 0x100, 0xf);
    add(EFI_LOADER_CODE, 0x300000, 1, 0xf);
    add(EFI_LOADER_DATA, 0x301000, 1, 0xf);
    add(EFI_RUNTIME_CODE, 0x302000, 1, 0x800000000000000f);
    add(EFI_RUNTIME_DATA, 0x303000, 1, 0x800000000000000f);
    add(99, 0x304000, 1, 0);
    add(EFI_ACPI_RECLAIM, 0x305000, 0, 0);
    CHECK(convert() == 6);
    CHECK(ranges[0].start == 0x100000 && ranges[0].end == 0x300000 && ranges[0].kind == BOOT_RAM);
    CHECK(ranges[0].efi_attributes == 0xf);
    CHECK(ranges[1].kind == BOOT_LOADER && ranges[1].end == 0x302000);
    CHECK(ranges[2].kind == BOOT_RUNTIME_CODE && ranges[3].kind == BOOT_RUNTIME_DATA);
    CHECK(ranges[4].kind == BOOT_RESERVED && ranges[5].kind == BOOT_MMIO);
}

static void test_hostile(void)
{
    count = 0;
    add(EFI_CONVENTIONAL, ~0ull, 1, 0);
    add(EFI_CONVENTIONAL, 0xfffffffffffff000, ~0ull, 0);
    add(EFI_RESERVED, 0x9800, 1, 0); /* against the specification */
    add(EFI_CONVENTIONAL, 0x20000, ~0ull, 0);
    add(EFI_CONVENTIONAL, 0x30000, (1ull << 52) - 1, 0);
    CHECK(convert() == 1);
    CHECK(ranges[0].start == 0x9000 && ranges[0].end == 0xa000);
}

/* Which kind each page of a small world must have: the strongest that claims it. */
static void test_random(unsigned int seed)
{
    static const uint8_t strength[] = {[EFI_RESERVED] = BOOT_RESERVED,
                                       [EFI_CONVENTIONAL] = BOOT_RAM,
                                       [EFI_LOADER_DATA] = BOOT_LOADER,
                                       [EFI_ACPI_NVS] = BOOT_ACPI_NVS,
                                       [EFI_UNUSABLE] = BOOT_UNUSABLE};
    static const uint8_t types[] = {EFI_RESERVED, EFI_CONVENTIONAL, EFI_LOADER_DATA, EFI_ACPI_NVS, EFI_UNUSABLE};
    uint8_t world[WORLD] = {0};
    unsigned int n;

    srand(seed);
    for (count = 0; count < 20;) {
        uint32_t type = types[rand() % 5];
        unsigned int start = (unsigned int)rand() % WORLD, pages = (unsigned int)rand() % 20;

        for (unsigned int i = start; i < start + pages && i < WORLD; i++)
            if (strength[type] > world[i])
                world[i] = strength[type];
        add(type, start * 4096ull, start + pages > WORLD ? WORLD - start : pages, 0);
    }
    n = convert();
    for (unsigned int i = 0; i < WORLD; i++) {
        uint8_t found = 0;

        for (unsigned int r = 0; r < n; r++)
            if (i * 4096ull >= ranges[r].start && i * 4096ull < ranges[r].end)
                found = (uint8_t)ranges[r].kind;
        CHECK(found == world[i]);
    }
}

int main(void)
{
    test_plain();
    test_hostile();
    for (unsigned int seed = 0; seed < 2000; seed++)
        test_random(seed);
    count = 0;
    CHECK(convert() == 0);
    return 0;
}
