// SPDX-License-Identifier: Apache-2.0
// What is read rather than counted by us, as metric families.
#pragma once

#include <prometheus/metric_family.h>

#include <vector>

#include "agent/run/metrics.h"

namespace fairlead::run {

void AppendReadings(const Readings& readings, std::vector<prometheus::MetricFamily>& families);

// process_*, under the names of Prometheus' own client libraries. Nothing where /proc cannot be read.
void AppendProcess(std::vector<prometheus::MetricFamily>& families);

}  // namespace fairlead::run
