// SPDX-License-Identifier: Apache-2.0
#include "agent/config/flags.h"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <string>
#include <string_view>
#include <unordered_map>

#include "agent/config/text.h"

namespace fairlead::config {

namespace {

std::unordered_map<std::string_view, const Field*> FieldsByFlag() {
  std::unordered_map<std::string_view, const Field*> by_flag;
  for (const std::vector<Field>* fields : {&FairleadFields(), &KubeProxyFields()}) {
    for (const Field& field : *fields) {
      if (!field.flag.empty()) by_flag.emplace(field.flag, &field);
    }
  }
  return by_flag;
}

// pflag's spellings that CLI11 reads otherwise: a switch takes a value only after "=", "--name=" is an empty
// value,
// "-v=2", and underscores.
std::vector<std::string> Normalize(int argc, const char* const* argv,
                                   const std::unordered_map<std::string_view, const Field*>& by_flag) {
  std::vector<std::string> words;
  for (int i = 1; i < argc; ++i) {
    std::string word = argv[i];
    if (word.starts_with("-v=")) {
      words.insert(words.end(), {"-v", word.substr(3)});
      continue;
    }
    size_t equals = std::min(word.find('='), word.size());
    if (word.size() < 3 || !word.starts_with("--")) {
      words.push_back(std::move(word));
      continue;
    }
    std::replace(word.begin(), word.begin() + static_cast<ptrdiff_t>(equals), '_', '-');
    auto known = by_flag.find(std::string_view(word).substr(2, equals - 2));
    if (known == by_flag.end()) {
      words.push_back(std::move(word));
    } else if (equals < word.size()) {
      words.insert(words.end(), {word.substr(0, equals), word.substr(equals + 1)});
    } else {
      words.push_back(std::move(word));
      // The value of another flag is the next word, whatever it looks like.
      if (known->second->shape == Shape::kSwitch) {
        words.emplace_back("true");
      } else if (i + 1 < argc) {
        words.emplace_back(argv[++i]);
      }
    }
  }
  return words;
}

Unexpected UnknownFlag(const std::string& word,
                       const std::unordered_map<std::string_view, const Field*>& by_flag) {
  if (!word.starts_with('-')) {
    return Fail(ErrorKind::kInvalid, "unexpected argument {}: fairlead takes flags only", Quote(word));
  }
  std::string_view name = std::string_view(word).substr(0, word.find('='));
  name.remove_prefix(std::min(name.find_first_not_of('-'), name.size()));
  std::vector<std::string_view> known = {"help", "version"};
  for (const auto& [flag, field] : by_flag) known.push_back(flag);
  std::ranges::sort(known);  // so that of two equally near ones it is always the same
  std::string_view meant = Nearest(name, known);
  return Fail(ErrorKind::kInvalid, "unknown flag {}{}", Quote(word.substr(0, word.find('='))),
              meant.empty() ? "" : fmt::format(" (did you mean --{}?)", meant));
}

Value MakeValue(const Field& field, const std::vector<std::string>& words) {
  Value value;
  value.where = fmt::format("--{}", field.flag);
  value.text = field.shape == Shape::kMany ? fmt::format("{}", fmt::join(words, ",")) : words.back();
  return value;
}

}  // namespace

Result<CommandLine> ReadFlags(int argc, const char* const* argv) {
  const auto by_flag = FieldsByFlag();
  CommandLine line;
  CLI::App app("fairlead: eBPF Service load balancer for a Kubernetes node, in place of kube-proxy",
               "fairlead");
  app.footer("Other flags of kube-proxy are accepted, and answered with a warning.");
  app.allow_extras();
  app.set_version_flag("--version", "fairlead " FAIRLEAD_VERSION);

  auto add = [&](const Field& field) {
    std::string names = field.flag == "v" ? "-v,--v" : fmt::format("--{}", field.flag);
    CLI::callback_t take = [&line, &field](const CLI::results_t& words) {
      line.settings.push_back({&field, MakeValue(field, words)});
      return true;
    };
    CLI::Option* option = app.add_option(names, take, std::string(field.help));
    option->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)->allow_extra_args(false);
    option->type_name(field.shape == Shape::kSwitch ? "" : field.shape == Shape::kMany ? "LIST" : "VALUE");
    if (field.help.empty()) option->group("");
  };
  for (const std::vector<Field>* fields : {&FairleadFields(), &KubeProxyFields()}) {
    for (const Field& field : *fields) {
      if (!field.flag.empty()) add(field);
    }
  }

  std::vector<std::string> words = Normalize(argc, argv, by_flag);
  std::ranges::reverse(words);  // as CLI11 wants them
  try {
    app.parse(std::move(words));
  } catch (const CLI::CallForHelp&) {
    line.exit = Exit{0, app.help()};
    return line;
  } catch (const CLI::CallForVersion& version) {
    line.exit = Exit{0, std::string(version.what()) + "\n"};
    return line;
  } catch (const CLI::Error& error) {
    return Fail(ErrorKind::kInvalid, "{}", error.what());
  }
  if (auto extras = app.remaining(); !extras.empty()) return UnknownFlag(extras.front(), by_flag);
  return line;
}

}  // namespace fairlead::config
