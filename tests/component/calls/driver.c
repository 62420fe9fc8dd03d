/* SPDX-License-Identifier: Apache-2.0
 *
 * driver.c - runs the probes whose names stand in C:\kshs\calls.todo, and says
 * in C:\kshs\calls.said what came: a line before each, a line after it, an end.
 *
 * Each probe has a thread.  One that throws is ended by that; one that does not
 * come back in its time is left behind, and nothing else is asked in this
 * process, which may be wedged as a whole.
 */
#include "calls.h"

#define PATIENCE 8000           /* milliseconds: twice what the longest wait inside a probe takes */
#define NTSTATUS_OF_A_STUB ((NTSTATUS)0x80000100)       /* what Wine raises in place of a function that it lacks */

PDRIVER_OBJECT Driver;
PDEVICE_OBJECT Pdo, Fdo, Lower;

DRIVER_INITIALIZE DriverEntry;

static const PROBE *const All[] = { TimeProbes, TimerProbes, WaitProbes, LockProbes, MemoryProbes, TextProbes,
                                    TableProbes, WorkProbes, IrpProbes, QueueProbes, DeviceProbes, KeyProbes,
                                    TraceProbes, ExTimerProbes, PowerProbes, NewerProbes };
static HANDLE Said;
static PCSTR volatile What, Kind;
static const CHAR Wedges[] = "wedges";
static NTSTATUS Thrown;
static volatile LONG Done;

static VOID Say(PCSTR NewKind, PCSTR Words)
{
    if (!What) {
        Kind = NewKind;
        What = Words;
    }
}

VOID Wrong(PCSTR Words)
{
    Say("wrong", Words);
}

VOID Minor(PCSTR Words)
{
    Say("minor", Words);
}

VOID Stuck(VOID)
{
    Say(Wedges, "its thread");
}

BOOLEAN Came(PVOID Object)
{
    LARGE_INTEGER limit = { .QuadPart = MS(4000) };

    return KeWaitForSingleObject(Object, Executive, KernelMode, FALSE, &limit) == STATUS_SUCCESS;
}

BOOLEAN StaysAway(PVOID Object)
{
    LARGE_INTEGER limit = { .QuadPart = MS(200) };

    return KeWaitForSingleObject(Object, Executive, KernelMode, FALSE, &limit) == STATUS_TIMEOUT;
}

VOID Sleep(LONGLONG Milliseconds)
{
    LARGE_INTEGER time = { .QuadPart = MS(Milliseconds) };

    (void)KeDelayExecutionThread(KernelMode, FALSE, &time);
}

BOOLEAN Reaches(volatile LONG *Counter, LONG Number)
{
    ULONG i;

    for (i = 0; i < 400 && *Counter < Number; i++)
        Sleep(10);
    return *Counter >= Number;
}

VOID Beside(PKSTART_ROUTINE Routine, PVOID Context)
{
    HANDLE thread;

    if (NT_SUCCESS(PsCreateSystemThread(&thread, THREAD_ALL_ACCESS, NULL, NULL, NULL, Routine, Context)))
        (void)ZwClose(thread);
}

/* ---- files -------------------------------------------------------------------------------------- */

static NTSTATUS OpenFile(PHANDLE File, PCWSTR Path, ACCESS_MASK Access, ULONG Disposition)
{
    OBJECT_ATTRIBUTES attributes;
    IO_STATUS_BLOCK status;
    UNICODE_STRING name;

    RtlInitUnicodeString(&name, Path);
    InitializeObjectAttributes(&attributes, &name, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, NULL, NULL);
    return ZwCreateFile(File, Access | SYNCHRONIZE, &attributes, &status, NULL, FILE_ATTRIBUTE_NORMAL,
                        FILE_SHARE_READ | FILE_SHARE_WRITE, Disposition, FILE_SYNCHRONOUS_IO_NONALERT, NULL, 0);
}

static ULONG Append(PCHAR Line, ULONG Length, PCSTR Text)
{
    while (*Text && Length < 510)
        Line[Length++] = *Text++;
    return Length;
}

/* "name", tab, "answer", tab, words. */
static VOID Tell(PCSTR Name, PCSTR Answer, PCSTR Words)
{
    CHAR line[512];
    ULONG length = Append(line, 0, Name);
    IO_STATUS_BLOCK status;

    length = Append(line, Append(line, length, "\t"), Answer);
    length = Append(line, Append(line, length, "\t"), Words);
    line[length++] = '\n';
    (void)ZwWriteFile(Said, NULL, NULL, NULL, &status, line, length, NULL, NULL);
}

/* Whether a name is a line of the list. */
static BOOLEAN Listed(PCSTR List, PCSTR Name)
{
    while (*List) {
        PCSTR name = Name;

        while (*name && *List == *name)
            List++, name++;
        if (!*name && (*List == '\n' || *List == 0))
            return TRUE;
        while (*List && *List++ != '\n')
            ;
    }
    return FALSE;
}

/* ---- running ------------------------------------------------------------------------------------ */

static VOID Guarded(const PROBE *Probe)
{
    __try {
        Probe->Run();
    } __except (Thrown = (NTSTATUS)GetExceptionCode(), EXCEPTION_EXECUTE_HANDLER) {
        Wrong("throws");
    }
}

static VOID NTAPI ProbeThread(PVOID Context)
{
    Guarded(Context);
    (void)InterlockedExchange(&Done, 1);
    (void)PsTerminateSystemThread(STATUS_SUCCESS);
}

static VOID NTAPI SetsAnEvent(PVOID Context)
{
    static KEVENT event;

    KeInitializeEvent(&event, NotificationEvent, FALSE);
    (void)KeSetEvent(&event, IO_NO_INCREMENT, FALSE);
    (void)InterlockedExchange(Context, 1);
    (void)PsTerminateSystemThread(STATUS_SUCCESS);
}

/* Without a wait for an object: of these Wine has one lock, which a wedged call may hold. */
static BOOLEAN Within(volatile LONG *Flag, ULONG Milliseconds)
{
    ULONG waited = 0, step;

    while (!*Flag && waited < Milliseconds) {
        step = waited < 20 ? 1 : 10;
        Sleep(step);
        waited += step;
    }
    return *Flag != 0;
}

static PCSTR Hexadecimal(ULONG Number)
{
    static CHAR text[11] = "0x";
    ULONG i;

    for (i = 0; i < 8; i++)
        text[2 + i] = "0123456789abcdef"[Number >> (28 - 4 * i) & 15];
    return text;
}

/* Whether another thread can do what nearly every driver does all the time. */
static BOOLEAN OthersLive(VOID)
{
    static volatile LONG done;

    done = 0;
    Beside(SetsAnEvent, (PVOID)(ULONG_PTR)&done);
    return Within(&done, 5000);
}

/* FALSE: the process is not fit for another. */
static BOOLEAN Ask(const PROBE *Probe)
{
    What = NULL;
    Thrown = 0;
    Done = 0;
    Tell(Probe->Name, "asked", "");
    Beside(ProbeThread, (PVOID)(ULONG_PTR)Probe);
    if (!Within(&Done, PATIENCE)) {
        Tell(Probe->Name, Wedges, OthersLive() ? "its thread" : "every driver");
        return FALSE;
    }
    if (What && !Thrown && !OthersLive()) {
        Tell(Probe->Name, Wedges, "every driver");
        return FALSE;
    }
    if (Thrown == NTSTATUS_OF_A_STUB)
        Tell(Probe->Name, "stub", "");
    else if (Thrown)
        Tell(Probe->Name, "throws", Hexadecimal((ULONG)Thrown));
    else if (What)
        Tell(Probe->Name, Kind, What);
    else
        Tell(Probe->Name, "right", "");
    return Thrown ? Thrown == NTSTATUS_OF_A_STUB : !What || Kind != Wedges;
}

static VOID NTAPI RunAll(PVOID Context)
{
    static CHAR todo[65536];
    IO_STATUS_BLOCK status;
    HANDLE file;
    ULONG i;

    UNREFERENCED_PARAMETER(Context);
    if (!NT_SUCCESS(OpenFile(&Said, L"\\??\\C:\\kshs\\calls.said", FILE_APPEND_DATA, FILE_OPEN_IF)))
        return;
    if (NT_SUCCESS(OpenFile(&file, L"\\??\\C:\\kshs\\calls.todo", FILE_READ_DATA, FILE_OPEN))) {
        (void)ZwReadFile(file, NULL, NULL, NULL, &status, todo, sizeof(todo) - 1, NULL, NULL);
        (void)ZwClose(file);
    }
    for (i = 0; i < RTL_NUMBER_OF(All); i++) {
        const PROBE *probe;

        for (probe = All[i]; probe->Name; probe++) {
            if (Listed(todo, probe->Name) && !Ask(probe)) {
                Tell("#", "stopped", "");
                (void)PsTerminateSystemThread(STATUS_SUCCESS);
            }
        }
    }
    Tell("#", "finished", "");
    (void)PsTerminateSystemThread(STATUS_SUCCESS);
}

/* ---- the device --------------------------------------------------------------------------------- */

static NTSTATUS Complete(PIRP Irp, NTSTATUS Status, ULONG_PTR Information)
{
    Irp->IoStatus.Status = Status;
    Irp->IoStatus.Information = Information;
    IoCompleteRequest(Irp, IO_NO_INCREMENT);
    return Status;
}

/* Counts one up. */
static NTSTATUS NTAPI Control(PDEVICE_OBJECT Device, PIRP Irp)
{
    PIO_STACK_LOCATION location = IoGetCurrentIrpStackLocation(Irp);
    PULONG buffer = Irp->AssociatedIrp.SystemBuffer;

    UNREFERENCED_PARAMETER(Device);
    if (location->Parameters.DeviceIoControl.OutputBufferLength < sizeof(*buffer) || !buffer)
        return Complete(Irp, STATUS_BUFFER_TOO_SMALL, 0);
    *buffer += 1;
    return Complete(Irp, STATUS_SUCCESS, sizeof(*buffer));
}

static NTSTATUS NTAPI ReadOrWrite(PDEVICE_OBJECT Device, PIRP Irp)
{
    UNREFERENCED_PARAMETER(Device);
    return Complete(Irp, STATUS_SUCCESS, IoGetCurrentIrpStackLocation(Irp)->Parameters.Read.Length);
}

static NTSTATUS NTAPI OpenOrClose(PDEVICE_OBJECT Device, PIRP Irp)
{
    UNREFERENCED_PARAMETER(Device);
    return Complete(Irp, STATUS_SUCCESS, 0);
}

static NTSTATUS NTAPI Pnp(PDEVICE_OBJECT Device, PIRP Irp)
{
    static volatile LONG started;
    UCHAR minor = IoGetCurrentIrpStackLocation(Irp)->MinorFunction;
    NTSTATUS status;

    if (Device != Fdo)
        return Complete(Irp, Irp->IoStatus.Status, Irp->IoStatus.Information);
    IoSkipCurrentIrpStackLocation(Irp);
    status = IoCallDriver(Lower, Irp);
    if (minor == IRP_MN_START_DEVICE && !InterlockedExchange(&started, 1))
        Beside(RunAll, NULL);
    return status;
}

static NTSTATUS NTAPI AddDevice(PDRIVER_OBJECT Object, PDEVICE_OBJECT Physical)
{
    NTSTATUS status = IoCreateDevice(Object, 0, NULL, FILE_DEVICE_UNKNOWN, 0, FALSE, &Fdo);

    if (!NT_SUCCESS(status))
        return status;
    Pdo = Physical;
    Lower = IoAttachDeviceToDeviceStack(Fdo, Physical);
    Fdo->Flags |= DO_BUFFERED_IO;
    Fdo->Flags &= ~(ULONG)DO_DEVICE_INITIALIZING;
    return STATUS_SUCCESS;
}

static VOID NTAPI Unload(PDRIVER_OBJECT Object)
{
    UNREFERENCED_PARAMETER(Object);
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT Object, PUNICODE_STRING RegistryPath)
{
    UNREFERENCED_PARAMETER(RegistryPath);
    Driver = Object;
    Object->DriverUnload = Unload;
    Object->DriverExtension->AddDevice = AddDevice;
    Object->MajorFunction[IRP_MJ_PNP] = Pnp;
    Object->MajorFunction[IRP_MJ_CREATE] = OpenOrClose;
    Object->MajorFunction[IRP_MJ_CLOSE] = OpenOrClose;
    Object->MajorFunction[IRP_MJ_CLEANUP] = OpenOrClose;
    Object->MajorFunction[IRP_MJ_READ] = ReadOrWrite;
    Object->MajorFunction[IRP_MJ_WRITE] = ReadOrWrite;
    Object->MajorFunction[IRP_MJ_DEVICE_CONTROL] = Control;
    return STATUS_SUCCESS;
}
