// SPDX-License-Identifier: Apache-2.0
#include "agent/ctl/text_table.h"

#include <algorithm>

#include <fmt/format.h>

namespace fairlead::ctl {

std::string TextTable::Render() const {
  auto cell = [](const std::vector<std::string>& row, size_t column) -> std::string {
    return column < row.size() && !row[column].empty() ? row[column] : "-";
  };
  std::vector<size_t> widths;
  for (size_t column = 0; column < columns_.size(); ++column) {
    size_t width = columns_[column].title.size();
    for (const auto& row : rows_) width = std::max(width, cell(row, column).size());
    widths.push_back(width);
  }

  std::string text;
  auto add_line = [&](auto&& word) {
    std::string line;
    for (size_t column = 0; column < columns_.size(); ++column) {
      if (column > 0) line += "  ";
      line += columns_[column].align == Align::kRight ? fmt::format("{:>{}}", word(column), widths[column])
                                                      : fmt::format("{:<{}}", word(column), widths[column]);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + '\n';
  };
  add_line([&](size_t column) { return columns_[column].title; });
  for (const auto& row : rows_) add_line([&](size_t column) { return cell(row, column); });
  return text;
}

}  // namespace fairlead::ctl
