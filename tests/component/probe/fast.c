/* SPDX-License-Identifier: Apache-2.0
 *
 * fast.c - properties and methods without an IRP, asked for as the I/O manager
 * does on behalf of a kernel-mode caller.
 */
#include "probe.h"

#define STATIC_PROBE_FAST 0x3F0E7C20, 0x8C55, 0x4E0B, 0x9E, 0x51, 0x6B, 0x1D, 0x2A, 0x9C, 0x00, 0x0F
static const GUID FastId = { STATIC_PROBE_FAST };

static const VOID *Asked;       /* the request as the last handler got it */

static BOOLEAN Give(PFILE_OBJECT FileObject, PKSIDENTIFIER Request, ULONG RequestLength, PVOID Data, ULONG DataLength,
                    PIO_STATUS_BLOCK IoStatus)
{
    Asked = Request;
    *(PULONG)Data = Request->Id + RequestLength + DataLength + (FileObject ? 0x1000 : 0);
    IoStatus->Status = STATUS_SUCCESS;
    IoStatus->Information = sizeof(ULONG);
    return TRUE;
}

static BOOLEAN Take(PFILE_OBJECT FileObject, PKSIDENTIFIER Request, ULONG RequestLength, PVOID Data, ULONG DataLength,
                    PIO_STATUS_BLOCK IoStatus)
{
    UNREFERENCED_PARAMETER(FileObject);
    UNREFERENCED_PARAMETER(Request);
    UNREFERENCED_PARAMETER(RequestLength);
    UNREFERENCED_PARAMETER(DataLength);
    IoStatus->Status = *(PULONG)Data == 7 ? STATUS_SUCCESS : STATUS_UNSUCCESSFUL;
    return TRUE;
}

static NTSTATUS Slow(PIRP Irp, PKSIDENTIFIER Request, PVOID Data)
{
    UNREFERENCED_PARAMETER(Irp);
    UNREFERENCED_PARAMETER(Request);
    UNREFERENCED_PARAMETER(Data);
    return STATUS_SUCCESS;
}

static const KSPROPERTY_ITEM Items[] = {
    DEFINE_KSPROPERTY_ITEM(1, Slow, sizeof(KSPROPERTY), sizeof(ULONG), Slow, NULL, 0, NULL, NULL, 0),
    DEFINE_KSPROPERTY_ITEM(2, Slow, sizeof(KSPROPERTY), sizeof(ULONG), NULL, NULL, 0, NULL, NULL, 0),
};
static const KSFASTPROPERTY_ITEM FastItems[] = { DEFINE_KSFASTPROPERTY_ITEM(1, Give, Take) };
static const KSPROPERTY_SET Sets[] = {
    DEFINE_KSPROPERTY_SET(&FastId, SIZEOF_ARRAY(Items), Items, SIZEOF_ARRAY(FastItems), FastItems),
};

static const KSMETHOD_ITEM Methods[] = {
    DEFINE_KSMETHOD_ITEM(3, KSMETHOD_TYPE_WRITE, Slow, sizeof(KSMETHOD), sizeof(ULONG), NULL),
};
static const KSFASTMETHOD_ITEM FastMethods[] = { DEFINE_KSFASTMETHOD_ITEM(3, Give) };
static const KSMETHOD_SET MethodSets[] = {
    DEFINE_KSMETHOD_SET(&FastId, SIZEOF_ARRAY(Methods), Methods, SIZEOF_ARRAY(FastMethods), FastMethods),
};

static BOOLEAN Property(PFILE_OBJECT FileObject, ULONG Id, ULONG Flags, ULONG Length, PULONG Data, ULONG DataLength,
                        PIO_STATUS_BLOCK IoStatus)
{
    KSPROPERTY property = { { { { STATIC_PROBE_FAST }, Id, Flags } } };

    IoStatus->Status = STATUS_PENDING;
    IoStatus->Information = 99;
    Asked = NULL;
    return KsFastPropertyHandler(FileObject, &property, Length, Data, DataLength, IoStatus, SIZEOF_ARRAY(Sets), Sets) &&
           Asked != &property;
}

NTSTATUS ProbeFast(PFILE_OBJECT FileObject, PULONGLONG Numbers)
{
    KSMETHOD method = { { { { STATIC_PROBE_FAST }, 3, KSMETHOD_TYPE_SEND } } };
    IO_STATUS_BLOCK status;
    ULONG data = 0;

    Numbers[0] = Property(FileObject, 1, KSPROPERTY_TYPE_GET, sizeof(KSPROPERTY), &data, sizeof(data), &status);
    Numbers[1] = data;
    Numbers[2] = status.Information;
    data = 7;
    Numbers[3] = Property(FileObject, 1, KSPROPERTY_TYPE_SET, sizeof(KSPROPERTY), &data, sizeof(data), &status);
    Numbers[4] = (ULONG)status.Status;
    Numbers[5] = status.Information;
    /* the long way: no fast item, no verb for it, too short */
    Numbers[6] = Property(FileObject, 2, KSPROPERTY_TYPE_GET, sizeof(KSPROPERTY), &data, sizeof(data), &status);
    Numbers[7] = Property(FileObject, 1, KSPROPERTY_TYPE_BASICSUPPORT, sizeof(KSPROPERTY), &data, sizeof(data), &status);
    Numbers[8] = Property(FileObject, 1, KSPROPERTY_TYPE_GET, sizeof(KSPROPERTY) - 1, &data, sizeof(data), &status);
    Numbers[9] = Property(FileObject, 1, KSPROPERTY_TYPE_GET, sizeof(KSPROPERTY), &data, sizeof(data) - 1, &status);
    Numbers[10] = KsFastMethodHandler(FileObject, &method, sizeof(method), &data, sizeof(data), &status,
                                      SIZEOF_ARRAY(MethodSets), MethodSets);
    Numbers[11] = data;
    method.Flags = KSMETHOD_TYPE_SETSUPPORT;
    Numbers[12] = KsFastMethodHandler(FileObject, &method, sizeof(method), &data, sizeof(data), &status,
                                      SIZEOF_ARRAY(MethodSets), MethodSets);
    return STATUS_SUCCESS;
}
