/* SPDX-License-Identifier: Apache-2.0
 *
 * trace.c - ETW, WPP and WMI, to which nobody listens.
 */
#include "calls.h"

NTKERNELAPI NTSTATUS __cdecl WmiTraceMessage(ULONGLONG Logger, ULONG Flags, LPCGUID Message, USHORT Number, ...);
NTKERNELAPI NTSTATUS NTAPI EtwSetInformation(REGHANDLE Handle, ULONG Class, PVOID Information, ULONG Length);
NTKERNELAPI NTSTATUS NTAPI EtwWriteEx(REGHANDLE Handle, PCEVENT_DESCRIPTOR Event, ULONG64 Filter, ULONG Flags,
                                      LPCGUID Activity, LPCGUID Related, ULONG Count, PEVENT_DATA_DESCRIPTOR Data);

static const GUID Provider = { 0x5F0C8E11, 0x7C1B, 0x4B61, { 1, 2, 3, 4, 5, 6, 7, 9 } };
static const EVENT_DESCRIPTOR Event;
static REGHANDLE Handle;

static VOID Register(VOID)
{
    Handle = 0;
    (void)EtwRegister(&Provider, NULL, NULL, &Handle);
}

PROBE(Probe_EtwRegister)
{
    Handle = 0;
    EXPECT(EtwRegister(&Provider, NULL, NULL, &Handle) == STATUS_SUCCESS && Handle, "gives no handle");
    (void)EtwUnregister(Handle);
}

PROBE(Probe_EtwUnregister)
{
    Register();
    EXPECT(EtwUnregister(Handle) == STATUS_SUCCESS, "fails");
}

PROBE(Probe_EtwWrite)
{
    Register();
    EXPECT(EtwWrite(Handle, &Event, NULL, 0, NULL) == STATUS_SUCCESS, "fails though nobody listens");
    (void)EtwUnregister(Handle);
}

PROBE(Probe_EtwWriteTransfer)
{
    Register();
    EXPECT(EtwWriteTransfer(Handle, &Event, NULL, NULL, 0, NULL) == STATUS_SUCCESS, "fails though nobody listens");
    (void)EtwUnregister(Handle);
}

PROBE(Probe_EtwWriteEx)
{
    Register();
    EXPECT(EtwWriteEx(Handle, &Event, 0, 0, NULL, NULL, 0, NULL) == STATUS_SUCCESS, "fails though nobody listens");
    (void)EtwUnregister(Handle);
}

PROBE(Probe_EtwWriteString)
{
    Register();
    EXPECT(EtwWriteString(Handle, 4, 0, NULL, L"text") == STATUS_SUCCESS, "fails though nobody listens");
    (void)EtwUnregister(Handle);
}

PROBE(Probe_EtwEventEnabled)
{
    Register();
    EXPECT(!EtwEventEnabled(Handle, &Event), "answers TRUE though nobody listens");
    (void)EtwUnregister(Handle);
}

PROBE(Probe_EtwProviderEnabled)
{
    Register();
    EXPECT(!EtwProviderEnabled(Handle, 5, ~0ull), "answers TRUE though nobody listens");
    (void)EtwUnregister(Handle);
}

PROBE(Probe_EtwSetInformation)
{
    static UCHAR traits[] = { 3, 0, 0 };

    Register();
    (void)EtwSetInformation(Handle, 2, traits, sizeof(traits));
    (void)EtwUnregister(Handle);
}

PROBE(Probe_EtwActivityIdControl)
{
    GUID id;

    RtlZeroMemory(&id, sizeof(id));
    EXPECT(EtwActivityIdControl(EVENT_ACTIVITY_CTRL_CREATE_ID, &id) == STATUS_SUCCESS && id.Data1, "makes no GUID");
}

PROBE(Probe_WmiTraceMessage)
{
    EXPECT(WmiTraceMessage(0, 0, &Provider, 10, NULL) == STATUS_SUCCESS, "fails for a logger that is not there");
}

PROBE(Probe_WmiQueryTraceInformation)
{
    ULONG64 logger = 0;

    (void)WmiQueryTraceInformation((TRACE_INFORMATION_CLASS)1, &logger, sizeof(logger), NULL, NULL);
}

PROBE(Probe_IoWMIRegistrationControl)
{
    EXPECT(IoWMIRegistrationControl(Fdo, WMIREG_ACTION_REGISTER) == STATUS_SUCCESS, "fails to register");
    EXPECT(IoWMIRegistrationControl(Fdo, WMIREG_ACTION_DEREGISTER) == STATUS_SUCCESS, "fails to take that back");
}

PROBE(Probe_IoWMIAllocateInstanceIds)
{
    GUID id = Provider;
    ULONG first = 0xCCCCCCCC;

    EXPECT(IoWMIAllocateInstanceIds(&id, 2, &first) == STATUS_SUCCESS && first != 0xCCCCCCCC, "gives no number");
}

PROBE(Probe_IoWMIWriteEvent)
{
    EXPECT(!NT_SUCCESS(IoWMIWriteEvent(NULL)), "takes NULL");
}

PROBE(Probe_IoAllocateErrorLogEntry)
{
    PVOID entry = IoAllocateErrorLogEntry(Fdo, sizeof(IO_ERROR_LOG_PACKET));

    if (entry)
        IoWriteErrorLogEntry(entry);
}

const PROBE TraceProbes[] = {
    P(EtwRegister), P(EtwUnregister), P(EtwWrite), P(EtwWriteTransfer), P(EtwWriteEx), P(EtwWriteString),
    P(EtwEventEnabled), P(EtwProviderEnabled), P(EtwSetInformation), P(EtwActivityIdControl), P(WmiTraceMessage),
    P(WmiQueryTraceInformation), P(IoWMIRegistrationControl), P(IoWMIAllocateInstanceIds), P(IoWMIWriteEvent),
    P(IoAllocateErrorLogEntry), ENDS
};
