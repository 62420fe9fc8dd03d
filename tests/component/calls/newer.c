/* SPDX-License-Identifier: Apache-2.0
 *
 * newer.c - the rest of what public drivers call and Wine has not.
 */
#include "calls.h"

static const GUID One = { 0x3A81C0D2, 0x17E5, 0x4B36, { 1, 2, 3, 4, 5, 6, 7, 8 } };
static const GUID Two = { 0x3A81C0D3, 0x17E5, 0x4B36, { 1, 2, 3, 4, 5, 6, 7, 8 } };
static const GUID Unknown = { 0x3A81C0D5, 0x17E5, 0x4B36, { 1, 2, 3, 4, 5, 6, 7, 8 } };
static const GUID Three = { 0x3A81C0D4, 0x17E5, 0x4B36, { 1, 2, 3, 4, 5, 6, 7, 8 } };

NTSYSAPI NTSTATUS NTAPI ZwCreateEvent(PHANDLE Handle, ACCESS_MASK Access, POBJECT_ATTRIBUTES Attributes,
                                      EVENT_TYPE Type, BOOLEAN State);
NTKERNELAPI KPROCESSOR_MODE NTAPI ImportedMode(VOID) __asm__("ExGetPreviousMode");
NTSYSAPI BOOLEAN NTAPI ImportedTestBit(PRTL_BITMAP Map, ULONG Bit) __asm__("RtlTestBit");
NTSYSAPI VOID NTAPI ImportedSetBit(PRTL_BITMAP Map, ULONG Bit) __asm__("RtlSetBit");
NTSYSAPI VOID NTAPI ImportedClearBit(PRTL_BITMAP Map, ULONG Bit) __asm__("RtlClearBit");

PROBE(Probe_ExGetPreviousMode)
{
    EXPECT(ImportedMode() == KernelMode, "answers UserMode in a thread of the driver's");
}

PROBE(Probe_IoGetRequestorProcessId)
{
    PIRP irp = IoAllocateIrp(2, FALSE);

    irp->Tail.Overlay.Thread = NULL;
    EXPECT(!IoGetRequestorProcessId(irp), "answers a process for an IRP of no thread");
    IoFreeIrp(irp);
}

PROBE(Probe_IoGetDeviceInterfaceAlias)
{
    UNICODE_STRING reference = RTL_CONSTANT_STRING(L"Camera1"), one, two, plain, alias;

    EXPECT(NT_SUCCESS(IoRegisterDeviceInterface(Pdo, &One, &reference, &one)) &&
           NT_SUCCESS(IoRegisterDeviceInterface(Pdo, &Two, &reference, &two)) &&
           NT_SUCCESS(IoRegisterDeviceInterface(Pdo, &Three, NULL, &plain)), "finds what cannot be registered");
    EXPECT(NT_SUCCESS(IoGetDeviceInterfaceAlias(&one, &Two, &alias)), "fails");
    EXPECT(RtlEqualUnicodeString(&alias, &two, TRUE), "gives another name");
    RtlFreeUnicodeString(&alias);
    EXPECT(!NT_SUCCESS(IoGetDeviceInterfaceAlias(&one, &Three, &alias)),
           "finds an alias of another reference string");
    EXPECT(!NT_SUCCESS(IoGetDeviceInterfaceAlias(&plain, &Unknown, &alias)),
           "finds an alias that nobody has registered");
}

PROBE(Probe_IoOpenDriverRegistryKey)
{
    UNICODE_STRING name = RTL_CONSTANT_STRING(L"Kept");
    NTSTATUS status;
    ULONG one = 1;
    HANDLE key;

    EXPECT(IoOpenDriverRegistryKey(Driver, DriverRegKeyPersistentState, KEY_WRITE, 1, &key) ==
           STATUS_INVALID_PARAMETER, "takes flags");
    EXPECT(NT_SUCCESS(IoOpenDriverRegistryKey(Driver, DriverRegKeyPersistentState, KEY_WRITE, 0, &key)), "fails");
    status = ZwSetValueKey(key, &name, 0, REG_DWORD, &one, sizeof(one));
    (void)ZwClose(key);
    EXPECT(NT_SUCCESS(status), "opens what cannot be written");
    status = IoOpenDriverRegistryKey(Driver, DriverRegKeyParameters, KEY_READ, 0, &key);
    if (NT_SUCCESS(status))
        (void)ZwClose(key);
    EXPECT(NT_SUCCESS(status), "does not open the parameters of the INF");
}

PROBE(Probe_IoAttachDeviceToDeviceStackSafe)
{
    PDEVICE_OBJECT lower = NULL, device, below = NULL;

    EXPECT(NT_SUCCESS(IoCreateDevice(Driver, 0, NULL, FILE_DEVICE_UNKNOWN, 0, FALSE, &lower)) &&
           NT_SUCCESS(IoCreateDevice(Driver, 0, NULL, FILE_DEVICE_UNKNOWN, 0, FALSE, &device)), "finds no devices");
    EXPECT(NT_SUCCESS(IoAttachDeviceToDeviceStackSafe(device, lower, &below)), "fails");
    EXPECT(below == lower && lower->AttachedDevice == device, "attaches it elsewhere");
    IoDetachDevice(below);
    IoDeleteDevice(device);
    IoDeleteDevice(lower);
}

PROBE(Probe_RtlTestBit)
{
    ULONG bits[2] = { 0, 0 };
    RTL_BITMAP map = { 64, bits };

    ImportedSetBit(&map, 33);
    EXPECT(bits[1] == 2 && ImportedTestBit(&map, 33) && !ImportedTestBit(&map, 1), "looks at another bit");
    ImportedClearBit(&map, 33);
    EXPECT(!bits[1], "does not clear the bit");
}

PROBE(Probe_MmAdvanceMdl)
{
    PUCHAR memory = ExAllocatePoolWithTag(NonPagedPool, 3 * PAGE_SIZE, TAG);
    PMDL mdl = MmCreateMdl(NULL, memory, 2 * PAGE_SIZE);

    EXPECT(mdl && MmGetMdlVirtualAddress(mdl) == memory, "finds a list of something else");
    EXPECT(MmSizeOfMdl(memory, 2 * PAGE_SIZE) >= sizeof(MDL) + 2 * sizeof(PFN_NUMBER),
           "finds a list that is too small");
    MmBuildMdlForNonPagedPool(mdl);
    EXPECT(MmAdvanceMdl(mdl, PAGE_SIZE + 10) == STATUS_SUCCESS, "fails");
    EXPECT(MmGetMdlVirtualAddress(mdl) == memory + PAGE_SIZE + 10 && MmGetMdlByteCount(mdl) == PAGE_SIZE - 10 &&
           MmGetSystemAddressForMdlSafe(mdl, NormalPagePriority) == memory + PAGE_SIZE + 10,
           "makes a wrong list of it");
    EXPECT(!NT_SUCCESS(MmAdvanceMdl(mdl, PAGE_SIZE)), "advances behind the end");
    IoFreeMdl(mdl);
    ExFreePoolWithTag(memory, TAG);
}

PROBE(Probe_ObfReferenceObjectWithTag)
{
    PVOID object;
    HANDLE handle;
    LONG was;

    EXPECT(NT_SUCCESS(ZwCreateEvent(&handle, EVENT_ALL_ACCESS, NULL, NotificationEvent, FALSE)), "finds no event");
    EXPECT(NT_SUCCESS(ObReferenceObjectByHandleWithTag(handle, 0, NULL, KernelMode, TAG, &object, NULL)),
           "finds no object");
    (void)ObReferenceObjectWithTag(object, TAG);
    (void)ObDereferenceObjectWithTag(object, TAG);
    was = KeSetEvent(object, IO_NO_INCREMENT, FALSE);
    (void)ZwClose(handle);
    EXPECT(!was && Came(object), "keeps no reference");
    ObDereferenceObjectDeferDeleteWithTag(object, TAG);
}

PROBE(Probe_KeGetProcessorNumberFromIndex)
{
    PROCESSOR_NUMBER number;

    FILLED(number);
    EXPECT(KeGetProcessorNumberFromIndex(0, &number) == STATUS_SUCCESS, "fails");
    EXPECT(!number.Group && !number.Number && !number.Reserved, "gives another processor");
    EXPECT(!KeGetProcessorIndexFromNumber(&number), "numbers it otherwise than KeGetProcessorIndexFromNumber");
    EXPECT(!NT_SUCCESS(KeGetProcessorNumberFromIndex(5000, &number)), "has 5000 processors");
}

PROBE(Probe_KeQueryAuxiliaryCounterFrequency)
{
    ULONG64 frequency = 0;

    EXPECT(KeQueryAuxiliaryCounterFrequency(&frequency) == STATUS_NOT_SUPPORTED || frequency, "gives no frequency");
}

const PROBE NewerProbes[] = {
    P(ExGetPreviousMode), P(IoGetRequestorProcessId), P(IoGetDeviceInterfaceAlias), P(IoOpenDriverRegistryKey),
    P(IoAttachDeviceToDeviceStackSafe), P(RtlTestBit), P(MmAdvanceMdl), P(ObfReferenceObjectWithTag),
    P(KeGetProcessorNumberFromIndex), P(KeQueryAuxiliaryCounterFrequency), ENDS
};
