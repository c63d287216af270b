// SPDX-License-Identifier: Apache-2.0
// test_api_server: a live API server on loopback for benches and end-to-end tests.
//
//   test_api_server --kubeconfig FILE [--port N] [--address A] [--objects FILE] [--services N] [--endpoints
//   M]
//                   [--token TOKEN] [--no-watch-list]
//
// Prints "ready https://..." once it serves. Commands on stdin, one line each; one line comes back for each:
//
//   put JSON              "put VERSION NS"     NS: CLOCK_MONOTONIC just before the event is written to
//   watchers delete KIND NAME      "delete VERSION NS"  NAME is namespace/name, or name delete KIND NS NAME
//   the same compact               "compact"            older versions are gone watchers KIND "watchers N"
//   break                 "break"              every connection is cut
//   quit
//
// A command that changes nothing answers "error ...".
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <sstream>

#include "test/support/api_server.h"

namespace fairlead::test {
namespace {

std::string ServiceJson(int i) {
  return fmt::format(
      R"({{"apiVersion":"v1","kind":"Service","metadata":{{"name":"svc-{0}","namespace":"bench"}},)"
      R"("spec":{{"type":"ClusterIP","clusterIP":"172.30.{1}.{2}","clusterIPs":["172.30.{1}.{2}"],)"
      R"("ipFamilies":["IPv4"],"ports":[{{"name":"http","protocol":"TCP","port":80,"targetPort":8080}}],)"
      R"("internalTrafficPolicy":"Cluster","sessionAffinity":"None"}}}})",
      i, i / 250 % 256, i % 250 + 1);
}

std::string SliceJson(int i, int endpoints) {
  std::string list;
  for (int j = 0; j < endpoints; ++j) {
    const int n = i * endpoints + j;
    list += fmt::format(
        R"({}{{"addresses":["10.{}.{}.{}"],"conditions":{{"ready":true,"serving":true,"terminating":false}},)"
        R"("nodeName":"n{}","zone":"z{}"}})",
        j == 0 ? "" : ",", 128 + n / 62500 % 100, n / 250 % 250, n % 250 + 1, n % 100 + 1, n % 3);
  }
  return fmt::format(
      R"({{"apiVersion":"discovery.k8s.io/v1","kind":"EndpointSlice","metadata":{{"name":"svc-{0}-1","namespace":"bench",)"
      R"("labels":{{"kubernetes.io/service-name":"svc-{0}"}}}},"addressType":"IPv4",)"
      R"("ports":[{{"name":"http","protocol":"TCP","port":8080}}],"endpoints":[{1}]}})",
      i, list);
}

void Answer(const std::string& text) {
  std::fputs((text + "\n").c_str(), stdout);
  std::fflush(stdout);
}

void Answer(const char* word, ApiCluster::Written written) {
  Answer(written.version == 0 ? fmt::format("error {}: nothing changed", word)
                              : fmt::format("{} {} {}", word, written.version, written.at_ns));
}

void Obey(ApiServer& server, const std::string& line) {
  std::istringstream words(line);
  std::string command;
  std::string kind;
  std::string name;
  std::string second;
  words >> command;
  if (command == "put")
    return Answer("put", server.cluster().Put(line.substr(std::min<size_t>(4, line.size()))));
  words >> kind >> name >> second;
  if (command == "delete") {
    Answer("delete", server.cluster().Delete(kind, second.empty() ? name : name + "/" + second));
  } else if (command == "watchers") {
    Answer(fmt::format("watchers {}", server.cluster().Watchers(kind)));
  } else if (command == "compact") {
    server.cluster().ForgetHistory();
    Answer(command);
  } else if (command == "break") {
    server.CloseConnections();
    Answer(command);
  } else {
    Answer("error: expected put, delete, watchers, compact, break or quit");
  }
}

int Load(ApiServer& server, const std::string& path) {
  std::ifstream in(path);
  int number = 0;
  for (std::string line; std::getline(in, line);) {
    ++number;
    if (line.empty() || server.cluster().Put(line).version != 0) continue;
    fmt::print(stderr, "{}:{}: expected one object as JSON\n", path, number);
    return 1;
  }
  if (number > 0) return 0;
  fmt::print(stderr, "{}: no objects\n", path);
  return 1;
}

int Main(int argc, char** argv) {
  ApiServer::Options options;
  std::string kubeconfig;
  std::string objects;
  std::string token;
  int services = 0;
  int endpoints = 10;
  bool no_watch_list = false;
  CLI::App app("A Kubernetes API server for tests");
  app.add_option("--kubeconfig", kubeconfig, "written once it serves")->required();
  app.add_option("--address", options.address);
  app.add_option("--port", options.port);
  app.add_option("--objects", objects, "one JSON object a line");
  app.add_option("--services", services, "makes so many, a slice each");
  app.add_option("--endpoints", endpoints, "of each service");
  app.add_option("--token", token, "the only bearer token accepted");
  app.add_flag("--no-watch-list", no_watch_list);
  CLI11_PARSE(app, argc, argv);
  options.cluster.watch_list = !no_watch_list;
  if (options.address != "127.0.0.1") options.names.push_back("IP:" + options.address);

  ApiServer server(options);
  server.RequireToken(token);
  for (int i = 0; i < services; ++i) {
    server.cluster().Put(ServiceJson(i));
    server.cluster().Put(SliceJson(i, endpoints));
  }
  if (!objects.empty() && Load(server, objects) != 0) return 1;
  std::ofstream(kubeconfig) << server.Kubeconfig(token.empty() ? "{}"
                                                               : fmt::format("{{token: \"{}\"}}", token));
  Answer("ready " + server.Url());
  for (std::string line; std::getline(std::cin, line) && line != "quit";) Obey(server, line);
  return 0;
}

}  // namespace
}  // namespace fairlead::test

int main(int argc, char** argv) {
  return fairlead::test::Main(argc, argv);
}
