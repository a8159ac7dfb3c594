/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The words everything else is written in: sizes, address types, error numbers, small helpers.
 * Freestanding, and the same when pure rooms are built natively for tests (HV_HOST).
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAGE_SHIFT 12
#define PAGE_SIZE UINT64_C(4096)
#define PAGE_MASK (~(PAGE_SIZE - 1))
#define KIB(n) ((uint64_t)(n) << 10)
#define MIB(n) ((uint64_t)(n) << 20)
#define GIB(n) ((uint64_t)(n) << 30)
#define BIT(n) (1ull << (n))

#define must_check __attribute__((warn_unused_result))
#define printf_like(f, a) __attribute__((format(printf, f, a)))
#define noreturn __attribute__((noreturn))
#define packed __attribute__((packed))
#define cache_aligned __attribute__((aligned(64)))

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))
#define ROUND_UP(n, to) ((((uint64_t)(n)) + (to)-1) & ~((uint64_t)(to)-1))
#define ROUND_DOWN(n, to) (((uint64_t)(n)) & ~((uint64_t)(to)-1))
#define container_of(p, type, member) ((type *)((char *)(p)-offsetof(type, member)))

/* Address types cannot be mixed up: each is a struct in every build. */
typedef uint64_t paddr_t; /* machine (host physical) address */
typedef uint64_t gpa_t;   /* guest physical address */
typedef struct {
    uint64_t n;
} mfn_t; /* machine frame number */
typedef struct {
    uint64_t n;
} gfn_t; /* guest frame number */
typedef uint16_t domid_t;

#define INVALID_MFN ((mfn_t){ ~0ull })
#define INVALID_GFN ((gfn_t){ ~0ull })

static inline mfn_t mfn(uint64_t n) { return (mfn_t){ n }; }
static inline gfn_t gfn(uint64_t n) { return (gfn_t){ n }; }
static inline bool mfn_valid(mfn_t m) { return m.n != ~0ull; }
static inline mfn_t paddr_mfn(paddr_t p) { return mfn(p >> PAGE_SHIFT); }
static inline paddr_t mfn_paddr(mfn_t m) { return m.n << PAGE_SHIFT; }
static inline gfn_t gpa_gfn(gpa_t a) { return gfn(a >> PAGE_SHIFT); }

/* Inside, errors are negative numbers of these (Xen's ABI uses the same values, errno.h there). */
enum {
    EPERM = 1,
    ENOENT = 2,
    ESRCH = 3,
    EIO = 5,
    E2BIG = 7,
    EAGAIN = 11,
    ENOMEM = 12,
    EACCES = 13,
    EFAULT = 14,
    EBUSY = 16,
    EEXIST = 17,
    ENODEV = 19,
    EINVAL = 22,
    ENOSPC = 28,
    ERANGE = 34,
    ENOSYS = 38,
    ETIME = 62,
    EOPNOTSUPP = 95,
    ENOBUFS = 105,
    ERESTART = 85,
};

/* Our own mistakes, never a guest's: reports where, and stops the machine (or the test). */
noreturn void hv_bug(const char *file, int line, const char *what);
#define BUG_ON(condition) (unlikely(condition) ? hv_bug(__FILE__, __LINE__, #condition) : (void)0)
