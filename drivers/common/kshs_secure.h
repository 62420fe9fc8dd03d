/* SPDX-License-Identifier: Apache-2.0
 *
 * kshs_secure.h - a control device that nobody but administrators and the
 * system may open.
 *
 * IoCreateDeviceSecure does the same, but comes from a library of the WDK that
 * must be linked statically; the routines below are exported by NT 5.x.  They are
 * looked up at run time because Wine, which has no security on devices, lacks some.
 * Include it after kshs_compat.h, in one file of a driver.
 */
#ifndef KSHS_SECURE_H
#define KSHS_SECURE_H

typedef NTSTATUS (NTAPI *kshs_open_by_pointer)(PVOID object, ULONG attributes, PACCESS_STATE state,
                                               ACCESS_MASK access, POBJECT_TYPE type, KPROCESSOR_MODE mode,
                                               PHANDLE handle);
typedef NTSTATUS (NTAPI *kshs_set_security)(HANDLE handle, SECURITY_INFORMATION information,
                                            PSECURITY_DESCRIPTOR sd);
typedef NTSTATUS (NTAPI *kshs_create_sd)(PSECURITY_DESCRIPTOR sd, ULONG revision);
typedef NTSTATUS (NTAPI *kshs_set_dacl)(PSECURITY_DESCRIPTOR sd, BOOLEAN present, PACL dacl, BOOLEAN defaulted);
typedef NTSTATUS (NTAPI *kshs_create_acl)(PACL acl, ULONG length, ULONG revision);
typedef NTSTATUS (NTAPI *kshs_add_ace)(PACL acl, ULONG revision, ACCESS_MASK access, PSID sid);

#define KSHS_ROUTINE(type, name) ((type)(ULONG_PTR)kshs_system_routine(name))

/* PASSIVE_LEVEL. */
static inline NTSTATUS kshs_secure_device(PDEVICE_OBJECT device)
{
    /* SIDs as they are stored: revision, count, authority 5 (NT), then the
     * sub-authorities.  Their C types stand in headers of file systems only. */
    static ULONG system_sid[] = { 0x00000101, 0x05000000, 18 };                 /* S-1-5-18 */
    static ULONG administrators_sid[] = { 0x00000201, 0x05000000, 32, 544 };    /* S-1-5-32-544 */
    kshs_open_by_pointer open = KSHS_ROUTINE(kshs_open_by_pointer, L"ObOpenObjectByPointer");
    kshs_set_security set = KSHS_ROUTINE(kshs_set_security, L"ZwSetSecurityObject");
    kshs_create_sd make_sd = KSHS_ROUTINE(kshs_create_sd, L"RtlCreateSecurityDescriptor");
    kshs_set_dacl put_dacl = KSHS_ROUTINE(kshs_set_dacl, L"RtlSetDaclSecurityDescriptor");
    kshs_create_acl make_acl = KSHS_ROUTINE(kshs_create_acl, L"RtlCreateAcl");
    kshs_add_ace add = KSHS_ROUTINE(kshs_add_ace, L"RtlAddAccessAllowedAce");
    union { ACL acl; UCHAR space[256]; } list;
    ULONG_PTR descriptor[8];                    /* SECURITY_DESCRIPTOR takes five */
    HANDLE handle;
    NTSTATUS status;

    if (kshs_is_wine())
        return STATUS_SUCCESS;
    if (!open || !set || !make_sd || !put_dacl || !make_acl || !add)
        return STATUS_NOT_SUPPORTED;
    status = make_sd(descriptor, SECURITY_DESCRIPTOR_REVISION);
    if (NT_SUCCESS(status))
        status = make_acl(&list.acl, sizeof list, ACL_REVISION);
    if (NT_SUCCESS(status))
        status = add(&list.acl, ACL_REVISION, GENERIC_ALL, system_sid);
    if (NT_SUCCESS(status))
        status = add(&list.acl, ACL_REVISION, GENERIC_ALL, administrators_sid);
    if (NT_SUCCESS(status))
        status = put_dacl(descriptor, TRUE, &list.acl, FALSE);
    if (!NT_SUCCESS(status))
        return status;
    status = open(device, OBJ_KERNEL_HANDLE, NULL, WRITE_DAC, NULL, KernelMode, &handle);
    if (!NT_SUCCESS(status))
        return status;
    status = set(handle, DACL_SECURITY_INFORMATION, descriptor);
    ZwClose(handle);
    return status;
}

#endif
