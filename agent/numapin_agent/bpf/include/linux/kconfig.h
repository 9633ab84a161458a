/* SPDX-License-Identifier: Apache-2.0
 * bcc force-includes this path; the two options are what its helpers ask for.
 */
#define CONFIG_BPF 1
#define CONFIG_BPF_SYSCALL 1
