/* SPDX-License-Identifier: Apache-2.0
 *
 * processing.c - what of data processing a minidriver may use although no
 * data flows: the mutexes that keep it out, the gates that would start it.
 */
#include "refks.h"

void NTAPI KsFilterAcquireProcessingMutex(PKSFILTER Filter)
{
    RefksLockMutex(&REFKS_FILTER_OF(Filter)->Processing);
}

void NTAPI KsFilterReleaseProcessingMutex(PKSFILTER Filter)
{
    RefksUnlockMutex(&REFKS_FILTER_OF(Filter)->Processing);
}

/* Its own for a pin that processes for itself, else its filter's, as documented. */
static PFAST_MUTEX PinMutex(PKSPIN Pin)
{
    REFKS_PIN *pin = REFKS_PIN_OF(Pin);
    const KSPIN_DISPATCH *dispatch = Pin->Descriptor->Dispatch;

    return dispatch && dispatch->Process ? &pin->Processing : &RefksPinFilter(pin)->Processing;
}

void NTAPI KsPinAcquireProcessingMutex(PKSPIN Pin)
{
    RefksLockMutex(PinMutex(Pin));
}

void NTAPI KsPinReleaseProcessingMutex(PKSPIN Pin)
{
    RefksUnlockMutex(PinMutex(Pin));
}

/* Callers turn these on and off with the inline functions of ks.h, which expect a gate and no NULL. */
PKSGATE NTAPI KsFilterGetAndGate(PKSFILTER Filter)
{
    return &REFKS_FILTER_OF(Filter)->Gate;
}

PKSGATE NTAPI KsPinGetAndGate(PKSPIN Pin)
{
    return &REFKS_PIN_OF(Pin)->Gate;
}

/* No pin is a copy of another. */
void NTAPI KsPinGetCopyRelationships(PKSPIN Pin, PKSPIN *CopySource, PKSPIN *DelegateBranch)
{
    UNREFERENCED_PARAMETER(Pin);
    *CopySource = NULL;
    *DelegateBranch = NULL;
}
