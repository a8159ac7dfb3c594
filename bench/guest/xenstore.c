/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "xenstore.h"

#include "platform.h"
#include "text.h"
#include "x86.h"
#include "xen.h"

#include <xen/io/xs_wire.h>

static struct xenstore_domain_interface *ring;
static uint32_t port;
static uint32_t last_id;

bool xenstore_init(void)
{
    uint64_t pfn, event;

    if (ring)
        return true;
    if (xen_param_get(HVM_PARAM_STORE_PFN, &pfn) || xen_param_get(HVM_PARAM_STORE_EVTCHN, &event))
        return false;
    if (!pfn || pfn >= 1u << 20)
        return false;
    ring = (struct xenstore_domain_interface *)(uintptr_t)(pfn * PAGE_SIZE);
    port = (uint32_t)event;
    return true;
}

static bool byte_put(char c, uint64_t deadline)
{
    while (ring->req_prod - __atomic_load_n(&ring->req_cons, __ATOMIC_ACQUIRE) >=
           XENSTORE_RING_SIZE) {
        if (tsc_read() > deadline)
            return false;
        platform_relax();
    }
    ring->req[MASK_XENSTORE_IDX(ring->req_prod)] = c;
    __atomic_store_n(&ring->req_prod, ring->req_prod + 1, __ATOMIC_RELEASE);
    return true;
}

static bool byte_get(char *c, uint64_t deadline)
{
    while (__atomic_load_n(&ring->rsp_prod, __ATOMIC_ACQUIRE) == ring->rsp_cons) {
        if (tsc_read() > deadline)
            return false;
        platform_relax();
    }
    *c = ring->rsp[MASK_XENSTORE_IDX(ring->rsp_cons)];
    __atomic_store_n(&ring->rsp_cons, ring->rsp_cons + 1, __ATOMIC_RELEASE);
    return true;
}

static bool bytes_put(const void *from, size_t len, uint64_t deadline)
{
    for (size_t i = 0; i < len; i++)
        if (!byte_put(((const char *)from)[i], deadline))
            return false;
    return true;
}

static bool bytes_get(void *to, size_t len, uint64_t deadline)
{
    for (size_t i = 0; i < len; i++)
        if (!byte_get((char *)to + i, deadline))
            return false;
    return true;
}

/* What does not fit in reply is read and dropped. */
static bool answer(uint32_t type, char *reply, size_t size, uint64_t deadline)
{
    struct xsd_sockmsg h;
    size_t kept = 0;
    char c;

    do {
        if (!bytes_get(&h, sizeof(h), deadline) || h.len > XENSTORE_PAYLOAD_MAX)
            return false;
        for (uint32_t i = 0; i < h.len; i++) {
            if (!byte_get(&c, deadline))
                return false;
            if (h.req_id == last_id && kept + 1 < size)
                reply[kept++] = c;
        }
    } while (h.req_id != last_id);
    reply[kept] = 0;
    xen_send(port);
    return h.type == type;
}

/* The payload is path NUL value, the value without a NUL unless it ends with one of its own. */
static bool request(uint32_t type, const char *path, const char *value, size_t value_len,
                    char *reply, size_t size, uint64_t patience)
{
    uint64_t deadline = tsc_read() + patience;
    size_t path_len = text_length(path) + 1;
    struct xsd_sockmsg h = {
        .type = type, .req_id = ++last_id, .len = (uint32_t)(path_len + value_len)};

    if (!xenstore_init() || h.len > XENSTORE_PAYLOAD_MAX)
        return false;
    if (!bytes_put(&h, sizeof(h), deadline) || !bytes_put(path, path_len, deadline) ||
        !bytes_put(value, value_len, deadline))
        return false;
    xen_send(port);
    return answer(type, reply, size, deadline);
}

bool xenstore_read(const char *path, char *value, size_t size, uint64_t patience)
{
    return request(XS_READ, path, "", 0, value, size, patience);
}

bool xenstore_write(const char *path, const char *value, uint64_t patience)
{
    char reply[16];

    return request(XS_WRITE, path, value, text_length(value), reply, sizeof(reply), patience);
}

bool xenstore_permit(const char *path, unsigned owner, unsigned reader, uint64_t patience)
{
    char value[32], reply[16];
    size_t n = text_print(value, sizeof(value), "n%u", owner) + 1;

    n += text_print(value + n, sizeof(value) - n, "r%u", reader) + 1;
    return request(XS_SET_PERMS, path, value, n, reply, sizeof(reply), patience);
}
