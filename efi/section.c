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
    char name[8];
    uint32_t memory_size, address, file_size, file_place;
    uint32_t unused[3], flags;
};
_Static_assert(sizeof(struct pe_section) == 40, "PE section table");

static bool name_is(const struct pe_section *s, const char *name)
{
    size_t n = text_length(name);

    return n <= sizeof(s->name) && !memcmp(s->name, name, n) && (n == sizeof(s->name) || !s->name[n]);
}

bool pe_find_section(const void *image, uint64_t size, const char *name, uint64_t *at, uint64_t *length)
{
    const uint8_t *bytes = image;
    struct pe_header h;
    uint32_t start;

    if (size < 64)
        return false;
    memcpy(&start, bytes + 60, sizeof(start));
    if (start > size || size - start < sizeof(h))
        return false;
    memcpy(&h, bytes + start, sizeof(h));
    if (memcmp(h.magic, "PE\0\0", 4))
        return false;
    for (uint64_t i = 0; i < h.nr_sections; i++) {
        uint64_t place = (uint64_t)start + sizeof(h) + h.optional_size + i * sizeof(struct pe_section);
        struct pe_section s;

        if (place + sizeof(s) > size)
            return false;
        memcpy(&s, bytes + place, sizeof(s));
        if (!name_is(&s, name) || s.address > size || s.memory_size > size - s.address)
            continue;
        *at = s.address;
        *length = s.memory_size;
        return true;
    }
    return false;
}

#ifndef EFI_HOST
#include "loader.h"

struct boot_module section_find(const char *name)
{
    struct boot_module m = {0};

    if (pe_find_section(fw_loaded->base, fw_loaded->size, name, &m.start, &m.size))
        m.start += (uint64_t)fw_loaded->base;
    return m;
}
#endif
