/* SPDX-License-Identifier: Apache-2.0
 *
 * refks.h - internals of the reference class driver.
 *
 * docs/refks.md says what the driver does where the published contract is
 * silent; this header says how its objects live.
 *
 * Device, filter factory, filter and pin each start with a REFKS_HEADER and
 * go on with the structure that the minidriver sees (KSDEVICE, KSFILTER ...),
 * so that either is found from the other by a constant offset.
 *
 * Two counts decide how long an object lives:
 *   Rundown     who is inside: requests, children, a creation under way.
 *               Once an object is closing nobody new gets in, and whoever
 *               leaves last finishes it (minidriver's Close included).
 *   References  who still holds a pointer to the memory.
 *
 * Locks, in the order in which they are taken:
 *   device mutex -> control mutex (one per filter, its pins use it too) -> REFKS_DEVICE.FactoriesLock ->
 *   spin locks (RefksLock, REFKS_DEVICE.BagLock; never both).
 * The mutexes leave the IRQL alone, because the minidriver is called at
 * PASSIVE_LEVEL under the first two, and none can be taken twice, as documented.
 */
#ifndef REFKS_H
#define REFKS_H

#define _KSDDK_ 1               /* we export what others import */
#include "kshs_compat.h"
#include "kshs_irp.h"
#include <ks.h>

#ifdef __clang__
/* ks.h's GUID initialisers are flat; clang alone objects. */
#pragma clang diagnostic ignored "-Wmissing-braces"
#endif

#define REFKS_TAG 'skfR'
#define REFKS_MAX_LINKS 8       /* device interfaces of one factory */

/* Documented, but mingw-w64 and the WDK declare it in the headers of file systems only. */
NTSYSAPI PEPROCESS NTAPI IoGetRequestorProcess(PIRP Irp);

/* ---- object.c: rundown, references, memory --------------------------------- */

typedef struct REFKS_HEADER REFKS_HEADER;
typedef struct REFKS_DEVICE REFKS_DEVICE;
typedef struct REFKS_FACTORY REFKS_FACTORY;
typedef struct REFKS_FILTER REFKS_FILTER;
typedef struct REFKS_PIN REFKS_PIN;

typedef struct REFKS_RUNDOWN {
    volatile LONG Value;        /* bit 0: closing; the rest: twice the number of those inside */
} REFKS_RUNDOWN;

typedef enum REFKS_CLOSING {
    RefksClosingIdle,           /* nobody was inside: the caller finishes the object */
    RefksClosingBusy,           /* whoever leaves last finishes it */
    RefksClosingAlready,        /* somebody else closed it */
} REFKS_CLOSING;

typedef struct REFKS_BAG {
    ULONG Signature;
    REFKS_DEVICE *Device;       /* whose bag lock and item list it uses */
    LIST_ENTRY Entries;
} REFKS_BAG;

#define REFKS_SIGNATURE_OBJECT 'bOfR'
#define REFKS_SIGNATURE_BAG 'gBfR'
#define REFKS_SIGNATURE_DEAD 'xxfR'

struct REFKS_HEADER {
    ULONG Signature;
    KSOBJECTTYPE Type;
    volatile LONG References;
    REFKS_RUNDOWN Rundown;
    REFKS_DEVICE *Device;
    REFKS_HEADER *Parent;       /* referenced */
    LIST_ENTRY Children;
    LIST_ENTRY Sibling;         /* in Parent->Children */
    LIST_ENTRY Open;            /* filters and pins: in REFKS_DEVICE.Open, under RefksLock */
    PFILE_OBJECT FileObject;    /* under RefksLock; NULL once the handle is gone */
    PIRP CloseIrp;              /* IRP_MJ_CLOSE that waits for the object to finish */
    PIRP LateCloseIrp;          /* the same, when its device's removal closed the object first */
    BOOLEAN CloseIrpIsPrivate;  /* there was no real one */
    BOOLEAN Created;            /* the minidriver's Create succeeded, so its Close is due */
    BOOLEAN Linked;             /* in Parent->Children */
    REFKS_HEADER *Lender;       /* whose file object it takes over: a pin's parent (make-pin control), or a filter of
                                   another factory, entered and referenced until it is closed (make-filter) */
    BOOLEAN OnLoan;             /* it has it */
    REFKS_BAG Bag;
};

struct REFKS_DEVICE {
    REFKS_HEADER Header;
    KSDEVICE Public;
    FAST_MUTEX Mutex;
    PDRIVER_OBJECT DriverObject;
    LIST_ENTRY All;             /* in the list of devices, under RefksLock */
    LIST_ENTRY Open;            /* every filter and pin, under RefksLock */
    KSPIN_LOCK BagLock;
    LIST_ENTRY BagItems;
    FAST_MUTEX FactoriesLock;   /* of the list of factories, beside the device mutex, and of the next one */
    LIST_ENTRY Categories;      /* Wine: category.c */
    KEVENT Drained;             /* nobody inside a closing device any more */
    volatile LONG Removed;      /* surprise removal or removal has begun: requests fail */
    volatile LONG TeardownParties;
    PIO_WORKITEM LateItem;      /* NULL where no IRQL is ever raised */
    LIST_ENTRY Late;            /* IRPs that it is to end, under RefksLock */
    BOOLEAN LateQueued;         /* the work item is on its way, or runs; under RefksLock */
};

struct REFKS_FACTORY {
    REFKS_HEADER Header;
    KSFILTERFACTORY Public;
    UNICODE_STRING Reference;
    struct REFKS_CREATE_ITEM *volatile CreateItems;     /* more names; grows at its head, until the factory goes */
    UNICODE_STRING Links[REFKS_MAX_LINKS];
    ULONG LinkCount;
    BOOLEAN Enabled;
};

struct REFKS_FILTER {
    REFKS_HEADER Header;
    KSFILTER Public;
    FAST_MUTEX Control;
    FAST_MUTEX Processing;      /* taken by nobody but the minidriver: nothing is processed */
    KSGATE Gate;
};

struct REFKS_PIN {
    REFKS_HEADER Header;
    KSPIN Public;
    PFNKSPINHANDSHAKE Handshake;
    FAST_MUTEX Processing;
    KSGATE Gate;
    REFKS_PIN *Peer;            /* other end, under RefksLock */
    PFILE_OBJECT ConnectedFile; /* source only, referenced */
    PFILE_OBJECT ParentFile;    /* of the filter, referenced; NULL when OnLoan */
    HANDLE Creator;             /* id of the process that opened it */
    BOOLEAN Connects;           /* the minidriver's Connect succeeded, so its Disconnect is due */
};

#define REFKS_HEADER_OF(object) ((REFKS_HEADER *)(object) - 1)
#define REFKS_OBJECT_OF(header) ((PVOID)((header) + 1))
#define REFKS_DEVICE_OF(object) CONTAINING_RECORD(object, REFKS_DEVICE, Public)
#define REFKS_FILTER_OF(object) CONTAINING_RECORD(object, REFKS_FILTER, Public)
#define REFKS_PIN_OF(object) CONTAINING_RECORD(object, REFKS_PIN, Public)

C_ASSERT(FIELD_OFFSET(REFKS_DEVICE, Public) == sizeof(REFKS_HEADER));
C_ASSERT(FIELD_OFFSET(REFKS_FACTORY, Public) == sizeof(REFKS_HEADER));
C_ASSERT(FIELD_OFFSET(REFKS_FILTER, Public) == sizeof(REFKS_HEADER));
C_ASSERT(FIELD_OFFSET(REFKS_PIN, Public) == sizeof(REFKS_HEADER));

/* Guards FILE_OBJECT.FsContext of our file objects, the lists of open objects, and who is connected to whom. */
extern KSPIN_LOCK RefksLock;

PVOID RefksAllocate(SIZE_T Size);               /* zeroed, non-paged; NULL */
void RefksFree(PVOID Memory);

void RefksInitializeHeader(REFKS_HEADER *Header, KSOBJECTTYPE Type, REFKS_DEVICE *Device, REFKS_HEADER *Parent);
void RefksReference(REFKS_HEADER *Header);
void RefksDereference(REFKS_HEADER *Header);

BOOLEAN RefksEnter(REFKS_HEADER *Header);       /* FALSE: it is closing */
void RefksLeave(REFKS_HEADER *Header);          /* PASSIVE_LEVEL, no lock held: may finish the object */
BOOLEAN RefksCloseIfIdle(REFKS_HEADER *Header); /* TRUE: closing now, and the caller finishes it */
REFKS_CLOSING RefksClose(REFKS_HEADER *Header); /* of filters and pins: RefksLock held */
REFKS_CLOSING RefksCloseUnlocked(REFKS_HEADER *Header);  /* takes RefksLock */
BOOLEAN RefksIsClosing(const REFKS_HEADER *Header);
NTSTATUS RefksFinish(REFKS_HEADER *Header);     /* by type; STATUS_PENDING: the minidriver will complete the close */

void RefksLockMutex(PFAST_MUTEX Mutex);
void RefksUnlockMutex(PFAST_MUTEX Mutex);
HANDLE RefksRequestor(PIRP Irp);                /* id of the process that sent it; NULL: unknown */
BOOLEAN RefksSameGuid(const GUID *One, const GUID *Other);
/* An IRP that is never sent, for a minidriver's routine that must be called when there is no real one. */
PIRP RefksPrivateIrp(REFKS_HEADER *Header, UCHAR Major, UCHAR Minor);

/* ---- device.c, pnp.c --------------------------------------------------------- */

REFKS_DEVICE *RefksDeviceFromDeviceObject(PDEVICE_OBJECT DeviceObject);  /* referenced; NULL */
const KSDEVICE_DESCRIPTOR *RefksDriverDescriptor(PDRIVER_OBJECT DriverObject);
void RefksDeviceFinish(REFKS_DEVICE *Device);
void RefksDeviceRemove(REFKS_DEVICE *Device, PIRP Irp);
void RefksDeviceDetach(REFKS_DEVICE *Device);

DRIVER_DISPATCH RefksDispatchPnp;
DRIVER_DISPATCH RefksDispatchPower;
DRIVER_DISPATCH RefksDispatchForward;

/* ---- factory.c ---------------------------------------------------------------- */

NTSTATUS RefksCreateFactories(REFKS_DEVICE *Device);
void RefksDeleteFactories(REFKS_DEVICE *Device);
NTSTATUS RefksRegisterFactories(REFKS_DEVICE *Device);          /* device interfaces, not yet enabled */
void RefksEnableFactories(REFKS_DEVICE *Device, BOOLEAN Enable);
void RefksDeleteFactory(REFKS_FACTORY *Factory);                /* device mutex held, or nobody else left */
/* Device mutex or FactoriesLock held. */
REFKS_FACTORY *RefksFindFactory(REFKS_DEVICE *Device, const WCHAR *Name, ULONG Characters);

BOOLEAN RefksIsFirst(const REFKS_FACTORY *Factory);

/* ---- category.c: Wine alone ------------------------------------------------------ */

NTSTATUS RefksUpdateCategories(REFKS_DEVICE *Device);           /* a factory was enabled, disabled or deleted */
/* A copy of the name without a reference string; FALSE: there is none that is enabled. */
BOOLEAN RefksPlainLink(REFKS_DEVICE *Device, const GUID *Id, PUNICODE_STRING Link);
void RefksForgetCategories(REFKS_DEVICE *Device);

/* ---- dispatch.c ----------------------------------------------------------------- */

DRIVER_DISPATCH RefksDispatchCreate;
DRIVER_DISPATCH RefksDispatchCleanup;
DRIVER_DISPATCH RefksDispatchClose;
DRIVER_DISPATCH RefksDispatchControl;

#define REFKS_PIN_NAME_CHARACTERS (sizeof(KSSTRING_Pin) / sizeof(WCHAR) - 1)
BOOLEAN RefksIsPinName(const WCHAR *Name, ULONG Characters);    /* what follows a backslash behind it is the pin's */
NTSTATUS RefksEndCreate(REFKS_HEADER *Header, PIRP Irp, NTSTATUS Status);  /* completes the IRP */
PIRP RefksCloseIrp(REFKS_HEADER *Header);       /* for the minidriver's Close; NULL: out of memory */
void RefksEndClose(REFKS_HEADER *Header);       /* completes or frees it */

/* ---- fileobject.c ------------------------------------------------------------------------ */

void RefksOpenFileObject(PFILE_OBJECT FileObject, PDEVICE_OBJECT Functional);   /* nobody's so far */
void RefksReleaseDevices(PFILE_OBJECT FileObject, PDEVICE_OBJECT Functional);   /* which that holds */
BOOLEAN RefksIsNobodys(const FILE_OBJECT *FileObject);          /* open, on Wine, and its open was refused */
void RefksMarkClosed(PFILE_OBJECT FileObject);                  /* RefksLock held */
/* Enters the object behind a file object of ours; NULL: closed, or never opened. */
REFKS_HEADER *RefksEnterFileObject(PFILE_OBJECT FileObject);
REFKS_HEADER *RefksHeaderFromFileObject(PFILE_OBJECT FileObject);
BOOLEAN RefksBindFileObject(REFKS_HEADER *Header, PFILE_OBJECT FileObject, BOOLEAN OnLoan);
void RefksUnbindFileObject(REFKS_HEADER *Header);
void RefksKeepLoan(REFKS_HEADER *Header);
void RefksLinkOpen(REFKS_HEADER *Header);       /* into the parent's children and the device's open objects */
void RefksUnlinkOpen(REFKS_HEADER *Header);

/* ---- make.c: what Wine's I/O manager cannot open, and what its client asks ---------------- */

NTSTATUS RefksMakePin(REFKS_HEADER *Header, PIRP Irp);
/* Leaves the header, which is NULL where the open of the device's first factory was refused. */
NTSTATUS RefksMakeFilter(PDEVICE_OBJECT DeviceObject, REFKS_HEADER *Header, PIRP Irp);
NTSTATUS RefksHeld(REFKS_HEADER *Header, PIRP Irp);

/* ---- filter.c, pin.c, connect.c, state.c ------------------------------------------ */

NTSTATUS RefksCreateFilter(REFKS_DEVICE *Device, PIRP Irp, const WCHAR *Name, ULONG Characters);
/* The file object, and Lender's if there is one, becomes a filter of the named factory; the caller has entered Lender,
 * and this leaves it.  Completes the IRP, unless the minidriver will. */
NTSTATUS RefksTurnFilter(REFKS_DEVICE *Device, PIRP Irp, const WCHAR *Name, ULONG Characters, REFKS_HEADER *Lender);
NTSTATUS RefksFinishFilter(REFKS_FILTER *Filter);
void RefksFilterClosed(REFKS_FILTER *Filter);
const KSPIN_DESCRIPTOR_EX *RefksPinDescriptor(const REFKS_FILTER *Filter, ULONG PinId);  /* NULL: no such pin */
const KSPIN_DESCRIPTOR_EX *RefksPinDescriptorIn(const KSFILTER_DESCRIPTOR *Descriptor, ULONG PinId);
ULONG RefksPinCount(REFKS_FILTER *Filter, ULONG PinId);         /* control mutex held */

/* Creates a pin from the bytes that follow "{KSNAME_Pin}\" in a native name. */
NTSTATUS RefksCreatePin(REFKS_FILTER *Filter, PIRP Irp, PFILE_OBJECT FileObject, BOOLEAN OnLoan,
                        const UCHAR *Parameters, ULONG Length);
NTSTATUS RefksFinishPin(REFKS_PIN *Pin);
void RefksPinClosed(REFKS_PIN *Pin);
REFKS_FILTER *RefksPinFilter(const REFKS_PIN *Pin);

typedef struct REFKS_CONNECT {  /* a checked connect request */
    KSPIN_CONNECT Connect;
    PKSDATAFORMAT Format;       /* pool; whoever takes it sets this to NULL */
    PKSMULTIPLE_ITEM Attributes;/* inside Format's block, or NULL */
} REFKS_CONNECT;

NTSTATUS RefksParseConnect(const UCHAR *Parameters, ULONG Length, REFKS_CONNECT *Connect);
NTSTATUS RefksCheckConnect(const KSPIN_DESCRIPTOR *Descriptor, const REFKS_CONNECT *Connect);
/* Asks ranges and minidriver about Pin->ConnectionFormat.  Control mutex held. */
NTSTATUS RefksMatchFormat(REFKS_PIN *Pin, PKSDATAFORMAT OldFormat, PKSMULTIPLE_ITEM OldAttributes);
BOOLEAN RefksFormatInRange(const KSDATAFORMAT *Format, const KSDATARANGE *Range);
/* The range at *Index, and *Index moved to the next one; NULL: there are no more. */
const KSDATARANGE *RefksNextRange(const KSPIN_DESCRIPTOR *Descriptor, PULONG Index,
                                  const KSATTRIBUTE_LIST **Attributes);
extern const KSPIN_INTERFACE RefksDefaultInterface;
extern const KSPIN_MEDIUM RefksDefaultMedium;
NTSTATUS RefksConnectPins(REFKS_PIN *Source, HANDLE PinToHandle, PIRP Irp);
void RefksDisconnectPin(REFKS_PIN *Pin);

NTSTATUS RefksSetPinState(REFKS_PIN *Pin, KSSTATE State);       /* control mutex held */

/* ---- topology.c, pindesc.c, names.c ---------------------------------------------------------- */

/* Every read of it may find another one; each is constant and stays until the filter is closed. */
const KSFILTER_DESCRIPTOR *RefksFilterDescriptor(const REFKS_FILTER *Filter);
#define REFKS_TOPOLOGY_ITEMS 4
extern const GUID RefksTopologySetId;
extern const KSPROPERTY_ITEM RefksTopologyItems[REFKS_TOPOLOGY_ITEMS];
extern const KSPROPERTY_SET RefksNodeSets[];
extern const ULONG RefksNodeSetsCount;

/* Something of variable size: its size alone where there is no output buffer, or all of it. */
NTSTATUS RefksGiveBlock(PIRP Irp, PVOID Data, const VOID *Block, ULONG Size);
NTSTATUS RefksGiveUlong(PIRP Irp, PVOID Data, ULONG Value);
NTSTATUS RefksGiveName(PIRP Irp, PVOID Data, const GUID *Id);           /* Id NULL: STATUS_NOT_FOUND */
NTSTATUS RefksPinDescriptorProperty(PIRP Irp, ULONG Id, PVOID Data, const KSPIN_DESCRIPTOR *Descriptor);
NTSTATUS RefksIntersect(PIRP Irp, PKSP_PIN Request, PVOID Data, const KSPIN_DESCRIPTOR *Descriptor,
                        PFNKSINTERSECTHANDLEREX Handler, PVOID Context);

/* ---- request.c, property.c, method.c, pinprops.c ----------------------------------------------- */

/* What sets of properties, methods and events have in common.  Those of events end after Items. */
typedef struct REFKS_SET {
    const GUID *Set;
    ULONG Count;
    const VOID *Items;
    ULONG FastCount;
    const VOID *FastItems;
} REFKS_SET;

/* Runs the control for an object that the caller has entered; leaves the object and completes the IRP. */
NTSTATUS RefksProperty(REFKS_HEADER *Header, PIRP Irp);
NTSTATUS RefksMethod(REFKS_HEADER *Header, PIRP Irp);
BOOLEAN RefksCompleteRequest(PIRP Irp);         /* FALSE: not a request for a property or a method */

extern const KSPROPERTY_SET RefksFilterSets[];
extern const ULONG RefksFilterSetsCount;
extern const KSPROPERTY_SET RefksPinSets[];
extern const ULONG RefksPinSetsCount;

/* ---- late.c -------------------------------------------------------------------------------------- */

NTSTATUS RefksInitializeLate(REFKS_DEVICE *Device);
void RefksEndLate(REFKS_DEVICE *Device);
/* TRUE: the IRQL is raised, and RefksEndPending is called for the IRP later, below it. */
BOOLEAN RefksPostpone(PIRP Irp);
void RefksEndPending(PIRP Irp);                 /* what KsCompletePendingRequest does; PASSIVE_LEVEL */

/* ---- guard.c: a sender's raw pointers; each answers the exception that they raised ---- */

NTSTATUS RefksCaptureIn(PVOID To, const VOID *From, SIZE_T Length, KPROCESSOR_MODE Mode);
NTSTATUS RefksCheckOut(PVOID To, SIZE_T Length, KPROCESSOR_MODE Mode);
NTSTATUS RefksDeliverOut(PVOID To, const VOID *From, SIZE_T Length);
/* A buffer of user mode that is written in another process than its own, or when its pages may be out: they are
 * locked.  *Mdl NULL: To itself is good everywhere. */
NTSTATUS RefksLockOut(PVOID To, SIZE_T Length, KPROCESSOR_MODE Mode, PMDL *Mdl);
NTSTATUS RefksDeliverLocked(PMDL Mdl, const VOID *From, SIZE_T Length);
void RefksUnlockOut(PMDL Mdl);

/* ---- handshake.c ----------------------------------------------------------------------- */

NTSTATUS RefksHandshake(REFKS_HEADER *Header, PIRP Irp, ULONG_PTR *Information);

/* ---- syncio.c ------------------------------------------------------------------------------ */

/* Sends an IRP whose next location is filled, and waits until it is ours again; answers its status. */
NTSTATUS RefksSend(PIRP Irp, PDEVICE_OBJECT Device);

/* ---- missing.c ------------------------------------------------------------------------------ */

void RefksWriteMissing(void);                   /* puts on record what could not be written when it was called */

/* ---- bag.c -------------------------------------------------------------------------------- */

void RefksInitializeBag(REFKS_BAG *Bag, REFKS_DEVICE *Device);
void RefksEmptyBag(REFKS_BAG *Bag);

/* What a minidriver answered, for whoever installs it (started.c); STATUS_PENDING while it is asked. */
#define REFKS_INITIALIZE L"\\Registry\\Machine\\SOFTWARE\\kshs\\ReferenceKs\\KsInitializeDriver"
#define REFKS_ADD_DEVICE L"\\Registry\\Machine\\SOFTWARE\\kshs\\ReferenceKs\\AddDevice"
#define REFKS_START L"\\Registry\\Machine\\SOFTWARE\\kshs\\ReferenceKs\\Start"
VOID RefksRecordStart(PDRIVER_OBJECT DriverObject, PCWSTR Stage, NTSTATUS Status);

#endif
