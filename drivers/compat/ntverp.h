/* SPDX-License-Identifier: Apache-2.0
 *
 * ntverp.h - the version of the product that a driver's resource script is of; no
 * product is known here.
 */
#ifndef VER_PRODUCTVERSION
#define VER_PRODUCTMAJORVERSION 10
#define VER_PRODUCTMINORVERSION 0
#define VER_PRODUCTBUILD 0
#define VER_PRODUCTBUILD_QFE 0
#define VER_PRODUCTVERSION 10, 0, 0, 0
#define VER_PRODUCTVERSION_STR "10.0.0.0"
#endif
