/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Carries out the decoded instructions that touch memory which is not RAM. Operands are translated by the guest's own
 * page tables with its rights; what is RAM is copied, the rest goes to the devices.
 *
 * Rules: every address is translated before anything with an effect is done, and from there on nothing fails. An
 * instruction whose operand turns out to be RAM (another CPU changed the map) is left to the processor, which alone can
 * be atomic. A string stops after INSN_STRING_MAX steps with its registers advanced.
 */
#include "insn.h"

#include <hv/domain.h>
#include <hv/frame.h>
#include <hv/hypercall.h>
#include <hv/lib.h>
#include <hv/metal.h>
#include <hv/p2m.h>

#define CF BIT(0)
#define PF BIT(2)
#define AF BIT(4)
#define ZF BIT(6)
#define SF BIT(7)
#define DF BIT(10)
#define OF BIT(11)
#define ARITHMETIC (CF | PF | AF | ZF | SF | OF)

#define VECTOR_PF 14

/* A translated operand. */
struct place {
    bool write;           /* it will be written */
    unsigned size, first; /* bytes; those in the first page */
    uint64_t page;        /* the linear page gpa[0] was found for; ~0: none yet */
    gpa_t gpa[2];         /* of each page's part */
};

struct emulation {
    struct vcpu *v;
    const struct vm_exit *x;
    struct insn i;
    bool device; /* was touched */
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

/* a op b */
static uint64_t alu(enum insn_op op, uint64_t a, uint64_t b, unsigned size, uint64_t *rflags)
{
    uint64_t top = BIT(8 * size - 1), carry = *rflags & CF, flags = 0, r;
    switch (op) {
    case OP_ADD:
    case OP_ADC:
        r = a + b + (op == OP_ADC ? carry : 0);
        flags |= ((a & b) | ((a | b) & ~r)) & top ? CF : 0;
        flags |= (a ^ r) & (b ^ r) & top ? OF : 0;
        flags |= (a ^ b ^ r) & AF;
        break;
    case OP_AND:
    case OP_TEST: r = a & b; break;
    case OP_OR: r = a | b; break;
    case OP_XOR: r = a ^ b; break;
    default: /* SUB, SBB, CMP */
        r = a - b - (op == OP_SBB ? carry : 0);
        flags |= ((~a & b) | ((~a | b) & r)) & top ? CF : 0;
        flags |= (a ^ b) & (a ^ r) & top ? OF : 0;
        flags |= (a ^ b ^ r) & AF;
        break;
    }
    flags |= __builtin_parity(r & 0xff) ? 0 : PF;
    flags |= r & mask_of(size) ? 0 : ZF;
    flags |= r & top ? SF : 0;
    *rflags = (*rflags & ~ARITHMETIC) | flags;
    return r & mask_of(size);
}

/* --- memory ----------------------------------------------------------------------------------------------------- */

/* False: the guest has got the fault. */
static bool translate_page(struct emulation *e, uint64_t linear, bool write, gpa_t *gpa)
{
    struct vcpu_paging p;
    uint32_t error;
    hv->paging(e->v, &p);
    enum walk_fault f =
        guest_walk(e->v, linear, (write ? WALK_WRITE : WALK_READ) | (p.cpl == 3 ? WALK_USER : 0), gpa, &error);
    if (f == WALK_OK)
        return true;
    if (f == WALK_NO_MEMORY)
        inject_ud(e->v);
    else if ((uint64_t)((int64_t)linear >> 47) + 1 > 1) /* not canonical */
        inject_gp(e->v);
    else
        hv->inject(e->v, INJECT_EXCEPTION, VECTOR_PF, true, error, linear);
    return false;
}

/*
 * The one memory operand of an instruction needs no second walk: the processor has just translated it, with the guest's
 * rights for this kind of access. The rest of the address says that it is the same operand.
 */
static bool is_what_faulted(const struct emulation *e, const struct place *p, uint64_t linear)
{
    const struct vm_exit *x = e->x;
    return e->i.form != FORM_STRING && p->first == p->size && !((linear ^ x->fault.gpa) & ~PAGE_MASK) &&
           (x->fault.write || !p->write);
}

/* seg:offset to guest-physical addresses; size and write are set. Steps of a string reuse the page of the last one.
 * False: the guest has got the fault. */
static bool translate(struct emulation *e, unsigned seg, uint64_t linear, struct place *p)
{
    if (seg == SEG_FS || seg == SEG_GS) {
        struct vcpu_state s;
        hv->state_get(e->v, &s);
        linear += s.seg[seg].base;
    }
    uint64_t in_page = linear & ~PAGE_MASK;
    p->first = MIN(p->size, PAGE_SIZE - in_page);
    if (is_what_faulted(e, p, linear))
        p->gpa[0] = e->x->fault.gpa;
    else if (p->page == linear - in_page)
        p->gpa[0] = (p->gpa[0] & PAGE_MASK) | in_page;
    else if (!translate_page(e, linear, p->write, &p->gpa[0]))
        return false;
    p->page = linear - in_page;
    return p->first == p->size || translate_page(e, linear + p->first, p->write, &p->gpa[1]);
}

/* One access within a page. */
static void access_page(struct emulation *e, gpa_t gpa, unsigned size, bool write, uint64_t *value)
{
    mfn_t m = p2m_get_frame(&e->v->domain->p2m, gpa_gfn(gpa), write, true);
    if (!write)
        *value = 0;
    if (!mfn_valid(m)) {
        e->device = true;
        exit_mmio(e->v, gpa, size, write, value);
    } else {
        char *at = (char *)mfn_ptr(m) + (gpa & ~PAGE_MASK);
        memcpy(write ? at : (char *)value, write ? (char *)value : at, size);
        frame_put(m);
    }
    *value &= mask_of(size);
}

/* Whether the processor can do all of this access by itself by now. */
static bool is_ram(struct emulation *e, const struct place *p)
{
    mfn_t m = p2m_get_frame(&e->v->domain->p2m, gpa_gfn(p->gpa[0]), p->write, true);
    if (mfn_valid(m))
        frame_put(m);
    return mfn_valid(m) && p->first == p->size;
}

/* Reads or writes an operand. */
static void transfer(struct emulation *e, const struct place *p, bool write, uint64_t *value)
{
    unsigned second = p->size - p->first, shift = 8 * p->first;
    uint64_t high = second ? *value >> shift : 0;
    *value &= mask_of(p->first);
    access_page(e, p->gpa[0], p->first, write, value);
    if (!second)
        return;
    access_page(e, p->gpa[1], second, write, &high);
    *value |= high << shift;
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

/* False, here and below: RIP stays. The guest has got the fault, or can do the rest by itself. */
static bool execute(struct emulation *e)
{
    const struct insn *i = &e->i;
    struct place p = { .size = i->memory_size, .page = ~0ull, .write = writes_memory(i) };
    uint64_t memory = 0;

    if (!i->memory) {
        inject_ud(e->v);
        return false;
    }
    if (!translate(e, i->segment, offset_of(e), &p) || is_ram(e, &p))
        return false;
    if (i->op != OP_MOV || !p.write)
        transfer(e, &p, false, &memory);
    if (i->form == FORM_RM) {
        finish_load(e, memory);
        return true;
    }
    uint64_t result = i->form == FORM_MI ? i->immediate & mask_of(i->size) : reg_get(e, i->reg, i->size);
    if (i->op != OP_MOV && i->op != OP_XCHG)
        result = alu(i->op, memory, result, i->size, &e->v->regs.rflags);
    if (p.write)
        transfer(e, &p, true, &result);
    if (i->op == OP_XCHG)
        reg_put(e, i->reg, i->size, memory);
    return true;
}

/* --- strings ---------------------------------------------------------------------------------------------------- */

static void advance(struct emulation *e, unsigned n)
{
    uint64_t by = e->v->regs.rflags & DF ? -(uint64_t)e->i.size : e->i.size;
    reg_put(e, n, e->i.address_size, e->v->regs.r[n] + by);
}

/* One step. si and di are the operands at [SI] and [DI]. */
static bool string_step(struct emulation *e, struct place *si, struct place *di)
{
    const struct insn *i = &e->i;
    uint64_t value = reg_get(e, RAX, i->size);
    bool moves = i->op == OP_MOVS;
    if ((moves && !translate(e, i->segment, reg_get(e, RSI, i->address_size), si)) ||
        !translate(e, SEG_ES, reg_get(e, RDI, i->address_size), di))
        return false;
    if (moves) {
        transfer(e, si, false, &value);
        advance(e, RSI);
    }
    transfer(e, di, true, &value);
    advance(e, RDI);
    return true;
}

static bool execute_string(struct emulation *e)
{
    const struct insn *i = &e->i;
    struct place si = { .size = i->size, .page = ~0ull }, di = si;
    di.write = true;
    if (!i->rep)
        return string_step(e, &si, &di);

    for (unsigned steps = 0; reg_get(e, RCX, i->address_size); steps++) {
        if (steps == INSN_STRING_MAX)
            return false;
        e->device = false;
        if (!string_step(e, &si, &di))
            return false;
        reg_put(e, RCX, i->address_size, e->v->regs.r[RCX] - 1);
        if (!e->device)
            steps = INSN_STRING_MAX - 1; /* RAM only: the processor is quicker */
    }
    return true;
}

void insn_emulate(struct vcpu *v, const struct vm_exit *x)
{
    struct emulation e = { .v = v, .x = x };
    if (insn_fetch(v, &e.i) && (e.i.form == FORM_STRING ? execute_string(&e) : execute(&e)))
        insn_retire(v, e.i.length);
}
