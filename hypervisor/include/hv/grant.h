/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Grant tables, version 1 (grant_table.h): a domain lets another map, copy or take its pages.
 *
 * Lock: each domain's grant lock (LOCK_GRANT): frames, active entries and its maptrack. Two domains' locks are never
 * held together: an active entry is pinned under the granter's lock first, the mapping recorded under the mapper's
 * later. Functions return GNTST_* of the ABI where it defines them for the operation (0 or negative), else a negative
 * error.
 */
#pragma once

#include <hv/types.h>

struct domain;
struct vcpu;

#define GRANT_FRAMES_MAX 64 /* 32,768 entries */
#define MAPTRACK_MAX 65536

must_check int grant_init(struct domain *d);
/* Unmaps all it mapped and waits for nobody: -ERESTART until it holds no foreign page. Its vCPUs stand still. */
int grant_destroy(struct domain *d);
void grant_free(struct domain *d); /* also what a failed grant_init() left */

struct gnttab_map_grant_ref;
struct gnttab_unmap_grant_ref;
struct gnttab_copy;
/* One operation each; they fill in the status (and handle, address) of the struct, which is the caller's own copy. */
void grant_map(struct domain *d, struct gnttab_map_grant_ref *op);
void grant_unmap(struct domain *d, struct gnttab_unmap_grant_ref *op);
void grant_copy(struct domain *d, struct gnttab_copy *op);

unsigned grant_frames(struct domain *d);
/* The page of frame `index` (grown when needed), for XENMEM_add_to_physmap and acquire_resource. INVALID_MFN: beyond.
 */
mfn_t grant_frame(struct domain *d, uint64_t index);
