/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The decoder: bytes in, struct insn out (APM3 ch. 1 and app. A; SDM 2 ch. 2, app. A). Two opcode maps say for each
 * byte what it does and what follows; groups and the few irregular ones are settled by name. It is pure, apart from the
 * last part, which finds the length of an instruction that exited.
 */
#include "insn.h"

#include <hv/hypercall.h>
#include <hv/log.h>
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
    [0x82] = { OP_ADD, FORM_MI | B | I8 | GRP },
    [0x83] = { OP_ADD, FORM_MI | I8 | GRP },
    PAIR(0x84, OP_TEST, FORM_MR),
    PAIR(0x86, OP_XCHG, FORM_MR),
    PAIR(0x88, OP_MOV, FORM_MR),
    PAIR(0x8a, OP_MOV, FORM_RM),
    [0x90] = { OP_PAUSE, FORM_PLAIN },
    PAIR(0xa0, OP_MOV, FORM_RM),
    PAIR(0xa2, OP_MOV, FORM_MR),
    PAIR(0xa4, OP_MOVS, FORM_STRING),
    PAIR(0xa6, OP_CMPS, FORM_STRING),
    PAIR(0xaa, OP_STOS, FORM_STRING),
    PAIR(0xac, OP_LODS, FORM_STRING),
    PAIR(0xae, OP_SCAS, FORM_STRING),
    [0xc6] = { OP_MOV, FORM_MI | B | I8 | GRP },
    [0xc7] = { OP_MOV, FORM_MI | IZ | GRP },
    [0xe4] = { OP_IN, FORM_PLAIN | B | I8 },
    [0xe5] = { OP_IN, FORM_PLAIN | I8 },
    [0xe6] = { OP_OUT, FORM_PLAIN | B | I8 },
    [0xe7] = { OP_OUT, FORM_PLAIN | I8 },
    PAIR(0xec, OP_IN, FORM_PLAIN),
    PAIR(0xee, OP_OUT, FORM_PLAIN),
    [0xf4] = { OP_HLT, FORM_PLAIN },
    [0xf6] = { OP_TEST, FORM_MI | B | I8 | GRP },
    [0xf7] = { OP_TEST, FORM_MI | IZ | GRP },
    [0xfe] = { OP_INC, FORM_M | B | GRP },
    [0xff] = { OP_INC, FORM_M | GRP },
};

/* After 0F. */
static const struct opcode two_byte[256] = {
    [0x01] = { OP_SMSW, FORM_M | GRP },   [0x06] = { OP_CLTS, FORM_PLAIN },  [0x08] = { OP_INVD, FORM_PLAIN },
    [0x09] = { OP_INVD, FORM_PLAIN },     [0x20] = { OP_MOV_CR, FORM_MR },   [0x21] = { OP_MOV_DR, FORM_MR },
    [0x22] = { OP_MOV_CR, FORM_RM },      [0x23] = { OP_MOV_DR, FORM_RM },   [0x30] = { OP_WRMSR, FORM_PLAIN },
    [0x31] = { OP_RDTSC, FORM_PLAIN },    [0x32] = { OP_RDMSR, FORM_PLAIN }, [0x33] = { OP_RDPMC, FORM_PLAIN },
    [0xa2] = { OP_CPUID, FORM_PLAIN },    [0xa3] = { OP_BT, FORM_MR },       [0xab] = { OP_BTS, FORM_MR },
    [0xb0] = { OP_CMPXCHG, FORM_MR | B }, [0xb1] = { OP_CMPXCHG, FORM_MR },  [0xb3] = { OP_BTR, FORM_MR },
    [0xb6] = { OP_MOVZX, FORM_RM },       [0xb7] = { OP_MOVZX, FORM_RM },    [0xba] = { OP_BT, FORM_MI | I8 | GRP },
    [0xbb] = { OP_BTC, FORM_MR },         [0xbe] = { OP_MOVSX, FORM_RM },    [0xbf] = { OP_MOVSX, FORM_RM },
    [0xc0] = { OP_XADD, FORM_MR | B },    [0xc1] = { OP_XADD, FORM_MR },     [0xc3] = { OP_MOV, FORM_MR }, /* MOVNTI */
};

/* 0F 01 with a register form of ModRM from c8 on. */
static const uint8_t system_op[64] = {
    [0xc1 - 0xc0] = OP_VMCALL, [0xc8 - 0xc0] = OP_MONITOR, [0xc9 - 0xc0] = OP_MWAIT, [0xd1 - 0xc0] = OP_XSETBV,
    [0xd8 - 0xc0] = OP_SVM,    [0xd9 - 0xc0] = OP_VMCALL,  [0xda - 0xc0] = OP_SVM,   [0xdb - 0xc0] = OP_SVM,
    [0xdc - 0xc0] = OP_SVM,    [0xdd - 0xc0] = OP_SVM,     [0xde - 0xc0] = OP_SVM,   [0xdf - 0xc0] = OP_SVM,
    [0xf9 - 0xc0] = OP_RDTSCP, [0xfa - 0xc0] = OP_MONITOR, [0xfb - 0xc0] = OP_MWAIT,
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
        case 0xf0: out->lock = true; break;
        case 0xf2:
        case 0xf3:
            out->repne = b == 0xf2;
            out->rep = b == 0xf3;
            break;
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
    unsigned digit = r->modrm >> 3 & 7;
    static const uint8_t unary[4] = { OP_TEST, OP_TEST, OP_NOT, OP_NEG };

    if (r->two && opcode == 0x01) {
        if (r->modrm >= 0xc0 && digit != 4 && digit != 6) {
            o->how = FORM_PLAIN;
            return system_op[r->modrm - 0xc0];
        }
        return digit == 4 ? OP_SMSW : digit == 6 ? OP_LMSW : digit == 7 ? OP_INVLPG : OP_NONE;
    }
    if (r->two)
        return digit >= 4 ? OP_BT + digit - 4 : OP_NONE;
    switch (opcode) {
    case 0xc6:
    case 0xc7: return digit == 0 ? OP_MOV : OP_NONE;
    case 0xf6:
    case 0xf7:
        if (digit == 2 || digit == 3)
            o->how = FORM_M | (o->how & B);
        return digit < 4 ? unary[digit] : OP_NONE;
    case 0xfe:
    case 0xff: return digit < 2 ? OP_INC + digit : OP_NONE;
    default: return OP_ADD + digit;
    }
}

/* Registers, or memory, of an instruction with a ModRM byte. */
static int take_operands(struct reader *r, uint8_t opcode, struct opcode *o, struct insn *out)
{
    bool moffs = !r->two && opcode >= 0xa0 && opcode <= 0xa3;
    if (moffs) {
        out->memory = true;
        out->reg = RAX;
        return take(r, out->address_size, false, &out->displacement) ? 0 : -EFAULT;
    }
    uint64_t modrm;
    if (!take(r, 1, false, &modrm))
        return -EFAULT;
    r->modrm = modrm;
    if (o->how & GRP) {
        out->op = group_op(r, opcode, o);
        out->form = o->how & 15;
    }
    out->reg = (modrm >> 3 & 7) | (r->rex & 4) << 1;
    out->rm = (modrm & 7) | (r->rex & 1) << 3;
    out->memory = modrm < 0xc0 && out->op != OP_MOV_CR && out->op != OP_MOV_DR; /* those ignore mod */
    return !out->memory || take_address(r, out) ? 0 : -EFAULT;
}

/* Instructions with operands that depend on more than the tables tell. */
static void settle_sizes(const struct reader *r, uint8_t opcode, const struct opcode *o, struct insn *out)
{
    if (o->how & B)
        out->size = 1;
    else if (r->rex & 8)
        out->size = 8;
    else
        out->size = (r->mode == INSN_16) != r->opsize ? 2 : 4;
    if ((out->op == OP_IN || out->op == OP_OUT || out->op == OP_INS || out->op == OP_OUTS) && out->size == 8)
        out->size = 4;
    if (out->op == OP_MOV_CR || out->op == OP_MOV_DR)
        out->size = r->mode == INSN_64 ? 8 : 4;
    out->memory_size = out->size;
    if (out->op == OP_MOVZX || out->op == OP_MOVSX) {
        if (r->two)
            out->memory_size = opcode & 1 ? 2 : 1;
        else
            out->memory_size = out->size == 8 ? 4 : out->size; /* MOVSXD */
    }
}

/* Whether this combination exists. */
static bool legal(const struct reader *r, uint8_t opcode, const struct insn *i)
{
    bool prefixed = i->rep || i->repne;
    switch (i->op) {
    case OP_NONE: return false;
    case OP_PAUSE:
        if (!i->rep || r->rex & 1)
            return false;
        break;
    case OP_VMCALL:
    case OP_SVM:
    case OP_XSETBV:
    case OP_MONITOR:
    case OP_MWAIT:
    case OP_RDTSCP:
        if (prefixed || r->opsize)
            return false;
        break;
    case OP_INVLPG:
        if (!i->memory)
            return false;
        break;
    case OP_MOV:
        if (r->two && (!i->memory || prefixed || r->opsize))
            return false;
        break;
    case OP_MOVSX: /* 63 is ARPL outside of 64-bit mode */
        if (!r->two && r->mode != INSN_64)
            return false;
        break;
    case OP_MOV_CR: /* LOCK makes CR0 CR8 on AMD's */ return true;
    }
    if (!r->two && opcode == 0x82 && r->mode == INSN_64)
        return false;
    if (!i->lock)
        return true;
    bool plain_write = i->form == FORM_MR || i->form == FORM_MI || i->form == FORM_M;
    bool lockable = (i->op >= OP_ADD && i->op <= OP_XOR) || (i->op >= OP_BTS && i->op <= OP_BTC) ||
                    (i->op >= OP_NOT && i->op <= OP_CMPXCHG);
    return lockable && plain_write && i->memory;
}

int insn_decode(const uint8_t *bytes, unsigned n, enum insn_mode mode, struct insn *out)
{
    struct reader r = { .bytes = bytes, .n = MIN(n, 15u), .mode = mode };
    *out = (struct insn){ .base = INSN_NO_REG, .index = INSN_NO_REG };
    int short_of = n >= 15 ? -EOPNOTSUPP : -EFAULT;

    if (!take_prefixes(&r, out))
        return short_of;
    uint8_t opcode = bytes[r.at++];
    if (opcode == 0x0f) {
        if (r.at >= r.n)
            return short_of;
        r.two = true;
        opcode = bytes[r.at++];
    }
    struct opcode o = r.two ? two_byte[opcode] : one_byte[opcode];
    if (o.op == OP_NONE)
        return -EOPNOTSUPP;
    out->op = o.op;
    out->form = o.how & 15;
    if (out->form != FORM_PLAIN && out->form != FORM_STRING && take_operands(&r, opcode, &o, out))
        return short_of;
    settle_sizes(&r, opcode, &o, out);
    if (o.how & I8 && !take(&r, 1, true, &out->immediate))
        return short_of;
    if (o.how & IZ && !take(&r, MIN(out->size, 4), true, &out->immediate))
        return short_of;
    if (!legal(&r, opcode, out))
        return -EOPNOTSUPP;
    if (out->segment == INSN_NO_REG) {
        bool stack = out->base == RSP || out->base == RBP;
        out->segment = stack ? SEG_SS : SEG_DS;
    }
    out->length = r.at;
    return 0;
}

/* --- the instruction of an exit --------------------------------------------------------------------------------- */

/* The bytes at RIP, into `bytes`; INSN_DONE: *n of them. */
static enum insn_result fetch(struct vcpu *v, uint8_t bytes[15], unsigned *n)
{
    enum walk_fault fault;
    uint32_t error;
    *n = guest_fetch(v, bytes, &fault, &error);
    if (likely(*n))
        return INSN_DONE;
    if (fault == WALK_NO_MEMORY)
        return INSN_UNHANDLED; /* code outside of RAM */
    hv->inject(v, INJECT_EXCEPTION, VECTOR_PF, true, error, v->regs.rip);
    return INSN_FAULT;
}

static enum insn_result decode(struct vcpu *v, const uint8_t *bytes, unsigned n, struct insn *out, enum insn_mode *mode)
{
    struct vcpu_paging p;
    hv->paging(v, &p);
    *mode = INSN_64;
    if (!p.code64) {
        struct vcpu_state s;
        hv->state_get(v, &s);
        *mode = s.seg[SEG_CS].attributes & BIT(10) ? INSN_32 : INSN_16;
    }
    int rc = insn_decode(bytes, n, *mode, out);
    /* Bytes that end early were whole when the processor ran them. */
    return rc == 0 ? INSN_DONE : rc == -EFAULT ? INSN_AGAIN : INSN_UNHANDLED;
}

enum insn_result insn_fetch(struct vcpu *v, struct insn *out, enum insn_mode *mode)
{
    uint8_t bytes[15];
    unsigned n;
    enum insn_result result = fetch(v, bytes, &n);
    return result == INSN_DONE ? decode(v, bytes, n, out, mode) : result;
}

/* By exit: what the instruction can be, and the usual bytes of it, to be quick. */
static const struct {
    uint8_t op[3];
    uint8_t n, bytes[3];
} exits[NR_EXITS] = {
    [EXIT_CPUID] = { { OP_CPUID }, 2, { 0x0f, 0xa2 } },
    [EXIT_RDMSR] = { { OP_RDMSR }, 2, { 0x0f, 0x32 } },
    [EXIT_WRMSR] = { { OP_WRMSR }, 2, { 0x0f, 0x30 } },
    [EXIT_PIO] = { { OP_IN, OP_OUT }, 0 },
    [EXIT_HYPERCALL] = { { OP_VMCALL }, 3, { 0x0f, 0x01, 0xd9 } },
    [EXIT_HLT] = { { OP_HLT }, 1, { 0xf4 } },
    [EXIT_CR_WRITE] = { { OP_MOV_CR, OP_LMSW, OP_CLTS }, 0 },
    [EXIT_DR] = { { OP_MOV_DR }, 0 },
    [EXIT_INVD] = { { OP_INVD }, 2, { 0x0f, 0x09 } },
    [EXIT_RDTSC] = { { OP_RDTSC, OP_RDTSCP }, 2, { 0x0f, 0x31 } },
    [EXIT_RDPMC] = { { OP_RDPMC }, 2, { 0x0f, 0x33 } },
    [EXIT_MONITOR] = { { OP_MONITOR }, 3, { 0x0f, 0x01, 0xc8 } },
    [EXIT_MWAIT] = { { OP_MWAIT }, 3, { 0x0f, 0x01, 0xc9 } },
    [EXIT_XSETBV] = { { OP_XSETBV }, 3, { 0x0f, 0x01, 0xd1 } },
    [EXIT_PAUSE] = { { OP_PAUSE }, 2, { 0xf3, 0x90 } },
};

/* Whether the usual encoding of this exit stands at `at`, `room` bytes before the end of what can be read. */
static bool is_usual(const struct vm_exit *x, const uint8_t *at, unsigned room)
{
    unsigned usual = exits[x->kind].n, same = 0;
    while (same < MIN(usual, room) && at[same] == exits[x->kind].bytes[same])
        same++;
    return usual && same == usual;
}

/*
 * The page of the last exit's instruction, as long as the guest has not changed CR3. The processor has just carried out
 * that kind of instruction at RIP; when its usual bytes are on the remembered page, walking the guest's tables again
 * would tell the same. A guest that moved another page there meanwhile, with the same bytes at the same place but for a
 * prefix, fools itself only.
 */
static unsigned remembered_length(const struct vcpu *v, const struct vm_exit *x, const struct vcpu_paging *p)
{
    unsigned offset = v->regs.rip & ~PAGE_MASK;
    if (!v->code.bytes || v->code.cr3 != p->cr3 || v->code.page != (v->regs.rip & PAGE_MASK) || !p->code64)
        return 0;
    return is_usual(x, v->code.bytes + offset, PAGE_SIZE - offset) ? exits[x->kind].n : 0;
}

static void remember(struct vcpu *v, const struct vcpu_paging *p)
{
    v->code.bytes = p->code64 ? guest_code_page(v) : NULL;
    v->code.cr3 = p->cr3;
    v->code.page = v->regs.rip & PAGE_MASK;
}

unsigned insn_length(struct vcpu *v, const struct vm_exit *x)
{
    if (x->length)
        return x->length;
    if (x->kind == EXIT_PIO && x->pio.next_rip)
        return (x->pio.next_rip - v->regs.rip) & 15;
    struct vcpu_paging p;
    hv->paging(v, &p);
    unsigned length = remembered_length(v, x, &p);
    if (likely(length))
        return length;
    uint8_t bytes[15];
    unsigned n;
    if (fetch(v, bytes, &n) != INSN_DONE)
        return 0;
    if (is_usual(x, bytes, n)) {
        remember(v, &p);
        return exits[x->kind].n;
    }
    struct insn i;
    enum insn_mode mode;
    if (decode(v, bytes, n, &i, &mode) == INSN_DONE)
        for (unsigned k = 0; k < 3; k++)
            if (i.op == exits[x->kind].op[k])
                return i.length;
    log_guest(v->domain, "vCPU %u: exit %u is not for what is at %lx: %02x %02x %02x", v->id, x->kind, v->regs.rip,
              bytes[0], bytes[1], bytes[2]);
    return 0;
}

void insn_retire(struct vcpu *v, unsigned length)
{
    struct vcpu_paging p;
    uint64_t rip = v->regs.rip + length;
    hv->paging(v, &p);
    v->regs.rip = p.code64 ? rip : (uint32_t)rip;
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

void insn_skip(struct vcpu *v, const struct vm_exit *x)
{
    unsigned length = insn_length(v, x);
    if (length)
        insn_retire(v, length);
}
