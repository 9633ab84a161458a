/* SPDX-License-Identifier: Apache-2.0
 * Included by bcc by name; nothing of it is needed.
 */
