/* SPDX-License-Identifier: Apache-2.0
 * bcc brings struct bpf_insn and the opcodes itself.
 */
