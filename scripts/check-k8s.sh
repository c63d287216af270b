#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Checks k8s/: schema of the Kubernetes API, least privilege, references, rendering, configuration, image
# (test/k8s/check.py). Checks whose tools are missing print SKIP and why.
#
# Usage: scripts/check-k8s.sh [BUILD_DIR]      (default: $BUILD_DIR, else build/)
set -euo pipefail

cd "$(dirname "$0")/.."
PYTHONDONTWRITEBYTECODE=1 exec /usr/bin/python3 test/k8s/check.py "${1:-${BUILD_DIR:-build}}"
