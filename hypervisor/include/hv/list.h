/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Doubly linked lists threaded through their elements. No locking: whoever owns the list has a lock for it. */
#pragma once

#include <hv/types.h>

struct list {
    struct list *next, *prev;
};

static inline void list_init(struct list *l) { l->next = l->prev = l; }
static inline bool list_empty(const struct list *l) { return l->next == l; }

static inline void list_insert(struct list *at, struct list *new)
{
    new->next = at->next;
    new->prev = at;
    at->next->prev = new;
    at->next = new;
}

/* Leaves `l` empty, so that removing twice does no harm. */
static inline void list_remove(struct list *l)
{
    l->prev->next = l->next;
    l->next->prev = l->prev;
    list_init(l);
}

#define list_for_each(p, head) for (struct list *p = (head)->next; p != (head); p = p->next)
