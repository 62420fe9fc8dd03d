/* SPDX-License-Identifier: Apache-2.0
 *
 * kshs_varied.h - which REQUESTs may change from repeat to repeat: the client and the agent both ask it before they
 * send one.  Include it after kshs_abi.h.
 */
#ifndef KSHS_VARIED_H
#define KSHS_VARIED_H

#define KSHS_VARIED_METHOD_NEITHER 3u   /* METHOD_NEITHER, the low two bits of a control code */

/* Whether anything does.  Of a step that takes what comes back `value` and `value2` are no strides. */
static inline int kshs_is_varied(const kshs_step *step)
{
    return (step->flags & KSHS_STEP_FLIP) || (!(step->flags & KSHS_STEP_TAKE) && (step->value || step->value2));
}

/* It does so in ordinary buffers, and not while somebody may look at them late. */
static inline int kshs_may_vary(const kshs_step *step)
{
    return !(step->flags & KSHS_STEP_ASYNC) && (step->control & 3) == KSHS_VARIED_METHOD_NEITHER &&
           step->in_kind == KSHS_BUFFER_NORMAL && step->out_kind == KSHS_BUFFER_NORMAL;
}

/* Whether the bits of all repeats are there to be flipped. */
static inline int kshs_flips_fit(const kshs_step *step)
{
    uint32_t repeat = step->repeat ? step->repeat : 1;

    return !step->value2 && (uint64_t)step->value + repeat <= (uint64_t)step->data_length * 8;
}

static inline int kshs_stride_fits(uint32_t length, uint32_t stride, uint32_t repeat)
{
    return !stride || length + (uint64_t)stride * (repeat ? repeat - 1 : 0) <= KSHS_BUFFER_SIZE;
}

/* Whether the last repeat still fits into the greatest buffer. */
static inline int kshs_strides_fit(const kshs_step *step)
{
    return kshs_stride_fits(step->in_length, step->value, step->repeat) &&
           kshs_stride_fits(step->out_length, step->value2, step->repeat);
}

#endif
