// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/iptables/backend.h"

#include <algorithm>
#include <fstream>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "agent/datapath/netfilter/nft_table.h"

namespace fairlead::iptables {

namespace {

// Others hold the lock of xtables for as long as they rewrite a large table.
constexpr std::string_view kLockSeconds = "5";
constexpr std::chrono::seconds kDeadline{120};
constexpr std::string_view kKubernetes[] = {":KUBE-IPTABLES-HINT ", ":KUBE-KUBELET-CANARY ",
                                            ":KUBE-SERVICES "};

struct Version {
  std::string number;
  Backend::Kind kind = Backend::Kind::kLegacy;
};

// "iptables-restore v1.8.9 (nf_tables)"; releases before 1.8 name no backend.
std::optional<Version> VersionOf(const Run& run, const std::string& program) {
  auto said = run({.argv = {program, "--version"}, .input = {}, .deadline = kDeadline});
  if (!said || said->status != 0) return std::nullopt;
  Version version;
  const std::string& text = said->output;
  if (size_t at = text.find(" v"); at != std::string::npos) {
    version.number = text.substr(at + 2, text.find_first_of(" \n", at + 2) - at - 2);
  }
  if (text.contains("nf_tables")) version.kind = Backend::Kind::kNfTables;
  return version;
}

std::string LastLine(std::string_view text) {
  while (text.ends_with('\n')) text.remove_suffix(1);
  return std::string(text.substr(text.rfind('\n') + 1));
}

// Of programs that all fail, what the first one says that is there.
Error WhyNone(const Run& run) {
  for (std::string_view program : {"iptables-restore", "iptables-nft-restore", "iptables-legacy-restore"}) {
    auto said = run({.argv = {std::string(program), "--version"}, .input = {}, .deadline = kDeadline});
    if (!said && said.error().kind == ErrorKind::kNotFound) continue;
    if (!said) return std::move(said.error());
    const std::string line = LastLine(said->errors);
    return Fail(ErrorKind::kUnavailable, "{} --version: {}", program,
                line.empty() ? fmt::format("ended with status {}", said->status) : line)
        .error();
  }
  return Fail(ErrorKind::kNotFound, "no iptables-restore in PATH; expected the package iptables").error();
}

struct Found {
  uint64_t rules = 0;
  bool kubernetes = false;
  bool usable = true;
};

Found Look(const Run& run, const Backend& backend) {
  Found found;
  const bool asked = backend.kind == Backend::Kind::kNfTables;  // legacy makes its tables when it is used
  for (Family family : {Family::kIpv4, Family::kIpv6}) {
    if (!HasTables(backend, family)) {
      found.usable &= !asked;
      continue;
    }
    auto saved = run({.argv = {backend.Program(family, "save")}, .input = {}, .deadline = kDeadline});
    const bool read = saved && saved->status == 0;
    if (!read && family == Family::kIpv4) return {.usable = false};
    if (!read) continue;
    const std::string& text = saved->output;
    for (size_t at = 0; (at = text.find("\n-A ", at)) != std::string::npos; ++at) ++found.rules;
    found.kubernetes |=
        std::ranges::any_of(kKubernetes, [&](std::string_view chain) { return text.contains(chain); });
  }
  return found;
}

}  // namespace

std::string Backend::Program(Family family, std::string_view what) const {
  std::string_view variant = kind == Kind::kNfTables ? "-nft" : "-legacy";
  return fmt::format("{}{}{}{}", family == Family::kIpv4 ? "iptables" : "ip6tables", named ? variant : "",
                     what.empty() ? "" : "-", what);
}

std::vector<Backend> InstalledBackends(const Run& run) {
  std::vector<Backend> backends;
  const auto system = VersionOf(run, "iptables-restore");
  for (auto kind : {Backend::Kind::kNfTables, Backend::Kind::kLegacy}) {
    Backend backend{kind, true, {}, {}};
    auto version = VersionOf(run, backend.Program(Family::kIpv4, "restore"));
    if (!version && system && system->kind == kind) {
      version = system;
      backend.named = false;
    }
    if (!version) continue;
    backend.version = version->number;
    backends.push_back(std::move(backend));
  }
  if (system) {
    std::ranges::stable_partition(backends,
                                  [&](const Backend& backend) { return backend.kind == system->kind; });
  }
  return backends;
}

Result<Backend> ChooseBackend(const Run& run) {
  std::vector<Backend> backends = InstalledBackends(run);
  if (backends.empty()) return std::unexpected(WhyNone(run));
  Backend& first = backends.front();
  first.why = "the system's own";
  if (backends.size() == 1) {
    first.why = "the only one installed";
    return std::move(first);
  }
  Backend& second = backends.back();
  const Found here = Look(run, first), there = Look(run, second);
  if (here.usable != there.usable) {
    Backend& chosen = here.usable ? first : second;
    chosen.why = fmt::format("{} does not work here", (here.usable ? second : first).Name());
    return std::move(chosen);
  }
  if (here.kubernetes != there.kubernetes) {
    Backend& chosen = here.kubernetes ? first : second;
    chosen.why = "rules of Kubernetes are there";
    return std::move(chosen);
  }
  if (there.rules > here.rules) {
    second.why = fmt::format("{} rules are there, {} in {}", there.rules, here.rules, first.Name());
    return std::move(second);
  }
  return std::move(first);
}

bool HasTables(const Backend& backend, Family family) {
  if (backend.kind == Backend::Kind::kNfTables) return netfilter::HasNfTables().value_or(true);
  std::ifstream names(family == Family::kIpv4 ? "/proc/thread-self/net/ip_tables_names"
                                              : "/proc/thread-self/net/ip6_tables_names");
  std::string name;
  return static_cast<bool>(names >> name);
}

namespace {

Result<std::string> Output(const Run& run, std::vector<std::string> argv) {
  const std::string command = fmt::format("{}", fmt::join(argv, " "));
  auto ended = run({.argv = std::move(argv), .input = {}, .deadline = kDeadline});
  if (!ended) return std::unexpected(std::move(ended.error()));
  if (ended->status != 0) return Fail(ErrorKind::kUnavailable, "{}: {}", command, LastLine(ended->errors));
  return std::move(ended->output);
}

}  // namespace

Result<std::string> Save(const Run& run, const Backend& backend, Family family, Table table) {
  return Output(run, {backend.Program(family, "save"), "-t", std::string(TableName(table))});
}

Result<std::string> ListCounted(const Run& run, const Backend& backend, Family family, Table table,
                                std::string_view chain) {
  return Output(run, {backend.Program(family, ""), "-w", std::string(kLockSeconds), "-t",
                      std::string(TableName(table)), "-v", "-S", std::string(chain)});
}

std::expected<void, RestoreError> Restore(const Run& run, const Backend& backend, Family family,
                                          std::string_view text) {
  const std::string program = backend.Program(family, "restore");
  auto restored = run({.argv = {program, "--noflush", "-w", std::string(kLockSeconds)},
                       .input = text,
                       .deadline = kDeadline});
  if (!restored) return std::unexpected(RestoreError{std::move(restored.error()), false});
  if (restored->status == 0) return {};
  const bool locked = restored->errors.contains("xtables lock");
  Error error{ErrorKind::kUnavailable, 0, fmt::format("{}: {}", program, LastLine(restored->errors))};
  if (locked) {
    error.message =
        fmt::format("{}: another program held the lock of xtables for {} s", program, kLockSeconds);
  }
  return std::unexpected(RestoreError{std::move(error), !locked && restored->status < 128});
}

}  // namespace fairlead::iptables
