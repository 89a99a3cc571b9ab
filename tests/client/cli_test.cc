// SPDX-License-Identifier: Apache-2.0
// The built program against the fake server: exit codes, files, streams.
#include <sys/wait.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/testing/fake_scoring_server.h"

namespace prefscore {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

std::string ReadFile(const std::filesystem::path& path) {
  std::ifstream file(path);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

class CliTest : public ::testing::Test {
 protected:
  CliTest() {
    folder_ = std::filesystem::path(::testing::TempDir()) /
              absl::StrCat("cli_test_", ::testing::UnitTest::GetInstance()->current_test_info()->name());
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
  }
  ~CliTest() override { std::filesystem::remove_all(folder_); }

  // Runs the program in the test's folder; `arguments` are the shell's to split.
  int Run(const std::string& arguments) {
    const std::string command =
        absl::StrCat("cd ", folder_.string(), " && ", PREFSCORE_BINARY, " ", arguments, " >stdout 2>stderr");
    const int status = std::system(command.c_str());
    stdout_ = ReadFile(folder_ / "stdout");
    stderr_ = ReadFile(folder_ / "stderr");
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

  int Score(const std::string& arguments = "") {
    return Run(
        absl::StrCat("score --server ", server_.address(), " --input pairs.jsonl --output scores.jsonl ", arguments));
  }

  void Write(const std::string& name, const std::string& text) { std::ofstream(folder_ / name) << text; }

  static std::string Row(int i) {
    return absl::StrCat(R"({"id": "p)", i, R"(", "prompt": "Q", "chosen": ")", std::string(i + 1, 'c'),
                        R"(", "rejected": "rr"})", "\n");
  }
  static std::string Rows(int count) {
    std::string text;
    for (int i = 0; i < count; ++i) text += Row(i);
    return text;
  }

  std::vector<nlohmann::json> Output(const std::string& name = "scores.jsonl") {
    std::vector<nlohmann::json> rows;
    std::ifstream file(folder_ / name);
    for (std::string line; std::getline(file, line);) rows.push_back(nlohmann::json::parse(line));
    return rows;
  }

  testing::FakeScoringServer server_;
  std::filesystem::path folder_;
  std::string stdout_;
  std::string stderr_;
};

TEST_F(CliTest, ScoresInTheOrderOfTheInput) {
  Write("pairs.jsonl", Rows(50));
  server_.ScriptNextStream({.group_size = 7});  // answers out of order
  EXPECT_EQ(Score("--objective sigmoid:beta=0.5 --objective margin_hinge:beta=0.5,gamma=0 --table 2 --window 8"), 0)
      << stderr_;
  const auto rows = Output();
  ASSERT_THAT(rows, SizeIs(50));
  for (int i = 0; i < 50; ++i) {
    EXPECT_EQ(rows[i]["id"], absl::StrCat("p", i));
    EXPECT_EQ(rows[i]["index"], i);
    EXPECT_EQ(rows[i]["policy_chosen_logp"], -(i + 1));
  }
  EXPECT_EQ(rows[3]["objectives"][1]["name"], "margin_hinge");
  EXPECT_THAT(stdout_, HasSubstr("scored 50 of 50 rows"));
  EXPECT_THAT(stdout_, HasSubstr("rewards/accuracies"));
  EXPECT_THAT(stdout_, HasSubstr("p1  "));
  EXPECT_THAT(stdout_, ::testing::Not(HasSubstr("p2  ")));
  EXPECT_EQ(server_.LastOptions().expected_policy_digest(), "policy-1");  // pinned
}

TEST_F(CliTest, OptionsReachTheServer) {
  Write("pairs.jsonl", Rows(1));
  EXPECT_EQ(Score("--per-token --profile trl --truncation keep-prompt-end --max-length 77 --reference reference "
                  "--expect-reference-digest reference-9"),
            0)
      << stderr_;
  const v1::ScoringOptions options = server_.LastOptions();
  EXPECT_TRUE(options.return_token_logps());
  EXPECT_EQ(options.profile(), "trl");
  EXPECT_EQ(options.truncation_policy(), v1::TRUNCATION_POLICY_KEEP_PROMPT_END);
  EXPECT_EQ(options.max_length(), 77);
  EXPECT_EQ(options.reference(), "reference");
  EXPECT_EQ(options.expected_reference_digest(), "reference-9");
  ASSERT_EQ(options.objectives_size(), 1);
  EXPECT_EQ(options.objectives(0).beta(), 0.1);
}

TEST_F(CliTest, FailedRowsAreWrittenAndTheRunGoesOn) {
  Write("pairs.jsonl",
        absl::StrCat(Row(0), "\n", "{broken\n", R"({"id": "x", "chosen": "fault", "rejected": "r"})", "\n",
                     R"({"id": "y", "chosen": 5, "rejected": "r"})", "\n", Row(4), R"({"id": "z", "chosen": ")",
                     std::string(200'000, 'c'), R"(", "rejected": "r"})", "\n"));
  EXPECT_EQ(Score(), 3) << stderr_;
  const auto rows = Output();
  ASSERT_THAT(rows, SizeIs(6));
  EXPECT_FALSE(rows[0].contains("status"));
  EXPECT_THAT(rows[1]["status"]["message"].get<std::string>(), HasSubstr("line 3: not valid JSON"));
  EXPECT_EQ(rows[2]["status"]["message"], "pair.chosen: is faulty");
  EXPECT_EQ(rows[2]["status"]["details"][0]["field_violations"][0]["field"], "pair.chosen");
  EXPECT_EQ(rows[3]["id"], "y");
  EXPECT_THAT(rows[3]["status"]["message"].get<std::string>(), HasSubstr("line 5: chosen: must be"));
  EXPECT_EQ(rows[4]["id"], "p4");
  EXPECT_THAT(rows[5]["status"]["message"].get<std::string>(), HasSubstr("max_message_bytes"));
  for (int i = 0; i < 6; ++i) EXPECT_EQ(rows[i]["index"], i);
  EXPECT_THAT(stdout_, HasSubstr("scored 2 of 6 rows, 4 failed"));
}

TEST_F(CliTest, AnInterruptedRunGoesOnAndGivesTheSameFile) {
  Write("pairs.jsonl", Rows(30));
  ASSERT_EQ(Score(), 0);
  const std::string whole = ReadFile(folder_ / "scores.jsonl");
  const std::string summary = stdout_.substr(stdout_.find('\n'));
  const auto num_read = server_.ReadPairIds().size();
  std::filesystem::resize_file(folder_ / "scores.jsonl", whole.size() * 2 / 5);  // within a row
  ASSERT_EQ(Score(), 0) << stderr_;
  EXPECT_EQ(ReadFile(folder_ / "scores.jsonl"), whole);
  EXPECT_EQ(stdout_.substr(stdout_.find('\n')), summary);  // over all rows, kept ones too
  EXPECT_THAT(stdout_, HasSubstr("kept from an earlier run"));
  EXPECT_LT(server_.ReadPairIds().size() - num_read, 20);  // only the rest

  const int num_streams = server_.NumStreams();
  ASSERT_EQ(Score(), 0);  // nothing left to do
  EXPECT_EQ(server_.NumStreams(), num_streams);
}

TEST_F(CliTest, AFailedRunCanBeTakenUp) {
  Write("pairs.jsonl", Rows(30));
  server_.ScriptNextStream({.num_results_before_death = 10});
  server_.ScriptNextStream({});
  server_.FailNext(absl::OkStatus());
  server_.FailNext(absl::InternalError("broken"));
  EXPECT_EQ(Score("--window 4"), 1);
  EXPECT_THAT(stderr_, HasSubstr("INTERNAL: broken"));
  EXPECT_THAT(stderr_, HasSubstr("scores.jsonl holds 10 rows"));
  EXPECT_EQ(Score(), 0) << stderr_;
  EXPECT_THAT(Output(), SizeIs(30));
}

TEST_F(CliTest, AMixIsRefused) {
  Write("pairs.jsonl", Rows(3));
  ASSERT_EQ(Score(), 0);
  const std::string before = ReadFile(folder_ / "scores.jsonl");
  EXPECT_EQ(Score("--objective sigmoid:beta=0.7"), 1);
  EXPECT_THAT(stderr_, HasSubstr("objectives"));
  server_.SetModelVersion("2");
  EXPECT_EQ(Score(), 1);
  EXPECT_THAT(stderr_, HasSubstr("policy_digest 'policy-1', this run has 'policy-2'"));
  server_.SetModelVersion("1");
  Write("pairs.jsonl", absl::StrCat(Row(0), Row(2)));
  EXPECT_EQ(Score(), 1);
  EXPECT_THAT(stderr_, HasSubstr("line 2"));
  EXPECT_EQ(ReadFile(folder_ / "scores.jsonl"), before);
  EXPECT_EQ(Score("--overwrite"), 0) << stderr_;
  EXPECT_THAT(Output(), SizeIs(2));
}

TEST_F(CliTest, StandardStreams) {
  Write("pairs.jsonl", Rows(2));
  EXPECT_EQ(Run(absl::StrCat("score --server ", server_.address(), " --input - --output - < pairs.jsonl")), 0)
      << stderr_;
  EXPECT_THAT(Output("stdout"), SizeIs(2));
  EXPECT_THAT(stderr_, HasSubstr("rewards/margins"));
}

TEST_F(CliTest, ARestartingServerIsWaitedFor) {
  Write("pairs.jsonl", Rows(20));
  server_.ScriptNextStream({.num_results_before_death = 5});
  EXPECT_EQ(Score("--window 3"), 0) << stderr_;
  EXPECT_THAT(stderr_, HasSubstr("UNAVAILABLE: died; next attempt in"));
  EXPECT_THAT(Output(), SizeIs(20));
}

TEST_F(CliTest, AnEmptyInputIsNoError) {
  Write("pairs.jsonl", "\n");
  EXPECT_EQ(Score(), 0) << stderr_;
  EXPECT_THAT(stdout_, HasSubstr("scored 0 of 0 rows"));
}

TEST_F(CliTest, WrongUsage) {
  Write("pairs.jsonl", Rows(1));
  EXPECT_EQ(Run(""), 2);
  EXPECT_EQ(Run("nonsense"), 2);
  EXPECT_EQ(Run("score --input pairs.jsonl --output x"), 2);
  EXPECT_EQ(Score("--objective sigmoid:beta=x"), 2);
  EXPECT_THAT(stderr_, HasSubstr("beta is not a finite number"));
  EXPECT_EQ(Score("--truncation middle"), 2);
  EXPECT_EQ(Score("--window 0"), 2);
  EXPECT_EQ(Score("--table some"), 2);
  EXPECT_EQ(Score("--timeout 0"), 2);
  EXPECT_FALSE(std::filesystem::exists(folder_ / "scores.jsonl"));
}

TEST_F(CliTest, FilesThatCannotBeUsed) {
  EXPECT_EQ(Score(), 1);
  EXPECT_THAT(stderr_, HasSubstr("cannot read pairs.jsonl"));
  Write("pairs.jsonl", Rows(1));
  const std::string score = absl::StrCat("score --server ", server_.address(), " --input pairs.jsonl --output ");
  EXPECT_EQ(Run(score + "missing/scores.jsonl"), 1);
  EXPECT_THAT(stderr_, HasSubstr("cannot write missing/scores.jsonl"));
  EXPECT_EQ(Run(score + "./pairs.jsonl"), 1);
  EXPECT_THAT(stderr_, HasSubstr("the same file"));
  EXPECT_EQ(ReadFile(folder_ / "pairs.jsonl"), Rows(1));
  EXPECT_EQ(Run(score + "/dev/full"), 1);
}

TEST_F(CliTest, HelpTeaches) {
  EXPECT_EQ(Run("--help"), 0);
  EXPECT_THAT(stdout_, HasSubstr("Exit codes: 0"));
  for (const char* command : {"score", "completions", "evaluate", "analyze", "objectives", "models", "health"}) {
    EXPECT_THAT(stdout_, HasSubstr(absl::StrCat("\n  ", command)));
  }
  for (const char* command : {"score", "completions", "evaluate", "analyze", "objectives", "models", "health"}) {
    EXPECT_EQ(Run(absl::StrCat(command, " --help")), 0);
    EXPECT_THAT(stdout_, HasSubstr("Example:\n  prefscore "));
    EXPECT_THAT(stdout_, HasSubstr("Exit codes: 0"));
  }
}

TEST_F(CliTest, Evaluate) {
  const std::string row =
      R"("policy_chosen_logp": -1, "policy_rejected_logp": -3, "ref_chosen_logps": -2, "ref_rejected_logps": -2.5})";
  Write("logps.jsonl",
        absl::StrCat(R"({"id": "a", )", row, "\n", R"({"id": "b"})", "\n", "{broken\n", R"({"id": "d", )", row, "\n"));
  EXPECT_EQ(Run("evaluate --input logps.jsonl --output out.jsonl --objective sigmoid --objective 0.5*hinge+sft_sum "
                "--objective kto_pair --batch-size 2"),
            3);
  const auto rows = Output("out.jsonl");
  ASSERT_THAT(rows, SizeIs(4));
  EXPECT_EQ(rows[0]["objectives"][0]["logit"], 0.1 * 2 - 0.1 * 0.5);
  EXPECT_EQ(rows[0]["objectives"][1]["name"], "weighted_sum");
  EXPECT_EQ(rows[1]["status"]["message"], "line 2: logps.policy_chosen_logp: is missing");
  EXPECT_THAT(rows[2]["status"]["message"].get<std::string>(), HasSubstr("line 3: not valid JSON"));
  EXPECT_EQ(rows[3]["index"], 3);
  EXPECT_THAT(stderr_, HasSubstr("line 2: logps.policy_chosen_logp"));
  EXPECT_THAT(stderr_, HasSubstr("kto_pair: kl_chosen=0.1"));
  EXPECT_THAT(stdout_, HasSubstr("evaluated 2 of 4 rows, 2 failed"));
  EXPECT_EQ(Run("evaluate --input logps.jsonl --output out.jsonl --objective sigmoid"), 1) << "exists";
  EXPECT_EQ(Run("evaluate --input logps.jsonl --output -"), 2) << "no objective";
  EXPECT_EQ(Run("evaluate --input logps.jsonl --output - --objective sigmoid:beta=-1"), 2);
  EXPECT_THAT(stderr_, HasSubstr("beta: is -1"));
}

TEST_F(CliTest, AnalyzeWritesItsFiles) {
  Write("scores.jsonl",
        R"({"id": "a", "policy_chosen_logp": -1, "policy_rejected_logp": -3, "reference_chosen_logp": -2,)"
        R"( "reference_rejected_logp": -2.5})"
        "\n");
  EXPECT_EQ(Run("analyze --input scores.jsonl --html page.html --json report.json"), 0) << stderr_;
  EXPECT_THAT(stdout_, HasSubstr("Learning table"));
  EXPECT_EQ(nlohmann::json::parse(ReadFile(folder_ / "report.json"))["num_pairs"], 1);
  EXPECT_THAT(ReadFile(folder_ / "page.html"), HasSubstr("</html>"));
  EXPECT_EQ(Run("analyze --input scores.jsonl --json -"), 0);
  EXPECT_EQ(nlohmann::json::parse(stdout_)["num_pairs"], 1);
  EXPECT_THAT(stderr_, HasSubstr("Learning table"));
  EXPECT_EQ(Run("analyze --input scores.jsonl --html missing/page.html"), 1);
  EXPECT_THAT(stderr_, HasSubstr("cannot write missing/page.html"));
  EXPECT_EQ(Run("analyze --input scores.jsonl --sweep beta=x"), 2);
}

TEST_F(CliTest, Health) {
  EXPECT_EQ(Run(absl::StrCat("health --server ", server_.address())), 0);
  EXPECT_EQ(stdout_, "SERVING\n");
  EXPECT_EQ(Run(absl::StrCat("health --service unknown --server ", server_.address())), 1);
  server_.SetServing(false);
  EXPECT_EQ(Run(absl::StrCat("health --server ", server_.address())), 1);
  EXPECT_THAT(stderr_, HasSubstr("NOT_SERVING"));
  EXPECT_EQ(Run("health --server 127.0.0.1:1"), 1);
}

TEST_F(CliTest, Models) {
  EXPECT_EQ(Run(absl::StrCat("models --server ", server_.address())), 0);
  EXPECT_THAT(stdout_, HasSubstr("policy-1"));
  EXPECT_THAT(stdout_, HasSubstr("max_message_bytes"));
  EXPECT_EQ(Run(absl::StrCat("models --json --server ", server_.address())), 0);
  EXPECT_EQ(nlohmann::json::parse(stdout_)["models"][1]["digest"], "reference-1");
}

TEST_F(CliTest, Completions) {
  std::string rows;
  for (int i = 0; i < 7; ++i)
    rows += absl::StrCat(R"({"id": )", i, R"(, "prompt": "Q", "completions": ["a", "bc"]})", "\n");
  Write("prompts.jsonl", rows + "{}\n");
  const std::string completions =
      absl::StrCat("completions --server ", server_.address(), " --input prompts.jsonl --output ");
  EXPECT_EQ(Run(completions + "-"), 3) << stderr_;
  const auto output = Output("stdout");
  ASSERT_THAT(output, SizeIs(8));
  for (int i = 0; i < 7; ++i) {
    EXPECT_EQ(output[i]["id"], absl::StrCat(i));
    EXPECT_EQ(output[i]["index"], i);
    EXPECT_EQ(output[i]["completions"][1]["logps"][0]["logp"], -2.0);
  }
  EXPECT_THAT(output[7]["status"]["message"].get<std::string>(), HasSubstr("line 8: completions"));
  EXPECT_EQ(server_.NumCalls(), 3);  // its limit is 3 prompts a request
  EXPECT_EQ(Run(completions + "out.jsonl"), 3);
  EXPECT_EQ(Run(completions + "out.jsonl"), 1);  // exists
  EXPECT_EQ(Run(completions + "out.jsonl --overwrite"), 3);
  EXPECT_THAT(Output("out.jsonl"), SizeIs(8));
}

TEST_F(CliTest, CompletionsTellGreedyMatchesWhereAsked) {
  Write("prompts.jsonl", R"({"prompt": "Q", "completions": ["a"]})");
  const std::string command =
      absl::StrCat("completions --server ", server_.address(), " --input prompts.jsonl --output -");
  EXPECT_EQ(Run(command), 0) << stderr_;
  EXPECT_FALSE(Output("stdout")[0]["completions"][0]["logps"][0].contains("is_greedy_match"));
  EXPECT_EQ(Run(command + " --greedy-match"), 0) << stderr_;
  EXPECT_EQ(Output("stdout")[0]["completions"][0]["logps"][0]["is_greedy_match"], false) << "told, though false";
}

}  // namespace
}  // namespace prefscore
