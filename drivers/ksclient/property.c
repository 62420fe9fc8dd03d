/* SPDX-License-Identifier: Apache-2.0
 *
 * property.c - a PROPERTY step as an ordinary request.
 */
#include "ksclient.h"
#include <ks.h>

/* Step data: in_length bytes that follow KSPROPERTY in the input buffer, then
 * the property's data.  The output buffer is out_length bytes, or as long as the
 * property's data when out_length is 0. */
NTSTATUS ksc_property_parameters(const kshs_step *step, const uint8_t *data, ksc_parameters *p, void **block)
{
    uint32_t in_length = sizeof(KSPROPERTY) + step->in_length;
    uint32_t value_length = step->data_length - step->in_length;
    KSPROPERTY *property = kshs_zalloc(in_length, KSC_TAG);

    if (!property)
        return STATUS_INSUFFICIENT_RESOURCES;
    _Static_assert(sizeof(GUID) == sizeof(kshs_guid), "GUID");
    RtlCopyMemory(&property->Set, &step->guid, sizeof(GUID));
    property->Id = step->value;
    property->Flags = step->value2;
    RtlCopyMemory(property + 1, data, step->in_length);

    p->op = step->op;
    p->route = KSHS_ROUTE_IRP;
    p->mode = step->mode;
    p->control = IOCTL_KS_PROPERTY;
    p->in_kind = KSHS_BUFFER_NORMAL;
    p->out_kind = KSHS_BUFFER_NORMAL;
    p->in_length = in_length;
    p->out_length = step->out_length ? step->out_length : value_length;
    if (step->flags & KSHS_STEP_FLIP) {
        p->flips = TRUE;
        p->first_bit = (uint32_t)sizeof(KSPROPERTY) * 8 + step->slot2;
        p->repeat = step->repeat;
        p->reports = TRUE;
    }
    p->keep = step->flags & KSHS_STEP_ASYNC ? KSHS_KEEP_BYTES : KSHS_BUFFER_SIZE;   /* a WAIT has room for no more */
    p->keep_information = TRUE;
    p->in_data = property;
    p->in_data_length = in_length;
    p->out_data = data + step->in_length;
    p->out_data_length = value_length;
    *block = property;
    return STATUS_SUCCESS;
}
