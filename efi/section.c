/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The loader's own PE headers, as they lie in memory, lead to the hypervisor (.hv) and, in a unified image, to
 * .bhconf, .bhlinux and .bhinitr. Microsoft's PE format, "COFF file header" and "section table".
 */
#include "section.h"

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

struct boot_module section_find(const void *image, uint64_t size, const char *name)
{
    const uint8_t *bytes = image;
    char padded[sizeof(((struct pe_section *)0)->name)] = {0};
    struct pe_section s;
    struct pe_header h;
    uint32_t start;
    uint64_t at;

    for (unsigned int i = 0; i < sizeof(padded) && name[i]; i++)
        padded[i] = name[i];
    if (size < 64)
        return (struct boot_module){0};
    memcpy(&start, bytes + 60, sizeof(start));
    if (start > size || size - start < sizeof(h))
        return (struct boot_module){0};
    memcpy(&h, bytes + start, sizeof(h));
    at = start + sizeof(h) + h.optional_size;
    for (unsigned int i = 0; i < h.nr_sections && at + sizeof(s) <= size; i++, at += sizeof(s)) {
        memcpy(&s, bytes + at, sizeof(s));
        if (!memcmp(s.name, padded, sizeof(padded)) && s.address <= size && s.memory_size <= size - s.address)
            return (struct boot_module){(uintptr_t)bytes + s.address, s.memory_size};
    }
    return (struct boot_module){0};
}
