/* SPDX-License-Identifier: Apache-2.0
 *
 * kshs_step_time.h - how long a step may take as a whole: the client and the agent both watch it.
 * Include it after kshs_abi.h.
 */
#ifndef KSHS_STEP_TIME_H
#define KSHS_STEP_TIME_H

/* Milliseconds, with all repeats; 0: no limit. */
static inline uint64_t kshs_step_time_ms(const kshs_step *step)
{
    uint64_t most = step->timeout_ms > KSHS_MAX_REPEATED_MS ? step->timeout_ms : KSHS_MAX_REPEATED_MS;
    uint64_t all = step->timeout_ms;

    if ((step->op == KSHS_OP_REQUEST || step->op == KSHS_OP_WAIT ||
         (step->op == KSHS_OP_PROPERTY && (step->flags & KSHS_STEP_FLIP))) && step->repeat)
        all *= step->repeat;
    return all < most ? all : most;
}

#endif
