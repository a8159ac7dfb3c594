/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The decoder: bytes in, struct insn out (APM3 ch. 1 and app. A; SDM 2 ch. 2, app. A). Two opcode maps say for each
 * byte what it does and what follows; groups and the few irregular ones are settled by name. It is pure, apart from the
 * last part, which fetches the instruction of an exit and tells its length.
 *
 * The processor has found the instruction legal when it gets here, so that is not asked again; code that another CPU
 * rewrites meanwhile may be taken for something else, which nobody but that guest feels.
 */
#include "insn.h"

#include <hv/hypercall.h>
#include <hv/lib.h>
#include <hv/log.h>
#include <hv/metal.h>
#include <hv/ops.h>

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

static const struct opcode one_byte[256] = {
    ALU(0x00, OP_ADD),
    ALU(0x08, OP_OR),
    ALU(0x10, OP_ADC),
    ALU(0x18, OP_SBB),
    ALU(0x20, OP_AND),
    ALU(0x28, OP_SUB),
    ALU(0x30, OP_XOR),
    ALU(0x38, OP_CMP),
    [0x63] = { OP_MOVSX, FORM_RM },
    PAIR(0x6c, OP_INS, FORM_STRING),
    PAIR(0x6e, OP_OUTS, FORM_STRING),
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
    PAIR(0xac, OP_LODS, FORM_STRING),
    [0xc6] = { OP_MOV, FORM_MI | B | I8 },
    [0xc7] = { OP_MOV, FORM_MI | IZ },
    [0xf6] = { OP_TEST, FORM_MI | B | I8 | GRP },
    [0xf7] = { OP_TEST, FORM_MI | IZ | GRP },
    [0xfe] = { OP_INC, FORM_M | B | GRP },
    [0xff] = { OP_INC, FORM_M | GRP },
};

/* After 0F. */
static const struct opcode two_byte[256] = {
    [0x22] = { OP_MOV_CR, FORM_M }, [0xb6] = { OP_MOVZX, FORM_RM }, [0xb7] = { OP_MOVZX, FORM_RM },
    [0xbe] = { OP_MOVSX, FORM_RM }, [0xbf] = { OP_MOVSX, FORM_RM },
};

struct reader {
    const uint8_t *bytes;
    unsigned at, n;
    enum insn_mode mode;
    uint8_t rex, modrm;
    bool opsize, two; /* prefix 66 was there; the second opcode map */
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
    bool address = false;
    out->segment = INSN_NO_REG;
    for (;; r->at++) {
        if (r->at >= r->n)
            return false;
        uint8_t b = r->bytes[r->at];
        if (r->mode == INSN_64 && (b & 0xf0) == 0x40) {
            r->rex = b;
            continue;
        }
        switch (b) {
        case 0x26:
        case 0x2e:
        case 0x36:
        case 0x3e:
            if (r->mode != INSN_64) /* ignored there, FS and GS in front of them stay */
                out->segment = SEG_ES + (b >> 3 & 3);
            break;
        case 0x64:
        case 0x65: out->segment = SEG_FS + (b & 1); break;
        case 0x66: r->opsize = true; break;
        case 0x67: address = true; break;
        case 0xf0: break;
        case 0xf2:
        case 0xf3: out->rep = true; break;
        default:
            out->rex = r->rex;
            if (r->mode == INSN_64)
                out->address_size = address ? 4 : 8;
            else
                out->address_size = (r->mode == INSN_32) != address ? 4 : 2;
            return true;
        }
        r->rex = 0;
    }
}

static bool take_address16(struct reader *r, struct insn *out)
{
    static const uint8_t bases[8] = { RBX, RBX, RBP, RBP, RSI, RDI, RBP, RBX };
    static const uint8_t indices[4] = { RSI, RDI, RSI, RDI };
    unsigned mod = r->modrm >> 6, rm = r->modrm & 7;
    if (mod == 0 && rm == 6)
        return take(r, 2, true, &out->displacement);
    out->base = bases[rm];
    if (rm < 4)
        out->index = indices[rm];
    return mod == 0 || take(r, mod, true, &out->displacement);
}

/* The memory operand of ModRM; its offset is base + (index << scale) + displacement. */
static bool take_address(struct reader *r, struct insn *out)
{
    unsigned mod = r->modrm >> 6, rm = r->modrm & 7;
    if (out->address_size == 2)
        return take_address16(r, out);
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
        out->base = r->mode == INSN_64 ? INSN_RIP : INSN_NO_REG;
        return take(r, 4, true, &out->displacement);
    }
    out->base = rm | (r->rex & 1) << 3;
    return mod == 0 || take(r, mod == 1 ? 1 : 4, true, &out->displacement);
}

/* The instruction a group's reg field names; OP_NONE: not ours. */
static enum insn_op group_op(const struct reader *r, uint8_t opcode, struct opcode *o)
{
    static const uint8_t unary[8] = { OP_TEST, OP_TEST, OP_NOT, OP_NEG };
    unsigned digit = r->modrm >> 3 & 7;
    if (opcode < 0xf0)
        return OP_ADD + digit;
    if (opcode >= 0xfe)
        return digit < 2 ? OP_INC + digit : OP_NONE;
    if (digit >= 2) /* no constant */
        o->how = FORM_M | (o->how & B);
    return unary[digit];
}

/* Registers, or memory, of an instruction with a ModRM byte; false: not enough bytes. */
static bool take_operands(struct reader *r, uint8_t opcode, struct opcode *o, struct insn *out)
{
    bool moffs = !r->two && opcode >= 0xa0 && opcode <= 0xa3;
    if (moffs) {
        out->memory = true;
        out->reg = RAX;
        return take(r, out->address_size, false, &out->displacement);
    }
    uint64_t modrm;
    if (!take(r, 1, false, &modrm))
        return false;
    r->modrm = modrm;
    if (o->how & GRP)
        out->op = group_op(r, opcode, o);
    out->form = o->how & 15;
    out->reg = (modrm >> 3 & 7) | (r->rex & 4) << 1;
    out->memory = modrm < 0xc0 && out->op != OP_MOV_CR; /* which takes any mod for registers */
    if (out->memory)
        return take_address(r, out);
    out->base = (modrm & 7) | (r->rex & 1) << 3;
    return true;
}

static void settle_sizes(const struct reader *r, uint8_t opcode, const struct opcode *o, struct insn *out)
{
    bool port = out->op == OP_INS || out->op == OP_OUTS;
    out->size = (r->mode == INSN_16) != r->opsize ? 2 : 4;
    if (o->how & B)
        out->size = 1;
    else if (r->rex & 8 && !port)
        out->size = 8;
    out->memory_size = out->size;
    if (r->two)
        out->memory_size = opcode & 1 ? 2 : 1;
    else if (out->op == OP_MOVSX && out->size == 8) /* MOVSXD */
        out->memory_size = 4;
}

int insn_decode(const uint8_t *bytes, unsigned n, enum insn_mode mode, struct insn *out)
{
    struct reader r = { .bytes = bytes, .n = MIN(n, 15u), .mode = mode };
    *out = (struct insn){ .base = INSN_NO_REG, .index = INSN_NO_REG };
    int short_of = n >= 15 ? -EOPNOTSUPP : -EFAULT;

    if (!take_prefixes(&r, out))
        return short_of;
    uint8_t opcode = bytes[r.at++];
    r.two = opcode == 0x0f;
    if (r.two && r.at >= r.n)
        return short_of;
    if (r.two)
        opcode = bytes[r.at++];
    struct opcode o = r.two ? two_byte[opcode] : one_byte[opcode];
    out->op = o.op;
    out->form = o.how & 15;
    if (o.op == OP_NONE || (opcode == 0x63 && mode != INSN_64)) /* ARPL there */
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
    if (out->segment == INSN_NO_REG)
        out->segment = out->base == RSP || out->base == RBP ? SEG_SS : SEG_DS;
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

/* The bytes at RIP; INSN_DONE: *n of them. */
static enum insn_result fetch(struct vcpu *v, uint8_t bytes[15], unsigned *n)
{
    enum walk_fault fault;
    uint32_t error;
    const uint8_t *code = code_again(v);
    if (likely(code)) {
        memcpy(bytes, code, *n = 15);
        if (likely(still_mapped(v)))
            return INSN_DONE;
    }
    *n = guest_fetch(v, bytes, &fault, &error);
    if (likely(*n)) {
        guest_code_page(v);
        return INSN_DONE;
    }
    if (fault == WALK_NO_MEMORY)
        return INSN_UNHANDLED; /* code outside of RAM */
    hv->inject(v, INJECT_EXCEPTION, VECTOR_PF, true, error, v->regs.rip);
    return INSN_FAULT;
}

enum insn_result insn_fetch(struct vcpu *v, struct insn *out, enum insn_mode *mode)
{
    struct vcpu_paging p;
    uint8_t bytes[15];
    unsigned n;
    enum insn_result result = fetch(v, bytes, &n);
    if (result != INSN_DONE)
        return result;
    hv->paging(v, &p);
    *mode = INSN_64;
    if (!p.code64) {
        struct vcpu_state s;
        hv->state_get(v, &s);
        *mode = s.seg[SEG_CS].attributes & BIT(10) ? INSN_32 : INSN_16;
    }
    int rc = insn_decode(bytes, n, *mode, out);
    if (rc == -EOPNOTSUPP)
        log_guest(v->domain, "vCPU %u: unknown instruction %02x %02x %02x %02x at %lx", v->id, bytes[0], bytes[1],
                  bytes[2], bytes[3], v->regs.rip);
    /* Bytes that end early were whole when the processor ran them. */
    return rc == 0 ? INSN_DONE : rc == -EFAULT ? INSN_AGAIN : INSN_UNHANDLED;
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

static bool is_prefix(uint8_t byte)
{
    static const uint8_t others[] = { 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf2, 0xf3 };
    for (unsigned i = 0; i < ARRAY_SIZE(others); i++)
        if (byte == others[i])
            return true;
    return (byte & 0xf0) == 0x40; /* REX; where it is INC or DEC, RIP would not be on it */
}

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
    unsigned n, at = 0;
    if (fetch(v, bytes, &n) != INSN_DONE)
        return 0;
    while (at < n && !is_at(bytes + at, x->kind) && is_prefix(bytes[at]))
        at++;
    if (at < n && is_at(bytes + at, x->kind))
        return at + exits[x->kind].length;
    log_guest(v->domain, "vCPU %u: exit %u is not for what is at %lx: %02x %02x %02x", v->id, x->kind, v->regs.rip,
              bytes[0], bytes[1], bytes[2]);
    return 0;
}

void insn_retire(struct vcpu *v, unsigned length)
{
    uint64_t from = v->regs.rip;
    v->regs.rip += length;
    if (unlikely((v->regs.rip ^ from) >> 32)) { /* only 64-bit code gets there */
        struct vcpu_paging p;
        hv->paging(v, &p);
        v->regs.rip = p.code64 ? v->regs.rip : (uint32_t)v->regs.rip;
    }
    hv->end_shadow(v);
    if (likely(!(v->regs.rflags & (RFLAGS_RF | RFLAGS_TF))))
        return;
    v->regs.rflags &= ~RFLAGS_RF;
    if (v->regs.rflags & RFLAGS_TF) {
        struct vcpu_state s;
        hv->state_get(v, &s);
        s.dr6 |= DR6_BS;
        hv->state_put(v, &s);
        hv->inject(v, INJECT_EXCEPTION, VECTOR_DB, false, 0, 0);
    }
}
