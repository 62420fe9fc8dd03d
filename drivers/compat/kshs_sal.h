/* SPDX-License-Identifier: Apache-2.0
 *
 * kshs_sal.h - annotations of the older kind ("Header Annotations", Windows desktop documentation), which
 * mingw-w64 does not know: nothing of them is left.
 */
#ifndef KSHS_COMPAT_SAL_H
#define KSHS_COMPAT_SAL_H

#include <driverspecs.h>
#include <specstrings.h>

#ifndef __in
#define __in
#define __out
#define __inout
#define __in_opt
#define __out_opt
#define __inout_opt
#define __in_z
#define __in_z_opt
#define __out_z
#define __inout_z
#define __in_nz
#define __deref_in
#define __deref_in_opt
#define __deref_out
#define __deref_out_opt
#define __deref_opt_out
#define __deref_opt_out_opt
#define __deref_inout
#define __deref_inout_opt
#define __deref_out_z
#define __nullterminated
#define __checkReturn
#define __format_string
#define __allocator
#define __control_entrypoint
#define __rpc_entry
#define __notnull
#define __maybenull
#define __readonly
#define __notreadonly
#define __notvalid
#define __in_bcount(size)
#define __in_bcount_opt(size)
#define __in_ecount(size)
#define __in_ecount_opt(size)
#define __out_bcount(size)
#define __out_bcount_opt(size)
#define __out_ecount(size)
#define __out_ecount_opt(size)
#define __inout_bcount(size)
#define __inout_bcount_opt(size)
#define __inout_ecount(size)
#define __inout_ecount_opt(size)
#define __deref_out_bcount(size)
#define __deref_out_bcount_opt(size)
#define __deref_out_ecount(size)
#define __deref_out_ecount_opt(size)
#define __deref_inout_bcount(size)
#define __deref_inout_bcount_opt(size)
#define __deref_inout_ecount(size)
#define __deref_inout_ecount_opt(size)
#define __in_ecount_z(size)
#define __in_bcount_z(size)
#define __out_ecount_z(size)
#define __out_bcount_z(size)
#define __inout_ecount_z(size)
#define __inout_bcount_z(size)
#define __out_bcount_full(size)
#define __out_bcount_full_opt(size)
#define __out_ecount_full(size)
#define __out_ecount_full_opt(size)
#define __inout_bcount_full(size)
#define __inout_bcount_full_opt(size)
#define __inout_ecount_full(size)
#define __inout_ecount_full_opt(size)
#define __deref_out_bcount_full(size)
#define __deref_out_bcount_full_opt(size)
#define __deref_out_ecount_full(size)
#define __deref_out_ecount_full_opt(size)
#define __out_bcount_part(size, length)
#define __out_bcount_part_opt(size, length)
#define __out_ecount_part(size, length)
#define __out_ecount_part_opt(size, length)
#define __inout_bcount_part(size, length)
#define __inout_bcount_part_opt(size, length)
#define __inout_ecount_part(size, length)
#define __inout_ecount_part_opt(size, length)
#define __deref_out_bcount_part(size, length)
#define __deref_out_bcount_part_opt(size, length)
#define __deref_out_ecount_part(size, length)
#define __deref_out_ecount_part_opt(size, length)
#define __success(expression)
#define __range(low, high)
#define __in_range(low, high)
#define __out_range(low, high)
#define __typefix(type)
#endif

/* Of the newer kind, what driverspecs.h lacks. */
#ifndef _Dispatch_type_
#define _Dispatch_type_(type)
#endif

#endif
