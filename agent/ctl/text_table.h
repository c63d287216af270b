// SPDX-License-Identifier: Apache-2.0
// Rows of words in aligned columns, two spaces apart, without colours: the same for people and for pipes.
#pragma once

#include <string>
#include <vector>

namespace fairlead::ctl {

enum class Align { kLeft, kRight };

struct Column {
  std::string title;
  Align align = Align::kLeft;
};

class TextTable {
 public:
  explicit TextTable(std::vector<Column> columns) : columns_(std::move(columns)) {}

  // One cell a column; cells past the last column are left out, so that a narrow table can be given wide
  // rows. "-" stands for an empty cell.
  void Add(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }

  std::string Render() const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace fairlead::ctl
