/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Group pair (Xen ABI only): two instances, role=ping measures, role=pong answers.
 *
 *   evtchn_roundtrip     EVTCHNOP_send to the other domain, until its answer has come
 *   grant_map            a page of the other domain into a hole of the physical map (unmap untimed)
 *   grant_unmap          the other half (map untimed)
 *   grant_mapped_touch   first read through a fresh mapping
 *   grant_copy_peer      GNTTABOP_copy of 4096 bytes out of the other domain's page
 *
 * They find each other through xenstore: each takes the other's domain ID from peer= or from its
 * own data/peer (the control domain writes it when both exist). ping leaves its event channel port
 * in data/measure-port, both leave a grant reference in data/measure-ref, readable for the other.
 * Waiting is SCHEDOP_poll without a limit, so with both vCPUs on one CPU half a round trip is one
 * send and one context switch; on two CPUs it is one send and one wake-up. When ping is done it
 * writes a byte into pong's page by grant copy and sends once more; pong then ends too.
 */
#include "console.h"
#include "grant.h"
#include "measure.h"
#include "platform.h"
#include "text.h"
#include "x86.h"
#include "xen.h"
#include "xenstore.h"

#define REF 9
#define WAIT_STEP 10000000u

static uint8_t given[PAGE_SIZE] __attribute__((aligned(4096)));
static uint8_t scratch[PAGE_SIZE] __attribute__((aligned(4096)));
static uint16_t peer;
static uint32_t port, peer_ref;

static int64_t op_roundtrip(void)
{
    int64_t rc = xen_send(port);

    return rc < 0 ? rc : xen_port_wait(port);
}

static int64_t op_map(void)
{
    return grant_map(peer_ref, peer);
}

static int64_t op_touch(void)
{
    mmio_read32((uintptr_t)grant_window());
    return 0;
}

static int64_t op_copy(void)
{
    return grant_copy_from(peer_ref, peer, scratch, PAGE_SIZE);
}

static const struct row rows[] = {
    {"evtchn_roundtrip", op_roundtrip},
    {"grant_map", op_map, .undo = grant_unmap},
    {"grant_unmap", grant_unmap, .prepare = op_map},
    {"grant_mapped_touch", op_touch, .prepare = op_map, .undo = grant_unmap},
    {"grant_copy_peer", op_copy},
};

static bool await_number(const char *path, uint64_t *value)
{
    uint64_t end = tsc_read() + options.patience;
    char text[16];

    while (tsc_read() < end) {
        if (xenstore_read(path, text, sizeof(text), options.patience) &&
            text_number(text, text_length(text), value))
            return true;
        measure_settle(WAIT_STEP);
    }
    return false;
}

static bool publish(const char *path, uint64_t value)
{
    char text[16];

    text_print(text, sizeof(text), "%lu", value);
    return xenstore_write(path, text, options.patience) &&
           xenstore_permit(path, (unsigned)xen_domid(), peer, options.patience);
}

static bool await_peer_number(const char *name, uint64_t *value)
{
    char path[64];

    text_print(path, sizeof(path), "/local/domain/%u/data/%s", peer, name);
    return await_number(path, value);
}

/* NULL, or which step failed. */
static const char *meet(void)
{
    uint64_t value = options.peer;
    int64_t rc;

    if (!platform.xen || xen_domid() < 0)
        return "no-xen";
    if (!xenstore_init() || !xen_shared())
        return "no-xenstore";
    if (value == DOMID_ANY && !await_number("data/peer", &value))
        return "no-peer";
    peer = (uint16_t)value;
    if (grant_init() < 0)
        return "no-grant-table";
    grant_give(REF, peer, given);
    if (!publish("data/measure-ref", REF))
        return "xenstore-refused";
    if (options.role == ROLE_PING) {
        rc = xen_port_alloc(peer);
        port = (uint32_t)rc;
        if (rc < 0 || !publish("data/measure-port", port))
            return "no-port";
    } else {
        if (!await_peer_number("measure-port", &value))
            return "peer-has-no-port";
        rc = xen_port_bind(peer, (uint32_t)value);
        port = (uint32_t)rc;
        if (rc < 0)
            return "cannot-bind";
    }
    if (!await_peer_number("measure-ref", &value))
        return "peer-has-no-grant";
    peer_ref = (uint32_t)value;
    return NULL;
}

static void ping(void)
{
    measure_rows("pair", rows, sizeof(rows) / sizeof(rows[0]), NULL);
    scratch[0] = 1;
    grant_copy_to(peer_ref, peer, scratch, 1);
    xen_send(port);
}

static void pong(void)
{
    uint64_t answered = 0;

    xen_send(port);
    while (!xen_port_wait(port) && !__atomic_load_n(&given[0], __ATOMIC_ACQUIRE)) {
        xen_send(port);
        answered++;
    }
    console_print("MEASURE pong answered=%lu\n", answered);
}

void rows_pair(void)
{
    const char *why;

    if (options.role == ROLE_ALONE) {
        measure_skip_rows("pair", rows, sizeof(rows) / sizeof(rows[0]), "no-role");
        return;
    }
    why = meet();
    if (why) {
        measure_skip_rows("pair", rows, sizeof(rows) / sizeof(rows[0]), why);
        return;
    }
    if (options.role == ROLE_PONG)
        pong();
    else if (!xen_port_wait(port))
        ping();
}
