// SPDX-License-Identifier: Apache-2.0
#include "agent/base/symbol.h"

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace fairlead {
namespace {

TEST(Symbol, EqualTextIsOneAllocation) {
  Symbol a("zone-a");
  Symbol b(std::string("zone-") + "a");
  EXPECT_EQ(a, b);
  EXPECT_EQ(a.View().data(), b.View().data());
  EXPECT_FALSE(a == Symbol("zone-b"));
}

TEST(Symbol, TheEmptyTextIsTheDefaultSymbol) {
  EXPECT_TRUE(Symbol().Empty());
  EXPECT_TRUE(Symbol("").Empty());
  EXPECT_EQ(Symbol(""), Symbol());
  EXPECT_EQ(Symbol().View(), "");
}

TEST(Symbol, ComparesWithText) {
  EXPECT_TRUE(Symbol("n1") == std::string_view("n1"));
  EXPECT_FALSE(Symbol("n1") == std::string_view("n10"));
  EXPECT_TRUE(Symbol() == std::string_view());
}

TEST(Symbol, TextStandsWhileAnySymbolOfItDoes) {
  Symbol copy;
  {
    Symbol first("only-here");
    copy = first;
  }
  EXPECT_EQ(copy.View(), "only-here");
  EXPECT_EQ(copy, Symbol("only-here"));
}

TEST(Symbol, AWordThatWentAwayMayComeBack) {
  {
    Symbol gone("comes-back");
  }
  Symbol a("comes-back");
  Symbol b("comes-back");
  EXPECT_EQ(a, b);
  EXPECT_EQ(a.View(), "comes-back");
}

TEST(Symbol, ThreadsMayMakeAndDropTheSameWords) {
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&wrong] {
      for (int i = 0; i < 20'000; ++i) {
        std::string text = "word-" + std::to_string(i % 3);
        Symbol a(text);
        Symbol b(text);
        if (a.View() != text || !(a == b)) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

}  // namespace
}  // namespace fairlead
