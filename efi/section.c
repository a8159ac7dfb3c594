/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The loader's own PE headers, as they lie in memory, lead to .bhconf, .bhlinux and .bhinitr of a unified image.
 * Microsoft's PE format, "COFF file header" and "section table". Whoever loaded this program has checked them.
 */
#include "pure.h"

struct pe_header {
    uint8_t magic[4];
    uint16_t machine, nr_sections;
    uint32_t time, symbols, nr_symbols;
    uint16_t optional_size, flags;
};
_Static_assert(sizeof(struct pe_header) == 24, "PE signature and COFF header");

struct pe_section {
    char name[8]; /* padded with zeros */
    uint32_t memory_size, address, file_size, file_place;
    uint32_t unused[3], flags;
};
_Static_assert(sizeof(struct pe_section) == 40, "PE section table");

struct boot_module section_find(const void *image, const char *name)
{
    const uint8_t *bytes = image;
    const struct pe_header *h = (const void *)(bytes + *(const uint32_t *)(bytes + 60));
    const struct pe_section *s = (const void *)((const uint8_t *)(h + 1) + h->optional_size);

    for (unsigned int i = 0; i < h->nr_sections; i++, s++)
        if (!memcmp(s->name, name, sizeof(s->name)))
            return (struct boot_module){(uintptr_t)bytes + s->address, s->memory_size};
    return (struct boot_module){0};
}
