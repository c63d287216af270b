// SPDX-License-Identifier: Apache-2.0
// The fields of KubeProxyConfiguration and the flags of kube-proxy, those of earlier releases included, that
// have no effect here: read, checked, and answered with the reason. Values that ask for what happens anyway
// are not mentioned.
#include "agent/config/take.h"

namespace fairlead::config {

namespace {

using std::chrono::milliseconds;

constexpr std::string_view kWindows = "it is about Windows nodes";
constexpr std::string_view kClient = "the agent holds a few watches, which need no rate limit";
constexpr std::string_view kJson = "objects are asked for and read as JSON";
constexpr std::string_view kLog = "the log is plain text on standard error; -v sets how much of it";
constexpr std::string_view kRemoved = "kube-proxy has dropped it too";
constexpr std::string_view kWatch =
    "the watch delivers changes as they happen, so nothing is fetched by the clock";
constexpr std::string_view kNoUserspace = "there is no userspace proxy";

constexpr auto kNatural = ReadInteger<0, 2147483647>;

// Items are {filePattern, verbosity} in the file, pattern=N in the flag; only that there are any matters.
Result<std::vector<std::string>> ReadPatterns(const Value& value) {
  if (value.form == Value::Form::kList) return std::vector<std::string>(value.items.size(), "pattern");
  return AsList(value);
}

// logging.flushFrequency is a duration, or nanoseconds as a number.
Result<milliseconds> ReadFlushFrequency(const Value& value) {
  if (auto number = kNatural(value)) return milliseconds(*number / 1'000'000);
  if (auto number = ReadInteger<0, INT64_MAX>(value)) return milliseconds(*number / 1'000'000);
  return AsDuration(value);
}

// A resource quantity: a number or a text; 0 is the default.
Result<std::string> ReadQuantity(const Value& value) {
  if (value.form == Value::Form::kPlain || value.form == Value::Form::kQuoted ||
      value.form == Value::Form::kFlag) {
    return value.text;
  }
  return AsText(value);
}

Take NoEffectText(std::string_view why, std::vector<std::string> silent = {}) {
  return NoEffect<std::string>(&AsText, why, std::move(silent));
}
Take NoEffectSwitch(std::string_view why) {
  return NoEffect<bool>(&AsBool, why);
}
Take NoEffectTime(std::string_view why, std::vector<milliseconds> silent = {}) {
  return NoEffect<milliseconds>(&AsDuration, why, std::move(silent));
}
Take NoEffectCount(std::string_view why, std::vector<int64_t> silent = {}) {
  return NoEffect<int64_t>(kNatural, why, std::move(silent));
}

}  // namespace

std::vector<Field> KubeProxyFieldsWithoutEffect() {
  using enum Shape;
  using std::chrono::minutes;
  using std::chrono::seconds;

  std::vector<Field> fields = {
      // --- the cluster and this node
      {"clientConnection.acceptContentTypes", "", kOne, "", NoEffectText(kJson)},
      {"clientConnection.contentType", "kube-api-content-type", kOne, "",
       NoEffectText(kJson, {"application/vnd.kubernetes.protobuf", "application/json"})},
      {"clientConnection.qps", "kube-api-qps", kOne, "", NoEffect<double>(&AsNumber, kClient, {5.0})},
      {"clientConnection.burst", "kube-api-burst", kOne, "", NoEffectCount(kClient, {10})},
      {"configSyncPeriod", "config-sync-period", kOne, "", NoEffectTime(kWatch, {minutes(15)})},

      // --- what is served, and to whom
      {"iptables.snatNodeInternalIP", "", kSwitch, "",
       NoEffectSwitch("masqueraded packets take the address of the device they leave by")},

      // --- listeners and the process
      {"enableProfiling", "profiling", kSwitch, "", NoEffectSwitch("there are no profiling handlers")},
      {"showHiddenMetricsForVersion", "show-hidden-metrics-for-version", kOne, "",
       NoEffectText("no metric is hidden")},
      {"logging.format", "logging-format", kOne, "", NoEffectText(kLog, {"text"})},
      {"logging.flushFrequency", "log-flush-frequency", kOne, "",
       NoEffect<milliseconds>(&ReadFlushFrequency, kLog, {seconds(5)})},
      {"logging.vmodule", "vmodule", kMany, "", NoEffect<std::vector<std::string>>(&ReadPatterns, kLog)},
      {"logging.options.text.splitStream", "log-text-split-stream", kSwitch, "", NoEffectSwitch(kLog)},
      {"logging.options.text.infoBufferSize", "log-text-info-buffer-size", kOne, "",
       NoEffect<std::string>(&ReadQuantity, kLog, {"0"})},
      {"logging.options.json.splitStream", "log-json-split-stream", kSwitch, "", NoEffectSwitch(kLog)},
      {"logging.options.json.infoBufferSize", "log-json-info-buffer-size", kOne, "",
       NoEffect<std::string>(&ReadQuantity, kLog, {"0"})},

      // --- for others
      {"winkernel.networkName", "network-name", kOne, "", NoEffectText(kWindows)},
      {"winkernel.sourceVip", "source-vip", kOne, "", NoEffectText(kWindows)},
      {"winkernel.enableDSR", "enable-dsr", kSwitch, "", NoEffectSwitch(kWindows)},
      {"winkernel.rootHnsEndpointName", "root-hnsendpoint-name", kOne, "", NoEffectText(kWindows)},
      {"winkernel.forwardHealthCheckVip", "forward-healthcheck-vip", kSwitch, "", NoEffectSwitch(kWindows)},
      {"windowsRunAsService", "windows-service", kSwitch, "", NoEffectSwitch(kWindows)},
      {"portRange", "proxy-port-range", kOne, "", NoEffectText(kNoUserspace, {"0-0"})},
      {"udpIdleTimeout", "udp-timeout", kOne, "", NoEffectTime(kNoUserspace, {milliseconds(250)})},
      {"resourceContainer", "resource-container", kOne, "", NoEffectText(kRemoved, {"/kube-proxy"})},

      // --- kube-proxy's flags that its file does not have
      {"", "init-only", kSwitch, "",
       NoEffectSwitch("there is no separate first step to take; the agent runs on")},
      {"", "cleanup-ipvs", kSwitch, "", NoEffectSwitch(kRemoved)},
  };
  for (std::string_view flag : {"add-dir-header", "alsologtostderr", "logtostderr", "one-output",
                                "skip-headers", "skip-log-headers"}) {
    fields.push_back({"", flag, kSwitch, "", NoEffectSwitch(kLog)});
  }
  for (std::string_view flag :
       {"log-backtrace-at", "log-dir", "log-file", "log-file-max-size", "stderrthreshold"}) {
    fields.push_back({"", flag, kOne, "", NoEffectText(kLog)});
  }
  for (std::string_view flag :
       {"azure-container-registry-config", "boot-id-file", "machine-id-file", "google-json-key",
        "cloud-provider-gce-lb-src-cidrs", "cloud-provider-gce-l7lb-src-cidrs",
        "default-not-ready-toleration-seconds", "default-unreachable-toleration-seconds"}) {
    fields.push_back({"", flag, kOne, "", NoEffectText(kRemoved)});
  }
  return fields;
}

}  // namespace fairlead::config
