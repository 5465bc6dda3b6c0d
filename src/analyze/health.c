/* SPDX-License-Identifier: Apache-2.0 */
/* health: the metric groups, in the order in which they are shown. */
#include "analyze/health.h"

const struct sc_metric_group *const sc_metric_groups[] = {
    &sc_metrics_basic, &sc_metrics_sparsity, &sc_metrics_quantization, &sc_metrics_spectral, NULL,
};
