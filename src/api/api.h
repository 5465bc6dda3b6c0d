/* SPDX-License-Identifier: Apache-2.0 */
/* api: the public functions of include/scruple.h over the internal layers.
 *
 * Owns: the translation between the two, and nothing else. Does not own any analysis. It stands
 * right of report because a public call can return a rendered document. */
#ifndef SC_API_H
#define SC_API_H

#include "scruple.h"

#endif
