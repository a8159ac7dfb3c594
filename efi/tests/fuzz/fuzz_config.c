/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Any bytes as bulkhead.conf: every string of the result ends, every refusal says why. */
/* sources: config.c text.c */
#include "../../config.h"
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
    CHECK(entry.name[0] && strlen(entry.name) < sizeof(entry.name) && strlen(entry.kernel) < sizeof(entry.kernel));
    CHECK(strlen(entry.options) < sizeof(entry.options) && strlen(entry.hypervisor) < sizeof(entry.hypervisor));
    CHECK(!entry.dom0_mem[0] == !entry.dom0_bytes);
    return 0;
}
