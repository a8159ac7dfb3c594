/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Any bytes as bulkhead.conf: every string of the result ends, every refusal says why. */
/* sources: config.c ../hypervisor/lib/lib.c */
#include "../../pure.h"
#include "../check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct config_entry entry;
    struct trouble t = {0};

    if (!config_parse((const char *)data, size, size % 3 ? "" : "a", &entry, &t)) {
        CHECK(t.why[0] && t.remedy);
        return 0;
    }
    CHECK(entry.name[0] && strlen(entry.name) < CONFIG_LINE);
    for (unsigned int i = 0; i < CONFIG_KEYS; i++)
        CHECK(strlen(entry.value[i]) < CONFIG_LINE);
    return 0;
}
