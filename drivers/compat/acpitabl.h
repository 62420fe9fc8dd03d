/* SPDX-License-Identifier: Apache-2.0
 *
 * acpitabl.h - where a device sits on its machine: the buffer of _PLD, laid out as the
 * ACPI specification has it ("_PLD (Physical Location of Device)", revision 2).
 */
#ifndef KSHS_COMPAT_ACPITABL_H
#define KSHS_COMPAT_ACPITABL_H

typedef enum {
    AcpiPldPanelTop,
    AcpiPldPanelBottom,
    AcpiPldPanelLeft,
    AcpiPldPanelRight,
    AcpiPldPanelFront,
    AcpiPldPanelBack,
    AcpiPldPanelUnknown
} AcpiPldPanel;

typedef enum {
    AcpiPldRotation0,
    AcpiPldRotation45,
    AcpiPldRotation90,
    AcpiPldRotation135,
    AcpiPldRotation180,
    AcpiPldRotation225,
    AcpiPldRotation270,
    AcpiPldRotation315
} AcpiPldRotation;

typedef struct _ACPI_PLD_V2_BUFFER {
    UINT32 Revision : 7;
    UINT32 IgnoreColor : 1;
    UINT32 Color : 24;
    UINT32 Width : 16;
    UINT32 Height : 16;
    UINT32 UserVisible : 1;
    UINT32 Dock : 1;
    UINT32 Lid : 1;
    UINT32 Panel : 3;
    UINT32 VerticalPosition : 2;
    UINT32 HorizontalPosition : 2;
    UINT32 Shape : 4;
    UINT32 GroupOrientation : 1;
    UINT32 GroupToken : 8;
    UINT32 GroupPosition : 8;
    UINT32 Bay : 1;
    UINT32 Ejectable : 1;
    UINT32 EjectionRequired : 1;
    UINT32 CabinetNumber : 8;
    UINT32 CardCageNumber : 8;
    UINT32 Reference : 1;
    UINT32 Rotation : 4;
    UINT32 Order : 5;
    UINT32 Reserved : 4;
    UINT32 VerticalOffset : 16;
    UINT32 HorizontalOffset : 16;
} ACPI_PLD_V2_BUFFER, *PACPI_PLD_V2_BUFFER;

#endif
