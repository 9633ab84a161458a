/* SPDX-License-Identifier: Apache-2.0
 * bcc compares versions only for helpers that we do not use; any value from 5.10 on will do.
 */
#define KERNEL_VERSION(a, b, c) (((a) << 16) + ((b) << 8) + (c))
#define LINUX_VERSION_CODE KERNEL_VERSION(5, 10, 0)
