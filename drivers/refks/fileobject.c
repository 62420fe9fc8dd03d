/* SPDX-License-Identifier: Apache-2.0
 *
 * fileobject.c - which object a file object stands for, and who is open.
 */
#include "refks.h"

/* FILE_OBJECT.FsContext2 while a handle is open, also when its open was refused: Wine alone looks at it. */
static const UCHAR OpenMark = 0;

REFKS_HEADER *RefksEnterFileObject(PFILE_OBJECT FileObject)
{
    REFKS_HEADER *header;
    KIRQL irql;

    /* Under the lock, because Wine closes a file object while others still hold references to it. */
    KeAcquireSpinLock(&RefksLock, &irql);
    header = FileObject->FsContext;
    if (header && !RefksEnter(header))
        header = NULL;
    KeReleaseSpinLock(&RefksLock, irql);
    return header;
}

REFKS_HEADER *RefksHeaderFromFileObject(PFILE_OBJECT FileObject)
{
    return FileObject ? FileObject->FsContext : NULL;
}

/* Whether nobody but the request that asks for it is in the file object's filter, or, without a lender, whether
 * the file object is open and nobody's.  RefksLock held. */
static BOOLEAN CanLend(const REFKS_HEADER *Header, const FILE_OBJECT *FileObject)
{
    if (FileObject->FsContext != Header->Lender)
        return FALSE;
    if (!Header->Lender)
        return FileObject->FsContext2 == &OpenMark;
    return Header->Type == KsObjectTypePin || Header->Lender->Rundown.Value == 2;
}

/* What is on loan takes the file object over from Header->Lender; FALSE: there is none to lend. */
BOOLEAN RefksBindFileObject(REFKS_HEADER *Header, PFILE_OBJECT FileObject, BOOLEAN OnLoan)
{
    BOOLEAN bound;
    KIRQL irql;

    KeAcquireSpinLock(&RefksLock, &irql);
    bound = !OnLoan || CanLend(Header, FileObject);
    if (bound) {
        if (OnLoan && Header->Lender)
            Header->Lender->FileObject = NULL;
        Header->OnLoan = OnLoan;
        FileObject->FsContext = Header;
        Header->FileObject = FileObject;
    }
    KeReleaseSpinLock(&RefksLock, irql);
    return bound;
}

/* What is on loan and never came to be gives the file object back, unless that was closed meanwhile. */
void RefksUnbindFileObject(REFKS_HEADER *Header)
{
    PFILE_OBJECT file;
    KIRQL irql;

    KeAcquireSpinLock(&RefksLock, &irql);
    file = Header->FileObject;
    Header->FileObject = NULL;
    if (file && Header->OnLoan && !Header->Created && !Header->CloseIrp) {
        file->FsContext = Header->Lender;
        if (Header->Lender)
            Header->Lender->FileObject = file;
        Header->OnLoan = FALSE;
    } else if (file) {
        file->FsContext = NULL;
    }
    KeReleaseSpinLock(&RefksLock, irql);
}

/* A filter that has come to be keeps what it was lent, and its lender is closed. */
void RefksKeepLoan(REFKS_HEADER *Header)
{
    REFKS_HEADER *lender;
    KIRQL irql;

    KeAcquireSpinLock(&RefksLock, &irql);
    lender = Header->Lender;
    Header->Lender = NULL;
    Header->OnLoan = FALSE;
    KeReleaseSpinLock(&RefksLock, irql);
    if (!lender)
        return;
    (void)RefksCloseUnlocked(lender);           /* busy with us: the leave finishes it */
    RefksLeave(lender);
    RefksDereference(lender);
}

void RefksLinkOpen(REFKS_HEADER *Header)
{
    KIRQL irql;

    InsertTailList(&Header->Parent->Children, &Header->Sibling);
    Header->Linked = TRUE;
    KeAcquireSpinLock(&RefksLock, &irql);
    InsertTailList(&Header->Device->Open, &Header->Open);
    KeReleaseSpinLock(&RefksLock, irql);
}

void RefksUnlinkOpen(REFKS_HEADER *Header)
{
    KIRQL irql;

    if (!Header->Linked)
        return;
    RemoveEntryList(&Header->Sibling);
    Header->Linked = FALSE;
    KeAcquireSpinLock(&RefksLock, &irql);
    RemoveEntryList(&Header->Open);
    KeReleaseSpinLock(&RefksLock, irql);
}

/* Wine frees a device's memory under open handles.  Whoever still holds a file object follows its pointers to
 * the device stack, so each handle keeps that memory. */
void RefksOpenFileObject(PFILE_OBJECT FileObject, PDEVICE_OBJECT Functional)
{
    FileObject->FsContext = NULL;
    if (kshs_is_wine())
        FileObject->FsContext2 = (PVOID)&OpenMark;
    if (kshs_is_wine() && FileObject->DeviceObject) {
        ObReferenceObject(FileObject->DeviceObject);
        ObReferenceObject(Functional);
    }
}

void RefksReleaseDevices(PFILE_OBJECT FileObject, PDEVICE_OBJECT Functional)
{
    if (kshs_is_wine() && FileObject->DeviceObject) {
        ObDereferenceObject(FileObject->DeviceObject);
        ObDereferenceObject(Functional);
    }
}

/* An open that was refused, whose handle Wine gives out all the same. */
BOOLEAN RefksIsNobodys(const FILE_OBJECT *FileObject)
{
    return kshs_is_wine() && !FileObject->FsContext && FileObject->FsContext2 == &OpenMark;
}

void RefksMarkClosed(PFILE_OBJECT FileObject)
{
    if (FileObject->FsContext2 == &OpenMark)
        FileObject->FsContext2 = NULL;
}
