// SPDX-License-Identifier: Apache-2.0
// The README's example is the program that is compiled.
#include <algorithm>
#include <fstream>
#include <iterator>
#include <string>

#include "gtest/gtest.h"

namespace {

std::string ReadFile(const std::string& name) {
  std::ifstream file(std::string(PREFSCORE_CLIENT_FOLDER) + "/" + name);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

TEST(ReadmeExampleTest, IsTheCompiledProgram) {
  const std::string program = ReadFile("example.cc");
  ASSERT_FALSE(program.empty());
  EXPECT_LE(std::count(program.begin(), program.end(), '\n'), 30);
  EXPECT_NE(ReadFile("README.md").find("```cpp\n" + program + "```\n"), std::string::npos);
}

}  // namespace
