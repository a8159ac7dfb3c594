/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The frame table and the page allocator. See frame.h.
 *
 * RAM is first known as plain ranges (`raw`). When something of a chunk of 512 MiB is wanted, the chunk is backed: its
 * 2 MiB of table are filled in and its RAM moves from `raw` to the buddy allocator. The table's own pages are cut from
 * the end of the highest raw range, out of the way of what is claimed one to one; they have no entries (state 0).
 *
 * Buddy: free blocks of 2^order pages, aligned to their size, in lists by order, for RAM below and above 4 GiB. Each
 * list is threaded through the entries of the blocks' first pages; frame 0 is never given out and ends a list.
 *
 * All but states of frames in use is under `lock`. A state in use changes by compare and exchange only.
 */
#include <hv/frame.h>
#include <hv/lock.h>
#include <hv/metal.h>

#define CHUNK_ORDER 17
#define CHUNK_FRAMES (1ull << CHUNK_ORDER)
#define CHUNKS (FRAME_PADDR_MAX / FRAME_CHUNK)
#define FRAMES_MAX (FRAME_PADDR_MAX >> PAGE_SHIFT)
#define TABLE_FRAMES (CHUNK_FRAMES * sizeof(struct frame) >> PAGE_SHIFT)
#define NR_ORDERS (FRAME_MAX_ORDER + 1)
#define FOUR_GIB (GIB(4) >> PAGE_SHIFT)
#define RAW_MAX 1024
#define COUNT_MAX 0x7fffffffu

/* Kinds of free pages are no domain ids: those end below 0x8000. */
#define KIND(k) ((uint64_t)(k) << 48)
#define STATE_HEAD(order) (KIND(0x8001) | (uint64_t)(order) << 40)
#define STATE_TAIL KIND(0x8002)  /* inside a free block */
#define STATE_GOING KIND(0x8003) /* the last reference is gone, on its way to the allocator */
#define PREVIOUS ((1ull << 40) - 1)

_Static_assert(sizeof(struct frame) == 16, "a chunk's entries fill 2 MiB");

struct raw {
    uint64_t start, end; /* frames */
};

static spinlock_t lock = SPINLOCK(LOCK_FRAME);
static struct raw raw[RAW_MAX]; /* sorted, with gaps between them */
static unsigned nr_raw;
static uint64_t heads[2][NR_ORDERS]; /* [1]: above 4 GiB */
static _Atomic uint64_t backed[CHUNKS / 64];
static struct frame_stats stats; /* in pages */

static _Atomic uint64_t *state_of(uint64_t n) { return &hv_frame_table[n].state; }

static uint64_t state(uint64_t n) { return load_relaxed(state_of(n)); }

static bool is_backed(uint64_t n)
{
    /* Pairs with the release in back_chunk(): the entries are filled in. */
    return n < FRAMES_MAX && load_acquire(&backed[n >> (CHUNK_ORDER + 6)]) >> (n >> CHUNK_ORDER & 63) & 1;
}

static bool in_use(uint64_t s) { return (uint32_t)s && !(s >> 63); }

/* --- raw ranges --- */

/* The first one that ends behind `n`. */
static unsigned raw_from(uint64_t n)
{
    unsigned low = 0, high = nr_raw;
    while (low < high) {
        unsigned middle = (low + high) / 2;
        if (raw[middle].end <= n)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void raw_add(uint64_t start, uint64_t end)
{
    unsigned i = raw_from(start);
    BUG_ON(i < nr_raw && raw[i].start < end);
    bool joins_lower = i && raw[i - 1].end == start, joins_upper = i < nr_raw && raw[i].start == end;
    if (joins_lower && joins_upper) {
        raw[i - 1].end = raw[i].end;
        for (nr_raw--; i < nr_raw; i++)
            raw[i] = raw[i + 1];
    } else if (joins_lower) {
        raw[i - 1].end = end;
    } else if (joins_upper) {
        raw[i].start = start;
    } else {
        BUG_ON(nr_raw == RAW_MAX);
        for (unsigned k = nr_raw++; k > i; k--)
            raw[k] = raw[k - 1];
        raw[i] = (struct raw){ start, end };
    }
}

/* All of it lies in one range. Needs room for one more when it is from the middle. */
static void raw_remove(uint64_t start, uint64_t end)
{
    unsigned i = raw_from(start);
    struct raw r = raw[i];
    for (nr_raw--; i < nr_raw; i++)
        raw[i] = raw[i + 1];
    if (r.start < start)
        raw_add(r.start, start);
    if (end < r.end)
        raw_add(end, r.end);
}

/* --- buddy --- */

static uint64_t *head_of(uint64_t n, unsigned order) { return &heads[n >= FOUR_GIB][order]; }

static void block_list(uint64_t n, unsigned order)
{
    uint64_t *head = head_of(n, order), next = *head;
    store_relaxed(state_of(n), STATE_HEAD(order));
    store_relaxed(&hv_frame_table[n].link, next);
    if (next)
        store_relaxed(state_of(next), STATE_HEAD(order) | n);
    *head = n;
}

/* The block becomes the inside of another one, or is about to be used. */
static void block_unlist(uint64_t n, unsigned order)
{
    uint64_t next = load_relaxed(&hv_frame_table[n].link), previous = state(n) & PREVIOUS;
    if (previous)
        store_relaxed(&hv_frame_table[previous].link, next);
    else
        *head_of(n, order) = next;
    if (next)
        store_relaxed(state_of(next), STATE_HEAD(order) | previous);
    store_relaxed(state_of(n), STATE_TAIL);
}

static void block_free(uint64_t n, unsigned order)
{
    store_relaxed(state_of(n), STATE_TAIL);
    for (; order < FRAME_MAX_ORDER; order++) {
        uint64_t buddy = n ^ (1ull << order);
        if (order >= CHUNK_ORDER && !is_backed(buddy))
            break;
        if ((state(buddy) & ~PREVIOUS) != STATE_HEAD(order))
            break;
        block_unlist(buddy, order);
        n &= ~(1ull << order);
    }
    block_list(n, order);
}

static void range_free(uint64_t start, uint64_t end)
{
    while (start < end) {
        unsigned order = MIN(__builtin_ctzll(start), FRAME_MAX_ORDER);
        while (1ull << order > end - start)
            order--;
        block_free(start, order);
        start += 1ull << order;
    }
}

/* The first page of the free block that `n` is in; 0: it is not free. */
static uint64_t block_of(uint64_t n, unsigned *order)
{
    uint64_t s = state(n);
    if (s >> 48 != STATE_TAIL >> 48 && s >> 48 != STATE_HEAD(0) >> 48)
        return 0;
    for (unsigned o = 0; o < NR_ORDERS; o++) {
        uint64_t first = n & ~((1ull << o) - 1);
        if (o > CHUNK_ORDER && !is_backed(first))
            return 0;
        if ((state(first) & ~PREVIOUS) == STATE_HEAD(o)) {
            *order = o;
            return first;
        }
    }
    return 0;
}

/* Unlists 2^order pages of a block outside of `avoid`, high memory first; 0: there is none. */
static uint64_t block_take(unsigned order, struct raw avoid)
{
    for (unsigned high = 2; high-- > 0;)
        for (unsigned o = order; o < NR_ORDERS; o++) {
            uint64_t n = heads[high][o];
            while (n && n < avoid.end && avoid.start < n + (1ull << o))
                n = load_relaxed(&hv_frame_table[n].link);
            if (!n)
                continue;
            for (block_unlist(n, o); o-- > order; n += 1ull << o)
                block_list(n, o);
            return n;
        }
    return 0;
}

/* --- chunks --- */

static void fill(uint64_t start, uint64_t end, uint64_t value)
{
    uint64_t words = (end - start) * 2;
    struct frame *at = &hv_frame_table[start];
    asm volatile("rep stosq" : "+D"(at), "+c"(words) : "a"(value) : "memory");
}

/* 2 MiB for a piece of the table, outside of `avoid`, from raw RAM as high as possible; 0: none. */
static uint64_t table_cut(struct raw avoid)
{
    for (unsigned i = nr_raw; i-- > 0;) {
        uint64_t tops[2] = { raw[i].end, MIN(raw[i].end, avoid.start) };
        for (unsigned k = 0; k < 2; k++) {
            uint64_t end = ROUND_DOWN(tops[k], TABLE_FRAMES), start = end - TABLE_FRAMES;
            if (end < TABLE_FRAMES || start < raw[i].start || (start < avoid.end && avoid.start < end))
                continue;
            raw_remove(start, end);
            return start;
        }
    }
    uint64_t n = block_take(9, avoid);
    /* Pages that have entries get the hypervisor as their owner, like others of its. */
    for (unsigned i = 0; n && i < TABLE_FRAMES; i++)
        store_relaxed(state_of(n + i), KIND(DOMID_HV) | 1);
    return n;
}

static bool back_chunk(uint64_t chunk, struct raw avoid)
{
    uint64_t at, first = chunk << CHUNK_ORDER, end = first + CHUNK_FRAMES;
    if (nr_raw + 2 > RAW_MAX || !(at = table_cut(avoid)))
        return false;
    metal_back_frame_table(chunk, at << PAGE_SHIFT);
    stats.hv += TABLE_FRAMES;
    stats.free -= TABLE_FRAMES;

    uint64_t done = first;
    for (unsigned i = raw_from(first); i < nr_raw && raw[i].start < end; i++) {
        uint64_t start = MAX(raw[i].start, first);
        fill(done, start, 0);
        done = MIN(raw[i].end, end);
        fill(start, done, STATE_TAIL);
    }
    fill(done, end, 0);
    /* Pairs with is_backed(). */
    atomic_fetch_or_explicit(&backed[chunk / 64], BIT(chunk % 64), memory_order_release);

    for (unsigned i; (i = raw_from(first)) < nr_raw && raw[i].start < end;) {
        uint64_t from = MAX(raw[i].start, first), to = MIN(raw[i].end, end);
        raw_remove(from, to);
        range_free(from, to);
    }
    return true;
}

static bool back_range(uint64_t start, uint64_t end, struct raw avoid)
{
    for (uint64_t n = start; n < end; n = ROUND_UP(n + 1, CHUNK_FRAMES)) {
        if (!is_backed(n) && !back_chunk(n >> CHUNK_ORDER, avoid))
            return false;
    }
    return true;
}

/* Raw RAM that holds an aligned block: the lowest above 4 GiB, else the highest. 0: none. */
static uint64_t raw_pick(unsigned order)
{
    uint64_t size = 1ull << order;
    for (unsigned i = raw_from(FOUR_GIB); i < nr_raw; i++) {
        uint64_t start = ROUND_UP(MAX(raw[i].start, FOUR_GIB), size);
        if (start + size <= raw[i].end)
            return start;
    }
    for (unsigned i = nr_raw; i-- > 0;) {
        uint64_t end = ROUND_DOWN(MIN(raw[i].end, FOUR_GIB), size);
        if (end >= size && end - size >= raw[i].start)
            return end - size;
    }
    return 0;
}

static void ram_insert(uint64_t start, uint64_t end)
{
    for (uint64_t n = start; n < end; n++)
        BUG_ON(state(n) != 0);
    fill(start, end, STATE_TAIL);
    range_free(start, end);
}

int frame_add_ram(paddr_t start, paddr_t end)
{
    /* Page 0 is not used: it would be the end of a list, and NULL is better not RAM of anybody. */
    uint64_t first = MAX(ROUND_UP(start, PAGE_SIZE) >> PAGE_SHIFT, 1ull),
             last = MIN(end, FRAME_PADDR_MAX) >> PAGE_SHIFT;
    int rc = end > FRAME_PADDR_MAX ? -ENOSPC : 0;
    spin_lock(&lock);
    for (uint64_t to; first < last; first = to) {
        to = MIN(ROUND_UP(first + 1, CHUNK_FRAMES), last);
        if (is_backed(first)) {
            ram_insert(first, to);
        } else if (nr_raw < RAW_MAX / 2) { /* later ones are pieces of these */
            raw_add(first, to);
        } else {
            rc = -ENOSPC;
            continue;
        }
        stats.total += to - first;
        stats.free += to - first;
    }
    spin_unlock(&lock);
    return rc;
}

/* --- taking and giving --- */

static void account_taken(uint64_t pages, domid_t owner)
{
    stats.free -= pages;
    stats.hv += owner == DOMID_HV ? pages : 0;
}

mfn_t frame_alloc(unsigned order, domid_t owner)
{
    uint64_t n, pages = 1ull << order;
    if (order > FRAME_MAX_ORDER)
        return INVALID_MFN;
    spin_lock(&lock);
    /* A chunk's table may take the very block that was found; there is another one, or there is none. */
    for (unsigned tries = 0; !(n = block_take(order, (struct raw){ 0, 0 })) && tries < 4; tries++) {
        uint64_t at = raw_pick(order);
        if (!at || !back_range(at, at + pages, (struct raw){ 0, 0 }))
            break;
    }
    if (n)
        account_taken(pages, owner);
    spin_unlock(&lock);
    if (!n)
        return INVALID_MFN;
    for (uint64_t i = n; i < n + pages; i++) {
        store_relaxed(&hv_frame_table[i].link, INVALID_GFN.n);
        store_release(state_of(i), KIND(owner) | 1); /* pairs with frame_get() */
    }
    return mfn(n);
}

/* Where what is free at `n` ends; not free: false and where to look next. */
static bool free_until(uint64_t n, uint64_t *until)
{
    if (is_backed(n)) {
        unsigned order;
        uint64_t block = block_of(n, &order);
        *until = block ? block + (1ull << order) : n + 1;
        return block;
    }
    unsigned i = raw_from(n);
    bool is_free = i < nr_raw && raw[i].start <= n;
    uint64_t next = i == nr_raw ? FRAMES_MAX : raw[i].start;
    *until = is_free ? raw[i].end : MIN(ROUND_UP(n + 1, CHUNK_FRAMES), next);
    return is_free;
}

static bool range_is_free(uint64_t n, uint64_t end)
{
    for (uint64_t next; n < end; n = next)
        if (!free_until(n, &next))
            return false;
    return true;
}

int frame_claim(paddr_t start, paddr_t end, domid_t owner)
{
    uint64_t first = start >> PAGE_SHIFT, last = ROUND_UP(end, PAGE_SIZE) >> PAGE_SHIFT;
    if (start >= end || end > FRAME_PADDR_MAX)
        return -ENOMEM;
    spin_lock(&lock);
    if (!range_is_free(first, last) || !back_range(first, last, (struct raw){ first, last })) {
        spin_unlock(&lock);
        return -ENOMEM;
    }
    for (uint64_t n = first, to; n < last; n = to) {
        unsigned order;
        uint64_t block = block_of(n, &order), block_end = block + (1ull << order);
        BUG_ON(!block);
        block_unlist(block, order);
        to = MIN(block_end, last);
        for (uint64_t i = n; i < to; i++) {
            store_relaxed(&hv_frame_table[i].link, i);
            store_relaxed(state_of(i), KIND(owner) | 1);
        }
        range_free(block, n);
        range_free(to, block_end);
    }
    account_taken(last - first, owner);
    spin_unlock(&lock);
    return 0;
}

bool frame_next_free(paddr_t from, paddr_t to, paddr_t *start, paddr_t *end)
{
    uint64_t n = MAX(ROUND_UP(from, PAGE_SIZE) >> PAGE_SHIFT, 1ull), last = MIN(to, FRAME_PADDR_MAX) >> PAGE_SHIFT,
             next;
    spin_lock(&lock);
    while (n < last && !free_until(n, &next))
        n = next;
    uint64_t first = n;
    while (n < last && free_until(n, &next))
        n = next;
    spin_unlock(&lock);
    *start = first << PAGE_SHIFT;
    *end = MIN(n, last) << PAGE_SHIFT;
    return *start < *end;
}

/* --- references --- */

bool frame_known(mfn_t m) { return is_backed(m.n) && state(m.n) != 0; }

domid_t frame_owner(mfn_t m)
{
    uint64_t s = is_backed(m.n) ? state(m.n) : 0;
    return in_use(s) ? s >> 48 : DOMID_NONE;
}

bool frame_get(mfn_t m, domid_t owner)
{
    if (!is_backed(m.n))
        return false;
    uint64_t s = load_relaxed(state_of(m.n));
    do {
        if (s >> 48 != owner || !in_use(s) || (uint32_t)s >= COUNT_MAX)
            return false;
        /* Acquire pairs with the release of whoever gave the frame its owner. */
    } while (
        !atomic_compare_exchange_weak_explicit(state_of(m.n), &s, s + 1, memory_order_acquire, memory_order_relaxed));
    return true;
}

void frame_put(mfn_t m)
{
    uint64_t s = load_relaxed(state_of(m.n)), next;
    do {
        BUG_ON(!in_use(s));
        next = (uint32_t)s == 1 ? STATE_GOING : s - 1;
        /* Release: our use of the page is over; acquire: so is that of the others, when we are the last. */
    } while (
        !atomic_compare_exchange_weak_explicit(state_of(m.n), &s, next, memory_order_acq_rel, memory_order_relaxed));
    if (next != STATE_GOING)
        return;
    spin_lock(&lock);
    block_free(m.n, 0);
    stats.free++;
    stats.hv -= s >> 48 == DOMID_HV;
    spin_unlock(&lock);
}

gfn_t frame_gfn(mfn_t m) { return gfn(load_relaxed(&hv_frame_table[m.n].link)); }

void frame_set_gfn(mfn_t m, gfn_t g) { store_relaxed(&hv_frame_table[m.n].link, g.n); }

/* --- pages of the hypervisor --- */

void *pages_alloc(unsigned order)
{
    mfn_t m = frame_alloc(order, DOMID_HV);
    if (!mfn_valid(m))
        return NULL;
    for (uint64_t i = 0; i < 1ull << order; i++)
        zero_page(mfn_ptr(mfn(m.n + i)));
    return mfn_ptr(m);
}

void pages_free(void *pages, unsigned order)
{
    for (uint64_t i = 0; pages && i < 1ull << order; i++)
        frame_put(mfn(ptr_mfn(pages).n + i));
}

void *page_alloc(void) { return pages_alloc(0); }
void page_free(void *page) { pages_free(page, 0); }

void frame_stats(struct frame_stats *out)
{
    spin_lock(&lock);
    *out = stats;
    spin_unlock(&lock);
}
