// SPDX-License-Identifier: Apache-2.0
#include "client/cli/result_file.h"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "absl/strings/str_cat.h"
#include "client/cli/result_json.h"
#include "gmock/gmock.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace prefscore::cli {
namespace {

using ::testing::HasSubstr;

v1::PairResult Result(std::uint32_t index, const std::string& id) {
  v1::PairResult result;
  result.set_id(id);
  result.set_index(index);
  result.set_policy_chosen_logp(-0.1 - index / 3.0);
  result.add_objectives()->set_loss(0.3);
  return result;
}

class ResultFileTest : public ::testing::Test {
 protected:
  ResultFileTest() {
    folder_ =
        std::filesystem::path(::testing::TempDir()) / ::testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
    path_ = folder_ / "scores.jsonl";
  }
  ~ResultFileTest() override { std::filesystem::remove_all(folder_); }

  std::string Read() const {
    std::ifstream file(path_);
    return std::string(std::istreambuf_iterator<char>(file), {});
  }
  void AppendRaw(const std::string& text) const { std::ofstream(path_, std::ios::app) << text; }

  // Writes rows a, b, c.
  void WriteThreeRows() {
    auto file = ResultFile::Open(path_, settings_, false);
    ASSERT_TRUE(file.ok()) << file.status();
    ASSERT_FALSE((*(*file)->NextKept(0, "a")).has_value());
    for (const auto& [index, id] : {std::pair(0, "a"), std::pair(1, "b"), std::pair(2, "c")}) {
      ASSERT_TRUE((*file)->Append(Result(index, id)).ok());
    }
  }

  std::filesystem::path folder_;
  std::string path_;
  RunSettings settings_ = {{"policy_digest", "p1"}, {"objectives", "sigmoid:beta=0.1"}};
};

TEST_F(ResultFileTest, AResumedRunKeepsWholeRowsAndCutsATornOne) {
  WriteThreeRows();
  const std::string whole = Read();
  AppendRaw(R"({"id":"d","index":3,"policy_cho)");

  auto file = ResultFile::Open(path_, settings_, false);
  ASSERT_TRUE(file.ok()) << file.status();
  int index = 0;
  for (const char* id : {"a", "b", "c"}) {
    const auto kept = (*file)->NextKept(index, id);
    ASSERT_TRUE(kept.ok()) << kept.status();
    ASSERT_TRUE(kept->has_value());
    EXPECT_EQ((*kept)->policy_chosen_logp(), Result(index, id).policy_chosen_logp());  // to the last bit
    ++index;
  }
  const auto missing = (*file)->NextKept(3, "d");
  ASSERT_TRUE(missing.ok()) << missing.status();
  EXPECT_FALSE(missing->has_value());
  EXPECT_EQ(Read(), whole);
  ASSERT_TRUE((*file)->Append(Result(3, "d")).ok());
  EXPECT_TRUE((*file)->ExpectNoMoreKept().ok());
  EXPECT_EQ(Read(), whole + *ResultToJson(Result(3, "d")) + "\n");
}

TEST_F(ResultFileTest, ACompleteFileWithATornLineIsCutToo) {
  WriteThreeRows();
  const std::string whole = Read();
  AppendRaw("{");
  auto file = ResultFile::Open(path_, settings_, false);
  int index = 0;
  for (const char* id : {"a", "b", "c"}) ASSERT_TRUE((*file)->NextKept(index++, id).ok());
  EXPECT_TRUE((*file)->ExpectNoMoreKept().ok());
  EXPECT_EQ(Read(), whole);
}

TEST_F(ResultFileTest, AnotherIdNamesTheLineAndChangesNothing) {
  WriteThreeRows();
  AppendRaw("torn");
  const std::string before = Read();
  auto file = ResultFile::Open(path_, settings_, false);
  ASSERT_TRUE((*file)->NextKept(0, "a").ok());
  const auto kept = (*file)->NextKept(1, "x");
  EXPECT_TRUE(absl::IsFailedPrecondition(kept.status()));
  EXPECT_THAT(std::string(kept.status().message()),
              HasSubstr("scores.jsonl line 2: holds the result of id 'b', but the input's row has id 'x'"));
  EXPECT_EQ(Read(), before);
}

TEST_F(ResultFileTest, OtherSettingsAreRefusedByName) {
  WriteThreeRows();
  settings_[1].second = "sigmoid:beta=0.2";
  const auto file = ResultFile::Open(path_, settings_, false);
  EXPECT_TRUE(absl::IsFailedPrecondition(file.status()));
  EXPECT_THAT(std::string(file.status().message()),
              HasSubstr("made with objectives 'sigmoid:beta=0.1', this run has 'sigmoid:beta=0.2'"));
}

TEST_F(ResultFileTest, AFileOfUnknownOriginIsNeverTouched) {
  AppendRaw("precious\nno newline at the end");
  const std::string before = Read();
  const auto file = ResultFile::Open(path_, settings_, false);
  EXPECT_TRUE(absl::IsFailedPrecondition(file.status()));
  EXPECT_THAT(std::string(file.status().message()), HasSubstr("scores.jsonl.run.json"));
  EXPECT_EQ(Read(), before);
}

TEST_F(ResultFileTest, MoreRowsThanTheInputIsAnError) {
  WriteThreeRows();
  auto file = ResultFile::Open(path_, settings_, false);
  ASSERT_TRUE((*file)->NextKept(0, "a").ok());
  const absl::Status status = (*file)->ExpectNoMoreKept();
  EXPECT_THAT(std::string(status.message()), HasSubstr("line 2: the input has only 1 rows"));
}

TEST_F(ResultFileTest, ARowThatIsNoResultIsAnError) {
  WriteThreeRows();
  AppendRaw("not a row\n");
  auto file = ResultFile::Open(path_, settings_, false);
  int index = 0;
  for (const char* id : {"a", "b", "c"}) ASSERT_TRUE((*file)->NextKept(index++, id).ok());
  EXPECT_THAT(std::string((*file)->NextKept(3, "d").status().message()), HasSubstr("line 4: is not a result row"));
}

TEST_F(ResultFileTest, OverwriteStartsAnew) {
  WriteThreeRows();
  settings_[0].second = "p2";
  auto file = ResultFile::Open(path_, settings_, true);
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(Read(), "");
  EXPECT_FALSE((*(*file)->NextKept(0, "a")).has_value());
}

TEST_F(ResultFileTest, ASecondWriterIsRefused) {
  const auto first = ResultFile::Open(path_, settings_, false);
  ASSERT_TRUE(first.ok());
  EXPECT_THAT(std::string(ResultFile::Open(path_, settings_, false).status().message()), HasSubstr("another run"));
}

TEST(ResultJsonTest, AScoredRowHasItsZerosAndNoAbsentParts) {
  const auto json = nlohmann::json::parse(*ResultToJson(Result(0, "a")));
  EXPECT_EQ(json["index"], 0);
  EXPECT_EQ(json["policy_margin"], 0.0);
  EXPECT_EQ(json["objectives"][0]["gradient_weight"], 0.0);
  for (const char* absent : {"status", "token_logps", "token_ids", "tokenization"})
    EXPECT_FALSE(json.contains(absent));
}

TEST(ResultJsonTest, AFailedRowHasItsStatusAndNoNumbers) {
  google::rpc::BadRequest bad_request;
  bad_request.add_field_violations()->set_field("pair.chosen");
  v1::PairResult result;
  result.set_id("quote\" é");
  result.mutable_status()->set_code(3);
  result.mutable_status()->set_message("bad");
  result.mutable_status()->add_details()->PackFrom(bad_request);
  const std::string text = *ResultToJson(result);
  const auto json = nlohmann::json::parse(text);
  EXPECT_EQ(json.size(), 3);
  EXPECT_EQ(json["id"], "quote\" é");
  EXPECT_EQ(json["index"], 0);
  EXPECT_EQ(json["status"]["code"], 3);
  EXPECT_EQ(json["status"]["details"][0]["field_violations"][0]["field"], "pair.chosen");
  const auto read_back = PairResultFromJson(text);
  ASSERT_TRUE(read_back.ok());
  EXPECT_EQ(read_back->status().message(), "bad");
}

TEST(ResultJsonTest, UnknownDetailsAreLeftOut) {
  v1::PairResult result;
  result.mutable_status()->set_code(3);
  result.mutable_status()->add_details()->set_type_url("type.example/of.another.Program");
  result.mutable_status()->mutable_details(0)->set_value("x");
  EXPECT_EQ(*ResultToJson(result), R"({"id":"","index":0,"status":{"code":3}})");
}

TEST(ResultJsonTest, AFaultyRowNamesItsLine) {
  const auto result = FaultyRow<v1::PairResult>("a", 4, 6, absl::InvalidArgumentError("chosen: is bad"));
  EXPECT_EQ(result.index(), 4);
  EXPECT_EQ(result.status().code(), 3);
  EXPECT_EQ(result.status().message(), "line 6: chosen: is bad");
}

}  // namespace
}  // namespace prefscore::cli
