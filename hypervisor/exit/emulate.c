/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Carries out the decoded instructions that touch memory which is not RAM, and string port I/O. Operands are translated
 * by the guest's own page tables with its rights; what is RAM is copied, the rest goes to the devices.
 *
 * Rules: every address is translated before anything with an effect is done; memory is written before registers and
 * flags, so that what fails or has to wait leaves no half. An instruction whose operand turns out to be RAM (another
 * CPU changed the map) is left to the processor, which alone can be atomic. A string stops after INSN_STRING_MAX steps
 * with its registers advanced.
 */
#include "insn.h"

#include <hv/domain.h>
#include <hv/frame.h>
#include <hv/hypercall.h>
#include <hv/lib.h>
#include <hv/metal.h>
#include <hv/ops.h>
#include <hv/p2m.h>

#define CF BIT(0)
#define PF BIT(2)
#define AF BIT(4)
#define ZF BIT(6)
#define SF BIT(7)
#define DF BIT(10)
#define OF BIT(11)
#define ARITHMETIC (CF | PF | AF | ZF | SF | OF)

#define VECTOR_SS 12
#define VECTOR_GP 13
#define VECTOR_PF 14

/* A translated operand. */
struct place {
    uint64_t linear;
    unsigned size, first; /* bytes in the first page */
    gpa_t gpa[2];         /* of each page's part */
    uint64_t page;        /* the linear page gpa[0] was found for; ~0: none yet */
    bool write;           /* it will be written */
    bool device;          /* the processor found nothing there */
};

struct emulation {
    struct vcpu *v;
    const struct vm_exit *fault; /* nothing is mapped at its address; NULL: this is not known */
    struct insn i;
    enum insn_mode mode;
    bool cpl3, device /* was touched */, has_state;
    struct vcpu_state state; /* fetched when a segment is needed */
};

/* --- registers and flags ---------------------------------------------------------------------------------------- */

static inline uint64_t mask_of(unsigned size) { return ~0ull >> (64 - 8 * size); }

static inline bool high_byte(const struct insn *i, unsigned n, unsigned size)
{
    return size == 1 && n >= 4 && n < 8 && !i->rex;
}

static uint64_t reg_get(const struct emulation *e, unsigned n, unsigned size)
{
    if (high_byte(&e->i, n, size))
        return e->v->regs.r[n - 4] >> 8 & 0xff;
    return e->v->regs.r[n] & mask_of(size);
}

static void reg_put(struct emulation *e, unsigned n, unsigned size, uint64_t value)
{
    uint64_t *r = e->v->regs.r, mask = mask_of(size);
    if (high_byte(&e->i, n, size))
        r[n - 4] = (r[n - 4] & ~0xff00ull) | (value & 0xff) << 8;
    else if (size >= 4)
        r[n] = value & mask;
    else
        r[n] = (r[n] & ~mask) | (value & mask);
}

static uint64_t result_flags(uint64_t value, unsigned size)
{
    uint64_t flags = __builtin_parity(value & 0xff) ? 0 : PF;
    flags |= value & mask_of(size) ? 0 : ZF;
    return flags | (value >> (8 * size - 1) & 1 ? SF : 0);
}

/* a op b; OP_INC and OP_DEC are with b = 1 and keep CF, OP_NEG is 0 - b. */
static uint64_t alu(enum insn_op op, uint64_t a, uint64_t b, unsigned size, uint64_t *rflags)
{
    uint64_t top = BIT(8 * size - 1), carry = *rflags & CF, flags = 0, r;
    switch (op) {
    case OP_ADD:
    case OP_ADC:
    case OP_INC:
        r = a + b + (op == OP_ADC ? carry : 0);
        flags |= ((a & b) | ((a | b) & ~r)) & top ? CF : 0;
        flags |= (a ^ r) & (b ^ r) & top ? OF : 0;
        flags |= (a ^ b ^ r) & AF;
        break;
    case OP_AND:
    case OP_TEST: r = a & b; break;
    case OP_OR: r = a | b; break;
    case OP_XOR: r = a ^ b; break;
    default: /* SUB, SBB, CMP, DEC, NEG */
        r = a - b - (op == OP_SBB ? carry : 0);
        flags |= ((~a & b) | ((~a | b) & r)) & top ? CF : 0;
        flags |= (a ^ b) & (a ^ r) & top ? OF : 0;
        flags |= (a ^ b ^ r) & AF;
        break;
    }
    if (op == OP_INC || op == OP_DEC)
        flags = (flags & ~CF) | carry;
    *rflags = (*rflags & ~ARITHMETIC) | flags | result_flags(r, size);
    return r & mask_of(size);
}

/* --- memory ----------------------------------------------------------------------------------------------------- */

static int raise(struct emulation *e, uint8_t vector, uint32_t code, uint64_t cr2)
{
    hv->inject(e->v, INJECT_EXCEPTION, vector, true, code, cr2);
    return -EFAULT;
}

static const struct segment *segment_of(struct emulation *e, unsigned seg)
{
    if (!e->has_state) {
        hv->state_get(e->v, &e->state);
        e->has_state = true;
    }
    return &e->state.seg[seg];
}

/* Limit and type, where there are such things (APM2 4.8, 4.12). Real mode's segments have fitting ones. */
static bool segment_allows(const struct segment *s, uint64_t offset, unsigned size, bool write)
{
    bool code = s->attributes & 8, down = !code && s->attributes & 4, big = s->attributes & BIT(10);
    uint64_t last = offset + size - 1;
    if (write && (code || !(s->attributes & 2)))
        return false;
    if (down)
        return offset > s->limit && last <= (big ? 0xffffffffu : 0xffffu);
    return last <= s->limit;
}

static int linear_of(struct emulation *e, unsigned seg, uint64_t offset, struct place *p)
{
    uint8_t vector = seg == SEG_SS ? VECTOR_SS : VECTOR_GP;
    if (e->mode == INSN_64) {
        p->linear = offset + (seg == SEG_FS || seg == SEG_GS ? segment_of(e, seg)->base : 0);
        int64_t first = p->linear, last = p->linear + p->size - 1;
        if ((uint64_t)(first >> 47) + 1 > 1 || (uint64_t)(last >> 47) + 1 > 1)
            return raise(e, vector, 0, 0);
        return 0;
    }
    const struct segment *s = segment_of(e, seg);
    if (!segment_allows(s, offset, p->size, p->write))
        return raise(e, vector, 0, 0);
    p->linear = (uint32_t)(offset + s->base);
    return 0;
}

static int translate_page(struct emulation *e, uint64_t linear, bool write, gpa_t *gpa)
{
    uint32_t error;
    unsigned access = (write ? WALK_WRITE : WALK_READ) | (e->cpl3 ? WALK_USER : 0);
    enum walk_fault f = guest_walk(e->v, linear, access, gpa, &error);
    if (f == WALK_NO_MEMORY)
        return -EOPNOTSUPP;
    return f == WALK_OK ? 0 : raise(e, VECTOR_PF, error, linear);
}

/*
 * The one memory operand of an instruction that faulted needs no second walk: the processor has just translated it,
 * with the guest's rights for this kind of access. The rest of the address says that it is the same operand.
 */
static bool is_what_faulted(const struct emulation *e, const struct place *p)
{
    const struct vm_exit *x = e->fault;
    return x && e->i.form != FORM_STRING && p->first == p->size && !((p->linear ^ x->fault.gpa) & ~PAGE_MASK) &&
           (x->fault.write || !p->write);
}

/* seg:offset to guest-physical addresses; size and write are set. Steps of a string reuse the page of the last one. */
static int translate(struct emulation *e, unsigned seg, uint64_t offset, struct place *p)
{
    int rc = linear_of(e, seg, offset, p);
    if (rc)
        return rc;
    uint64_t in_page = p->linear & ~PAGE_MASK;
    p->first = MIN(p->size, PAGE_SIZE - in_page);
    if (is_what_faulted(e, p)) {
        p->gpa[0] = e->fault->fault.gpa;
        p->device = true;
    } else if (p->page == p->linear - in_page) {
        p->gpa[0] = (p->gpa[0] & PAGE_MASK) | in_page;
    } else {
        rc = translate_page(e, p->linear, p->write, &p->gpa[0]);
        if (rc)
            return rc;
        p->page = p->linear - in_page;
    }
    if (p->first == p->size)
        return 0;
    uint64_t next = p->linear + p->first;
    return translate_page(e, e->mode == INSN_64 ? next : (uint32_t)next, p->write, &p->gpa[1]);
}

/* One access within a page. */
static int access_page(struct emulation *e, gpa_t gpa, unsigned size, bool write, uint64_t *value)
{
    mfn_t m = p2m_get_frame(&e->v->domain->p2m, gpa_gfn(gpa), write, true);
    if (!mfn_valid(m)) {
        e->device = true;
        return exit_mmio(e->v, gpa, size, write, value);
    }
    char *at = (char *)mfn_ptr(m) + (gpa & ~PAGE_MASK);
    if (write)
        memcpy(at, value, size);
    else
        memcpy(value, at, size);
    frame_put(m);
    return 0;
}

/* Whether the processor can do all of this access by itself by now. */
static bool is_ram(struct emulation *e, const struct place *p)
{
    if (p->device)
        return false;
    mfn_t m = p2m_get_frame(&e->v->domain->p2m, gpa_gfn(p->gpa[0]), p->write, true);
    if (mfn_valid(m))
        frame_put(m);
    return mfn_valid(m) && p->first == p->size;
}

/* Reads or writes an operand; across pages byte by byte, as no device has registers there. */
static int transfer(struct emulation *e, const struct place *p, bool write, uint64_t *value)
{
    if (!write)
        *value = 0;
    if (likely(p->device))
        return exit_mmio(e->v, p->gpa[0], p->size, write, value);
    if (p->first == p->size)
        return access_page(e, p->gpa[0], p->size, write, value);
    for (unsigned n = 0; n < p->size; n++) {
        gpa_t gpa = n < p->first ? p->gpa[0] + n : p->gpa[1] + n - p->first;
        uint64_t byte = *value >> (8 * n) & 0xff;
        int rc = access_page(e, gpa, 1, write, &byte);
        if (rc)
            return rc;
        if (!write)
            *value |= (byte & 0xff) << (8 * n);
    }
    return 0;
}

/* --- instructions with ModRM ------------------------------------------------------------------------------------ */

static uint64_t offset_of(const struct emulation *e)
{
    const struct insn *i = &e->i;
    const struct regs *r = &e->v->regs;
    uint64_t offset = i->displacement;
    if (i->base == INSN_RIP)
        offset += r->rip + i->length;
    else if (i->base != INSN_NO_REG)
        offset += r->r[i->base];
    if (i->index != INSN_NO_REG)
        offset += r->r[i->index] << i->scale;
    return offset & mask_of(i->address_size);
}

static bool writes_memory(const struct insn *i) { return i->form != FORM_RM && i->op != OP_CMP && i->op != OP_TEST; }

/* reg := memory, or reg op memory. */
static void finish_load(struct emulation *e, uint64_t memory)
{
    const struct insn *i = &e->i;
    if (i->op == OP_MOVSX) {
        unsigned unused = 64 - 8 * i->memory_size;
        memory = (uint64_t)((int64_t)(memory << unused) >> unused);
    }
    if (i->op >= OP_ADD && i->op <= OP_CMP)
        memory = alu(i->op, reg_get(e, i->reg, i->size), memory, i->size, &e->v->regs.rflags);
    if (i->op != OP_CMP)
        reg_put(e, i->reg, i->size, memory);
}

/* What an instruction makes of its memory operand `m`; the flags change here, registers do not. */
static uint64_t modify(struct emulation *e, uint64_t m, uint64_t source, uint64_t *flags)
{
    const struct insn *i = &e->i;
    switch (i->op) {
    case OP_MOV:
    case OP_XCHG: return source;
    case OP_NOT: return ~m & mask_of(i->size);
    case OP_NEG: return alu(OP_NEG, 0, m, i->size, flags);
    case OP_INC:
    case OP_DEC: return alu(i->op, m, 1, i->size, flags);
    default: return alu(i->op, m, source, i->size, flags);
    }
}

static int execute(struct emulation *e)
{
    const struct insn *i = &e->i;
    struct place p = { .size = i->memory_size, .page = ~0ull, .write = writes_memory(i) };
    uint64_t memory = 0, flags = e->v->regs.rflags;

    if (!i->memory)
        return -EOPNOTSUPP;
    int rc = translate(e, i->segment, offset_of(e), &p);
    if (rc)
        return rc;
    if (is_ram(e, &p))
        return -EAGAIN;
    if (!(i->op == OP_MOV && p.write)) {
        rc = transfer(e, &p, false, &memory);
        if (rc)
            return rc;
    }
    if (i->form == FORM_RM) {
        finish_load(e, memory);
        return 0;
    }
    uint64_t source = i->form == FORM_MI ? i->immediate & mask_of(i->size) : reg_get(e, i->reg, i->size);
    uint64_t result = modify(e, memory, source, &flags);
    if (p.write)
        rc = transfer(e, &p, true, &result);
    if (rc)
        return rc;
    e->v->regs.rflags = flags;
    if (i->op == OP_XCHG)
        reg_put(e, i->reg, i->size, memory);
    return 0;
}

/* --- strings ---------------------------------------------------------------------------------------------------- */

static void advance(struct emulation *e, unsigned n)
{
    uint64_t by = e->v->regs.rflags & DF ? -(uint64_t)e->i.size : e->i.size;
    reg_put(e, n, e->i.address_size, e->v->regs.r[n] + by);
}

static int string_port(struct emulation *e, uint64_t *value)
{
    uint32_t word = *value;
    int rc = exit_port(e->v, e->v->regs.r[RDX], e->i.size, e->i.op == OP_INS, &word);
    *value = word & mask_of(e->i.size);
    e->device = true;
    return rc;
}

/* One step. si and di are the operands at [SI] and [DI]. */
static int string_step(struct emulation *e, struct place *si, struct place *di)
{
    const struct insn *i = &e->i;
    struct regs *r = &e->v->regs;
    uint64_t mask = mask_of(i->address_size), a = reg_get(e, RAX, i->size);
    bool has_si = i->op == OP_MOVS || i->op == OP_LODS || i->op == OP_OUTS;
    bool has_di = i->op == OP_MOVS || i->op == OP_STOS || i->op == OP_INS;
    int rc = has_si ? translate(e, i->segment, r->r[RSI] & mask, si) : 0;
    if (rc == 0 && has_di)
        rc = translate(e, SEG_ES, r->r[RDI] & mask, di);
    if (rc == 0 && has_si)
        rc = transfer(e, si, false, &a);
    if (rc == 0 && (i->op == OP_INS || i->op == OP_OUTS))
        rc = string_port(e, &a);
    if (rc == 0 && has_di)
        rc = transfer(e, di, true, &a);
    if (rc)
        return rc;
    if (i->op == OP_LODS)
        reg_put(e, RAX, i->size, a);
    if (has_si)
        advance(e, RSI);
    if (has_di)
        advance(e, RDI);
    return 0;
}

/* 0: the instruction is complete; -EAGAIN: the rest is for the next entry. */
static int execute_string(struct emulation *e)
{
    const struct insn *i = &e->i;
    struct regs *r = &e->v->regs;
    struct place si = { .size = i->size, .page = ~0ull }, di = si;
    di.write = true;
    if (!i->rep)
        return string_step(e, &si, &di);

    for (unsigned steps = 0; r->r[RCX] & mask_of(i->address_size); steps++) {
        if (steps == INSN_STRING_MAX)
            return -EAGAIN;
        e->device = false;
        int rc = string_step(e, &si, &di);
        if (rc)
            return rc;
        reg_put(e, RCX, i->address_size, r->r[RCX] - 1);
        if (!e->device)
            steps = INSN_STRING_MAX - 1; /* RAM only: the processor is quicker */
    }
    return 0;
}

/* --- doors ------------------------------------------------------------------------------------------------------ */

enum insn_result insn_emulate(struct vcpu *v, const struct vm_exit *x, bool device)
{
    struct vcpu_paging p;
    struct emulation e;
    e.v = v;
    e.fault = device ? x : NULL;
    e.device = e.has_state = false;
    enum insn_result result = insn_fetch(v, &e.i, &e.mode);
    if (result != INSN_DONE)
        return result;
    hv->paging(v, &p);
    e.cpl3 = p.cpl == 3;
    if (x->kind == EXIT_PIO && (e.i.op != (x->pio.in ? OP_INS : OP_OUTS) || e.i.size != x->pio.size))
        return INSN_AGAIN; /* the code has changed */
    if (x->kind != EXIT_PIO && (e.i.op == OP_INS || e.i.op == OP_OUTS))
        return INSN_UNHANDLED; /* the port has not been checked */
    int rc = e.i.form == FORM_STRING ? execute_string(&e) : execute(&e);
    if (rc == 0)
        insn_retire(v, e.i.length);
    return rc == 0 ? INSN_DONE : rc == -EAGAIN ? INSN_AGAIN : rc == -EFAULT ? INSN_FAULT : INSN_UNHANDLED;
}
