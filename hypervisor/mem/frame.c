/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The frame table and the page allocator. See frame.h.
 *
 * RAM is first known as plain ranges (`raw`). When something of a chunk of 512 MiB is wanted, the chunk is backed: its
 * 2 MiB of table are filled in and its RAM moves from `raw` to the buddy allocator. The table's own pages are cut from
 * the end of the highest raw range, out of the way of what is claimed one to one; they have no entries (state 0).
 * Other pages come from the top too, for the same reason.
 *
 * Buddy: free blocks of 2^order pages, aligned to their size, in lists by order, for the first chunk and the rest. Each
 * list is threaded through the entries of the blocks' first pages; frame 0 is never given out and ends a list.
 *
 * All but states of frames in use is under `lock`. A state in use changes by compare and exchange only.
 */
#include <hv/frame.h>
#include <hv/lib.h>
#include <hv/lock.h>
#include <hv/metal.h>

#define CHUNK_ORDER 17
#define CHUNK_FRAMES (1ull << CHUNK_ORDER)
#define CHUNKS (FRAME_PADDR_MAX / FRAME_CHUNK)
#define FRAMES_MAX (FRAME_PADDR_MAX >> PAGE_SHIFT)
#define TABLE_ORDER 9 /* of a chunk's entries */
#define TABLE_FRAMES (1ull << TABLE_ORDER)
#define NR_ORDERS (FRAME_MAX_ORDER + 1)
#define RAW_MAX 1024
#define COUNT_MAX 0x7fffffffu

/* Kinds of free pages are no domain ids: those end below 0x8000. */
#define KIND(k) ((uint64_t)(k) << 48)
#define STATE_HEAD(order) (KIND(0x8001) | (uint64_t)(order) << 40)
#define STATE_TAIL KIND(0x8002)  /* inside a free block */
#define STATE_GOING KIND(0x8003) /* the last reference is gone, on its way to the allocator */
#define PREVIOUS ((1ull << 40) - 1)

_Static_assert(CHUNK_FRAMES * sizeof(struct frame) == TABLE_FRAMES << PAGE_SHIFT, "a chunk's entries fill 2 MiB");

struct raw {
    uint64_t start, end; /* frames */
};

static spinlock_t lock = SPINLOCK(LOCK_FRAME);
static struct raw raw[RAW_MAX]; /* sorted, not overlapping */
static unsigned nr_raw;
static uint64_t heads[2][NR_ORDERS]; /* [0]: of the first chunk, taken last: control domains need RAM below 1 MiB */
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
    unsigned i = 0;
    while (i < nr_raw && raw[i].end <= n)
        i++;
    return i;
}

static void raw_insert(unsigned i, struct raw r)
{
    BUG_ON(nr_raw == RAW_MAX || (i < nr_raw && raw[i].start < r.end));
    memmove(&raw[i + 1], &raw[i], (nr_raw++ - i) * sizeof(r));
    raw[i] = r;
}

/* All of it lies in one range. Needs room for one more when it is from the middle. */
static void raw_remove(uint64_t start, uint64_t end)
{
    unsigned i = raw_from(start);
    struct raw upper = { end, raw[i].end };
    raw[i].end = start;
    if (upper.start < upper.end)
        raw_insert(i + 1, upper);
    if (raw[i].start == start)
        memmove(&raw[i], &raw[i + 1], (--nr_raw - i) * sizeof(upper));
}

/* The highest raw RAM that holds an aligned block; 0: none. */
static uint64_t raw_pick(unsigned order)
{
    uint64_t size = 1ull << order;
    for (unsigned i = nr_raw; i-- > 0;) {
        uint64_t end = ROUND_DOWN(raw[i].end, size);
        if (end >= size && end - size >= raw[i].start)
            return end - size;
    }
    return 0;
}

/* --- buddy --- */

static uint64_t *head_of(uint64_t n, unsigned order) { return &heads[n >= CHUNK_FRAMES][order]; }

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

/* Unlists a block of 2^order pages; 0: there is none. */
static uint64_t block_take(unsigned order)
{
    for (unsigned high = 2; high-- > 0;)
        for (unsigned o = order; o < NR_ORDERS; o++) {
            uint64_t n = heads[high][o];
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

static void account_taken(uint64_t pages, domid_t owner)
{
    stats.free -= pages;
    stats.hv += owner == DOMID_HV ? pages : 0;
}

/* Pages that are in no list get an owner. */
static void hand_out(uint64_t n, uint64_t end, domid_t owner, bool one_to_one)
{
    uint64_t link = one_to_one ? n : INVALID_GFN.n, state = KIND(owner) | 1;
    account_taken(end - n, owner);
    for (struct frame *f = &hv_frame_table[n]; f < &hv_frame_table[end]; f++, link += one_to_one) {
        store_relaxed(&f->link, link);
        store_release(&f->state, state); /* pairs with frame_get() */
    }
}

/* 2 MiB for a piece of the table; 0: none. */
static uint64_t table_take(void)
{
    uint64_t n = raw_pick(TABLE_ORDER);
    if (n) {
        raw_remove(n, n + TABLE_FRAMES);
        account_taken(TABLE_FRAMES, DOMID_HV);
    } else if ((n = block_take(TABLE_ORDER))) {
        hand_out(n, n + TABLE_FRAMES, DOMID_HV, false); /* these have entries */
    }
    return n;
}

/* False: there is no RAM in it, or no memory for its table. */
static bool back_chunk(uint64_t chunk)
{
    uint64_t at, first = chunk << CHUNK_ORDER, end = first + CHUNK_FRAMES;
    unsigned i = raw_from(first);
    if (i == nr_raw || raw[i].start >= end || nr_raw + 2 > RAW_MAX || !(at = table_take()))
        return false;
    metal_back_frame_table(chunk, at << PAGE_SHIFT);

    uint64_t done = first;
    for (i = raw_from(first); i < nr_raw && raw[i].start < end; i++) {
        uint64_t start = MAX(raw[i].start, first);
        fill(done, start, 0);
        done = MIN(raw[i].end, end);
        fill(start, done, STATE_TAIL);
    }
    fill(done, end, 0);
    /* Pairs with is_backed(). */
    atomic_fetch_or_explicit(&backed[chunk / 64], BIT(chunk % 64), memory_order_release);

    while ((i = raw_from(first)) < nr_raw && raw[i].start < end) {
        uint64_t from = MAX(raw[i].start, first), to = MIN(raw[i].end, end);
        raw_remove(from, to);
        range_free(from, to);
    }
    return true;
}

static bool back_range(uint64_t start, uint64_t end)
{
    for (uint64_t n = start; n < end; n = ROUND_UP(n + 1, CHUNK_FRAMES)) {
        if (!is_backed(n) && !back_chunk(n >> CHUNK_ORDER))
            return false;
    }
    return true;
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
        bool entries = is_backed(first);
        for (to = first; to < last && is_backed(to) == entries;)
            to = MIN(ROUND_UP(to + 1, CHUNK_FRAMES), last);
        if (entries) {
            ram_insert(first, to);
        } else if (nr_raw < RAW_MAX / 2) { /* later ones are pieces of these */
            raw_insert(raw_from(first), (struct raw){ first, to });
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

mfn_t frame_alloc(unsigned order, domid_t owner)
{
    uint64_t n, pages = 1ull << order;
    if (order > FRAME_MAX_ORDER)
        return INVALID_MFN;
    spin_lock(&lock);
    /* A chunk's table may take the very block that was found; there is another one, or there is none. */
    for (unsigned tries = 0; !(n = block_take(order)) && tries < 4; tries++) {
        uint64_t at = raw_pick(order);
        if (!at || !back_range(at, at + pages))
            break;
    }
    if (n)
        hand_out(n, n + pages, owner, false);
    spin_unlock(&lock);
    return n ? mfn(n) : INVALID_MFN;
}

/* The first free page at or after `n`; 0: none. Its chunk is backed then. */
static uint64_t next_free(uint64_t n)
{
    unsigned order;
    for (uint64_t end; n < FRAMES_MAX; n = end) {
        end = ROUND_UP(n + 1, CHUNK_FRAMES);
        for (bool known = is_backed(n) || back_chunk(n >> CHUNK_ORDER); known && n < end; n++)
            if (block_of(n, &order))
                return n;
    }
    return 0;
}

uint64_t frame_claim(paddr_t *at, uint64_t size, domid_t owner)
{
    spin_lock(&lock);
    uint64_t first = next_free(MAX(*at >> PAGE_SHIFT, 1ull)), n = first, block;
    uint64_t limit = first ? MIN(first + (size >> PAGE_SHIFT), ROUND_UP(first + 1, CHUNK_FRAMES)) : 0;
    for (unsigned order; n < limit && (block = block_of(n, &order));) {
        uint64_t end = block + (1ull << order), stop = MIN(end, limit);
        block_unlist(block, order);
        hand_out(n, stop, owner, true);
        range_free(block, n);
        range_free(stop, end);
        n = stop;
    }
    spin_unlock(&lock);
    *at = first << PAGE_SHIFT;
    return (n - first) << PAGE_SHIFT;
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
