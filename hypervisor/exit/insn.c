/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The decoder: bytes in, struct insn out (APM3 ch. 1 and app. A; SDM 2 ch. 2, app. A). A table says for each
 * opcode what it does and what follows; groups and the few irregular ones are settled by name. It is pure, apart from
 * the last part, which fetches the instruction of an exit and tells its length.
 *
 * The processor has found the instruction legal when it gets here, so that is not asked again; code that another CPU
 * rewrites meanwhile may be taken for something else, which nobody but that guest feels.
 */
#include "insn.h"

#include <hv/hypercall.h>
#include <hv/lib.h>
#include <hv/log.h>
#include <hv/metal.h>

#define RFLAGS_TF BIT(8)
#define RFLAGS_RF BIT(16)
#define VECTOR_DB 1
#define VECTOR_PF 14
#define DR6_BS BIT(14)

/* What follows an opcode. */
#define B 0x10   /* operands are bytes */
#define I8 0x20  /* a constant of one byte, sign-extended */
#define IZ 0x40  /* one of the operand size, at most 4 bytes, sign-extended */
#define GRP 0x80 /* ModRM's reg says which instruction it is */

struct opcode {
    uint8_t op, how; /* enum insn_op; enum insn_form and the bits above */
};

#define ALU(base, name)                                                                                                \
    [base] = { name, FORM_MR | B }, [base + 1] = { name, FORM_MR }, [base + 2] = { name, FORM_RM | B },                \
    [base + 3] = { name, FORM_RM }

/* Bytes, and the operand size. */
#define PAIR(at, name, form) [at] = { name, form | B }, [at + 1] = { name, form }

/* By the byte; 0x100 more: after 0F. */
static const struct opcode opcodes[512] = {
    ALU(0x00, OP_ADD),
    ALU(0x08, OP_OR),
    ALU(0x10, OP_ADC),
    ALU(0x18, OP_SBB),
    ALU(0x20, OP_AND),
    ALU(0x28, OP_SUB),
    ALU(0x30, OP_XOR),
    ALU(0x38, OP_CMP),
    [0x63] = { OP_MOVSX, FORM_RM },
    [0x80] = { OP_ADD, FORM_MI | B | I8 | GRP },
    [0x81] = { OP_ADD, FORM_MI | IZ | GRP },
    [0x83] = { OP_ADD, FORM_MI | I8 | GRP },
    PAIR(0x84, OP_TEST, FORM_MR),
    PAIR(0x86, OP_XCHG, FORM_MR),
    PAIR(0x88, OP_MOV, FORM_MR),
    PAIR(0x8a, OP_MOV, FORM_RM),
    PAIR(0xa0, OP_MOV, FORM_RM),
    PAIR(0xa2, OP_MOV, FORM_MR),
    PAIR(0xa4, OP_MOVS, FORM_STRING),
    PAIR(0xaa, OP_STOS, FORM_STRING),
    [0xc6] = { OP_MOV, FORM_MI | B | I8 },
    [0xc7] = { OP_MOV, FORM_MI | IZ },
    [0xf6] = { OP_TEST, FORM_MI | B | I8 | GRP },
    [0xf7] = { OP_TEST, FORM_MI | IZ | GRP },
    [0x122] = { OP_MOV_CR, FORM_M },
    [0x1b6] = { OP_MOVZX, FORM_RM },
    [0x1b7] = { OP_MOVZX, FORM_RM },
    [0x1be] = { OP_MOVSX, FORM_RM },
    [0x1bf] = { OP_MOVSX, FORM_RM },
};

struct reader {
    const uint8_t *bytes;
    unsigned at, n;
    uint8_t rex, modrm;
    bool opsize; /* prefix 66 was there */
};

static bool take(struct reader *r, unsigned size, bool sign, uint64_t *value)
{
    if (r->n - r->at < size)
        return false;
    uint64_t x = 0;
    for (unsigned i = 0; i < size; i++)
        x |= (uint64_t)r->bytes[r->at + i] << (8 * i);
    if (sign && size < 8 && x >> (8 * size - 1))
        x |= ~0ull << (8 * size);
    r->at += size;
    *value = x;
    return true;
}

/* Prefixes; false: not enough bytes. A REX that is not the last one before the opcode has no meaning. */
static bool take_prefixes(struct reader *r, struct insn *out)
{
    for (; r->at < r->n; r->at++) {
        uint8_t b = r->bytes[r->at];
        if ((b & 0xf0) == 0x40) {
            r->rex = b;
            continue;
        }
        switch (b) {
        case 0x26:
        case 0x2e:
        case 0x36:
        case 0x3e:
        case 0xf0: break; /* FS and GS in front of them stay */
        case 0x64:
        case 0x65: out->segment = SEG_FS + (b & 1); break;
        case 0x66: r->opsize = true; break;
        case 0x67: out->address_size = 4; break;
        case 0xf2:
        case 0xf3: out->rep = true; break;
        default: out->rex = r->rex; return true;
        }
        r->rex = 0;
    }
    return false;
}

/* The memory operand of ModRM; its offset is base + (index << scale) + displacement. */
static bool take_address(struct reader *r, struct insn *out)
{
    unsigned mod = r->modrm >> 6, rm = r->modrm & 7;
    if (rm == 4) {
        uint64_t sib;
        if (!take(r, 1, false, &sib))
            return false;
        out->scale = sib >> 6;
        out->index = (sib >> 3 & 7) | (r->rex & 2) << 2;
        if (out->index == RSP) /* R12 is one */
            out->index = INSN_NO_REG;
        rm = sib & 7;
        if (rm == 5 && mod == 0)
            return take(r, 4, true, &out->displacement);
    } else if (rm == 5 && mod == 0) {
        out->base = INSN_RIP;
        return take(r, 4, true, &out->displacement);
    }
    out->base = rm | (r->rex & 1) << 3;
    return mod == 0 || take(r, mod == 1 ? 1 : 4, true, &out->displacement);
}

/* Registers, or memory; false: not enough bytes. */
static bool take_operands(struct reader *r, unsigned opcode, const struct opcode *o, struct insn *out)
{
    if (opcode >= 0xa0 && opcode <= 0xa3) { /* without a ModRM byte */
        out->memory = true;
        out->reg = RAX;
        return take(r, out->address_size, false, &out->displacement);
    }
    uint64_t modrm;
    if (!take(r, 1, false, &modrm))
        return false;
    r->modrm = modrm;
    out->reg = (modrm >> 3 & 7) | (r->rex & 4) << 1;
    if (o->how & GRP)
        out->op = o->op == OP_ADD ? OP_ADD + (modrm >> 3 & 7) : modrm & 0x30 ? OP_NONE : OP_TEST;
    out->memory = modrm < 0xc0 && out->op != OP_MOV_CR; /* which takes any mod for registers */
    if (out->memory)
        return take_address(r, out);
    out->base = (modrm & 7) | (r->rex & 1) << 3;
    return true;
}

static void settle_sizes(const struct reader *r, unsigned opcode, const struct opcode *o, struct insn *out)
{
    out->size = o->how & B ? 1 : r->rex & 8 ? 8 : r->opsize ? 2 : 4;
    out->memory_size = out->size;
    if (opcode >= 0x100)
        out->memory_size = opcode & 1 ? 2 : 1;
    else if (out->op == OP_MOVSX && out->size == 8) /* MOVSXD */
        out->memory_size = 4;
}

int insn_decode(const uint8_t *bytes, unsigned n, struct insn *out)
{
    struct reader r = { .bytes = bytes, .n = MIN(n, 15u) };
    *out = (struct insn){ .base = INSN_NO_REG, .index = INSN_NO_REG, .address_size = 8, .segment = SEG_DS };
    int short_of = n >= 15 ? -EOPNOTSUPP : -EFAULT;

    if (!take_prefixes(&r, out))
        return short_of;
    unsigned opcode = bytes[r.at++];
    if (opcode == 0x0f) {
        if (r.at >= r.n)
            return short_of;
        opcode = 0x100 | bytes[r.at++];
    }
    struct opcode o = opcodes[opcode];
    out->op = o.op;
    out->form = o.how & 15;
    if (o.op == OP_NONE)
        return -EOPNOTSUPP;
    if (out->form != FORM_STRING && !take_operands(&r, opcode, &o, out))
        return short_of;
    settle_sizes(&r, opcode, &o, out);
    if (o.how & I8 && !take(&r, 1, true, &out->immediate))
        return short_of;
    if (o.how & IZ && !take(&r, MIN(out->size, 4), true, &out->immediate))
        return short_of;
    if (out->op == OP_NONE)
        return -EOPNOTSUPP;
    out->length = r.at;
    return 0;
}

/* --- the instruction of an exit --------------------------------------------------------------------------------- */

/*
 * The bytes at RIP, 15 at least, by way of the last walk; NULL: by another. Its result stands as long as the entries it
 * met do, which are looked at again, so that no flush of the guest's has to be noticed.
 */
static inline const uint8_t *code_again(const struct vcpu *v)
{
    const struct code_page *c = &v->code;
    uint64_t offset = v->regs.rip & ~PAGE_MASK;
    struct vcpu_paging p;
    hv->paging(v, &p);
    if (!c->bytes || v->regs.rip >> PAGE_SHIFT != c->walk.page || offset > PAGE_SIZE - 15 || c->walk.cr3 != p.cr3 ||
        !p.code64)
        return NULL;
    for (unsigned i = 0; i < c->walk.levels; i++)
        if (load_relaxed(c->walk.entry[i]) != c->walk.value[i])
            return NULL;
    return c->bytes + offset;
}

/* Whether the page was the guest's until now: nobody lets it go before all have seen WORK_FLUSH. */
static inline bool still_mapped(struct vcpu *v)
{
    atomic_thread_fence(memory_order_acquire); /* pairs with metal_flush_p2m(): the bit, then the page's reference */
    return !(load_relaxed(&v->work) & WORK_FLUSH);
}

/* The bytes at RIP: how many; 0: the guest has got the fault. */
static unsigned fetch(struct vcpu *v, uint8_t bytes[15])
{
    enum walk_fault fault;
    uint32_t error;
    const uint8_t *code = code_again(v);
    if (likely(code)) {
        memcpy(bytes, code, 15);
        if (likely(still_mapped(v)))
            return 15;
    }
    unsigned n = guest_fetch(v, bytes, &fault, &error);
    if (likely(n))
        guest_code_page(v);
    else if (fault == WALK_NO_MEMORY) /* code outside of RAM */
        inject_ud(v);
    else
        hv->inject(v, INJECT_EXCEPTION, VECTOR_PF, true, error, v->regs.rip);
    return n;
}

bool insn_fetch(struct vcpu *v, struct insn *out)
{
    struct vcpu_paging p;
    uint8_t bytes[15];
    unsigned n = fetch(v, bytes);
    if (!n)
        return false;
    hv->paging(v, &p);
    int rc = p.code64 ? insn_decode(bytes, n, out) : -EOPNOTSUPP;
    if (rc == -EOPNOTSUPP) { /* -EFAULT: bytes that end early were whole when the processor ran them */
        log_guest(v->domain, "vCPU %u: unknown instruction %02x %02x %02x %02x at %lx", v->id, bytes[0], bytes[1],
                  bytes[2], bytes[3], v->regs.rip);
        inject_ud(v);
    }
    return rc == 0;
}

/* The instructions that exit, by kind: bytes in the order of memory, and which of them count. */
static const struct {
    uint32_t bytes, mask;
    uint8_t length;
} exits[NR_EXITS] = {
    [EXIT_CPUID] = { 0xa20f, 0xffff, 2 },      [EXIT_RDMSR] = { 0x320f, 0xffff, 2 },
    [EXIT_WRMSR] = { 0x300f, 0xffff, 2 },      [EXIT_HLT] = { 0xf4, 0xff, 1 },
    [EXIT_INVD] = { 0x080f, 0xfeff, 2 }, /* and WBINVD */
    [EXIT_XSETBV] = { 0xd1010f, 0xffffff, 3 },
};

static bool is_at(const uint8_t *bytes, enum exit_kind kind)
{
    uint32_t word;
    memcpy(&word, bytes, sizeof(word));
    return (word & exits[kind].mask) == exits[kind].bytes;
}

unsigned insn_length(struct vcpu *v, const struct vm_exit *x)
{
    if (x->length)
        return x->length;
    const uint8_t *code = code_again(v);
    if (likely(code && is_at(code, x->kind) && still_mapped(v)))
        return exits[x->kind].length;
    uint8_t bytes[15 + 3] = { 0 };
    struct reader r = { .bytes = bytes, .n = fetch(v, bytes) };
    struct insn prefixes;
    if (!r.n)
        return 0;
    if (take_prefixes(&r, &prefixes) && is_at(bytes + r.at, x->kind))
        return r.at + exits[x->kind].length;
    log_guest(v->domain, "vCPU %u: exit %u is not for what is at %lx: %02x %02x %02x", v->id, x->kind, v->regs.rip,
              bytes[0], bytes[1], bytes[2]);
    return 0;
}

void insn_retire(struct vcpu *v, unsigned length)
{
    v->regs.rip += length;
    hv->end_shadow(v);
    v->regs.rflags &= ~RFLAGS_RF;
    if (unlikely(v->regs.rflags & RFLAGS_TF)) {
        struct vcpu_state s;
        hv->state_get(v, &s);
        s.dr6 |= DR6_BS;
        hv->state_put(v, &s);
        hv->inject(v, INJECT_EXCEPTION, VECTOR_DB, false, 0, 0);
    }
}
