// SPDX-License-Identifier: Apache-2.0
#include "agent/kube/kubeconfig.h"

#include <yaml-cpp/yaml.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>

namespace fairlead::kube {
namespace {

Result<std::string> ReadFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return FailErrno(errno, "{}", path);
  std::string text{std::istreambuf_iterator<char>(in), {}};
  if (in.bad()) return Fail(ErrorKind::kUnavailable, "{}: cannot be read", path);
  return text;
}

// A map of the kubeconfig with the words that lead to it.
struct Section {
  YAML::Node node;
  std::string where;  // "kubeconfig /etc/x: users[admin].user"

  bool Has(const char* key) const { return node[key].IsDefined() && !node[key].IsNull(); }

  Result<std::string> Text(const char* key) const {
    if (!Has(key)) return std::string();
    if (!node[key].IsScalar()) return Fail(ErrorKind::kInvalid, "{}.{}: expected text", where, key);
    return node[key].Scalar();
  }

  Result<bool> Flag(const char* key) const {
    auto text = Text(key);
    if (!text) return Unexpected(text.error());
    if (text->empty() || *text == "false") return false;
    if (*text == "true") return true;
    return Fail(ErrorKind::kInvalid, "{}.{}: expected true or false, got \"{}\"", where, key, *text);
  }
};

struct Kubeconfig {
  YAML::Node root;
  std::string where;  // "kubeconfig /etc/x"
  std::filesystem::path folder;

  // The `part` ("cluster") of the entry called `name` in the list `list` ("clusters").
  Result<Section> Find(const char* list, const char* part, const std::string& name) const {
    const YAML::Node entries = root[list];
    if (entries.IsDefined() && !entries.IsNull() && !entries.IsSequence()) {
      return Fail(ErrorKind::kInvalid, "{}: {}: expected a list", where, list);
    }
    std::string known;
    for (const YAML::Node& entry : entries) {
      if (!entry.IsMap() || !entry["name"].IsDefined() || !entry["name"].IsScalar()) {
        return Fail(ErrorKind::kInvalid, "{}: {}: expected entries with a name (line {})", where, list,
                    entry.Mark().line + 1);
      }
      const std::string found = entry["name"].Scalar();
      known += (known.empty() ? "" : ", ") + found;
      if (found != name) continue;
      Section section{entry[part], fmt::format("{}: {}[{}].{}", where, list, name, part)};
      if (section.node.IsDefined() && section.node.IsMap()) return section;
      return Fail(ErrorKind::kInvalid, "{}: expected a map", section.where);
    }
    return Fail(ErrorKind::kInvalid, "{}: {}: none is called \"{}\" (there: {})", where, list, name,
                known.empty() ? "none" : known);
  }

  std::string Resolve(const std::string& path) const {
    return path.empty() ? path : (folder / path).lexically_normal().string();
  }

  // `key` names a file, `key`-data holds the same in base64 and wins.
  Result<Pem> ReadPem(const Section& section, const std::string& key) const {
    const std::string data_key = key + "-data";
    auto data = section.Text(data_key.c_str());
    auto file = section.Text(key.c_str());
    if (!data) return Unexpected(data.error());
    if (!file) return Unexpected(file.error());
    Pem pem;
    if (!data->empty()) {
      pem.field = fmt::format("{}.{}", section.where, data_key);
      const auto bytes = YAML::DecodeBase64(*data);
      pem.data.assign(bytes.begin(), bytes.end());
      if (pem.data.empty()) return Fail(ErrorKind::kInvalid, "{}: expected base64", pem.field);
    } else if (!file->empty()) {
      pem.field = fmt::format("{}.{}", section.where, key);
      pem.file = Resolve(*file);
    }
    if (pem.Given()) {
      if (auto text = pem.Read(); !text) return Unexpected(text.error());
    }
    return pem;
  }

  Result<> ReadCluster(const std::string& name, ApiAccess& access) const {
    auto section = Find("clusters", "cluster", name);
    if (!section) return Unexpected(section.error());
    auto server = section->Text("server");
    auto server_name = section->Text("tls-server-name");
    auto insecure = section->Flag("insecure-skip-tls-verify");
    auto uncompressed = section->Flag("disable-compression");
    auto ca = ReadPem(*section, "certificate-authority");
    if (!server) return Unexpected(server.error());
    if (!server_name) return Unexpected(server_name.error());
    if (!insecure) return Unexpected(insecure.error());
    if (!uncompressed) return Unexpected(uncompressed.error());
    if (!ca) return Unexpected(ca.error());
    if (section->Has("proxy-url")) {
      return Fail(ErrorKind::kUnsupported, "{}.proxy-url: proxies are not supported", section->where);
    }
    if (*insecure && ca->Given()) {
      return Fail(ErrorKind::kInvalid, "{}: not allowed together with insecure-skip-tls-verify", ca->field);
    }
    access.tls_server_name = *server_name;
    access.insecure_skip_tls_verify = *insecure;
    access.disable_compression = *uncompressed;
    access.ca = *ca;
    return SetServer(access, *server, section->where + ".server");
  }

  Result<> ReadUser(const std::string& name, ApiAccess& access) const {
    auto section = Find("users", "user", name);
    if (!section) return Unexpected(section.error());
    for (const char* key : {"exec", "auth-provider", "username", "password", "as", "as-groups", "as-uid"}) {
      if (section->Has(key)) {
        return Fail(ErrorKind::kUnsupported,
                    "{}.{}: not supported; give user \"{}\" a token, tokenFile or client-certificate",
                    section->where, key, name);
      }
    }
    auto token = section->Text("token");
    auto token_file = section->Text("tokenFile");
    auto certificate = ReadPem(*section, "client-certificate");
    auto key = ReadPem(*section, "client-key");
    if (!token) return Unexpected(token.error());
    if (!token_file) return Unexpected(token_file.error());
    if (!certificate) return Unexpected(certificate.error());
    if (!key) return Unexpected(key.error());
    if (certificate->Given() != key->Given()) {
      return Fail(ErrorKind::kInvalid, "{}: client-certificate and client-key go together, {} is missing",
                  section->where, certificate->Given() ? "client-key" : "client-certificate");
    }
    if (!token_file->empty()) {
      access.token_file = Resolve(*token_file);
      if (auto text = ReadFile(access.token_file); !text) {
        return Unexpected(std::move(text.error()).In(section->where + ".tokenFile"));
      }
    }
    access.token = *token;
    access.client_certificate = *certificate;
    access.client_key = *key;
    access.user = fmt::format("user \"{}\"", name);
    return {};
  }
};

Result<ApiAccess> Read(const Kubeconfig& config, const std::string& wanted_context) {
  if (!config.root.IsMap()) return Fail(ErrorKind::kInvalid, "{}: expected a map", config.where);
  auto context_name = Section{config.root, config.where}.Text("current-context");
  if (!context_name) return Unexpected(context_name.error());
  if (!wanted_context.empty()) context_name = wanted_context;
  if (context_name->empty()) {
    return Fail(ErrorKind::kInvalid, "{}: current-context: expected the name of a context", config.where);
  }
  auto context = config.Find("contexts", "context", *context_name);
  if (!context) return Unexpected(context.error());
  auto cluster = context->Text("cluster");
  auto user = context->Text("user");
  if (!cluster) return Unexpected(cluster.error());
  if (!user) return Unexpected(user.error());
  if (cluster->empty()) {
    return Fail(ErrorKind::kInvalid, "{}.cluster: expected the name of a cluster", context->where);
  }
  ApiAccess access;
  access.user = "anonymous";
  if (!user->empty()) {
    if (auto read = config.ReadUser(*user, access); !read) return Unexpected(read.error());
  }
  if (auto read = config.ReadCluster(*cluster, access); !read) return Unexpected(read.error());
  return access;
}

std::optional<std::string> Environment(const char* name) {
  const char* value = std::getenv(name);
  if (value == nullptr || *value == 0) return std::nullopt;
  return value;
}

}  // namespace

Result<std::string> Pem::Read() const {
  if (file.empty() && data.find("-----BEGIN ") == std::string::npos) {
    return Fail(ErrorKind::kInvalid, "{}: expected PEM", field);
  }
  if (file.empty()) return data;
  auto text = ReadFile(file);
  if (!text) return Fail(ErrorKind::kInvalid, "{}: {}", field, text.error().message);
  if (text->find("-----BEGIN ") == std::string::npos) {
    return Fail(ErrorKind::kInvalid, "{}: {}: expected PEM", field, file);
  }
  return text;
}

Result<> SetServer(ApiAccess& access, const std::string& url, const std::string& what) {
  const bool tls = url.starts_with("https://");
  const bool plain = url.starts_with("http://");
  const size_t host = tls ? 8 : 7;
  if ((!tls && !plain) || url.size() == host || url[host] == '/' || url[host] == ':' ||
      url.find_first_of(" \t\r\n?#@") != std::string::npos) {
    return Fail(ErrorKind::kInvalid, "{}: expected https://HOST:PORT, got \"{}\"", what, url);
  }
  if (plain && (!access.token.empty() || !access.token_file.empty())) {
    return Fail(ErrorKind::kInvalid, "{}: a token is not sent over plain http: expected https://, got \"{}\"",
                what, url);
  }
  access.server = url.substr(0, url.find_last_not_of('/') + 1);
  return {};
}

Result<ApiAccess> ReadKubeconfig(const std::string& path, const std::string& context) {
  Kubeconfig config{{}, "kubeconfig " + path, std::filesystem::absolute(path).parent_path()};
  try {
    config.root = YAML::LoadFile(path);
    return Read(config, context);
  } catch (const YAML::BadFile&) {
    return FailErrno(errno != 0 ? errno : EIO, "{}", config.where);
  } catch (const YAML::ParserException& e) {
    return Fail(ErrorKind::kInvalid, "{}: line {}: {}", config.where, e.mark.line + 1, e.msg);
  } catch (const YAML::Exception& e) {
    return Fail(ErrorKind::kInvalid, "{}: {}", config.where, e.what());
  }
}

Result<ApiAccess> InClusterAccess(const std::string& service_account_dir) {
  const auto host = Environment("KUBERNETES_SERVICE_HOST");
  const auto port = Environment("KUBERNETES_SERVICE_PORT");
  if (!host || !port) {
    return Fail(ErrorKind::kInvalid,
                "not in a pod: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set; expected "
                "--kubeconfig");
  }
  ApiAccess access;
  access.user = "service account";
  access.ca.file = service_account_dir + "/ca.crt";
  access.ca.field = "service account";
  if (auto text = access.ca.Read(); !text) return Unexpected(text.error());
  access.token_file = service_account_dir + "/token";
  if (auto text = ReadFile(access.token_file); !text) {
    return Fail(ErrorKind::kInvalid, "service account: {}", text.error().message);
  }
  const bool v6 = host->find(':') != std::string::npos;
  auto set = SetServer(access, fmt::format("https://{}:{}", v6 ? "[" + *host + "]" : *host, *port),
                       "KUBERNETES_SERVICE_HOST");
  if (!set) return Unexpected(set.error());
  return access;
}

}  // namespace fairlead::kube
