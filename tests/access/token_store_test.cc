// SPDX-License-Identifier: Apache-2.0
#include "server/access/token_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/crypto.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <set>

#include "absl/strings/str_cat.h"
#include "server/access/new_token.h"
#include "server/access/token_file.h"
#include "tests/testing/temp_folder.h"

namespace prefscore {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(FindDigestTest, FindsEachAndNone) {
  std::vector<Sha256Digest> digests;
  for (int idx = 0; idx < 5; ++idx) digests.push_back(Sha256(absl::StrCat("token", idx)));
  for (std::size_t idx = 0; idx < 5; ++idx) {
    EXPECT_EQ(FindDigest(digests, Sha256(absl::StrCat("token", idx)), CRYPTO_memcmp), idx);
  }
  EXPECT_EQ(FindDigest(digests, Sha256("other"), CRYPTO_memcmp), 5);
  EXPECT_EQ(FindDigest({}, Sha256("other"), CRYPTO_memcmp), 0);
}

int num_compared = 0;
int CountingCompare(const void* left, const void* right, std::size_t num_bytes) {
  EXPECT_EQ(num_bytes, 32);
  ++num_compared;
  return CRYPTO_memcmp(left, right, num_bytes);
}

TEST(FindDigestTest, LooksAtAllOfThemWhereverOneFits) {
  std::vector<Sha256Digest> digests;
  for (int idx = 0; idx < 5; ++idx) digests.push_back(Sha256(absl::StrCat("token", idx)));
  for (const char* token : {"token0", "token4", "other"}) {
    num_compared = 0;
    FindDigest(digests, Sha256(token), CountingCompare);
    EXPECT_EQ(num_compared, 5) << token;
  }
}

TEST(NewTokenTest, IsRandomAndItsEntryIsThatOfTheFile) {
  std::set<std::string> tokens;
  for (int idx = 0; idx < 100; ++idx) tokens.insert(NewToken().value());
  EXPECT_EQ(tokens.size(), 100);
  const std::string token = *tokens.begin();
  EXPECT_THAT(token, ::testing::StartsWith("prefscore_"));
  EXPECT_GE(token.size(), 10 + 43) << "256 bits in base64";
  EXPECT_EQ(token.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"),
            std::string::npos);
  const auto entries = ParseTokenFile("tokens.toml", TokenFileEntry("ops", {Role::kAdmin, Role::kMetrics}, token));
  ASSERT_TRUE(entries.ok()) << entries.status();
  EXPECT_EQ(entries->front().name, "ops");
  EXPECT_EQ(entries->front().digest, Sha256(token));
  EXPECT_TRUE(entries->front().Has(Role::kAdmin));
  EXPECT_TRUE(entries->front().Has(Role::kMetrics));
  EXPECT_FALSE(entries->front().Has(Role::kScore));
}

class TokenStoreTest : public ::testing::Test {
 protected:
  TokenStoreTest() { umask(022); }  // whoever runs the tests: files that only their owner writes

  void Write(const std::string& text) { std::ofstream(path_) << text; }

  void Load() {
    AccessObserver observer;
    observer.on_refused = [this](AccessRefusal reason) { refused_.push_back(reason); };
    observer.on_let_in = [this](const std::string& token) { let_in_.push_back(token); };
    observer.on_reload_failed = [this] { ++num_failed_; };
    observer.on_note = [this](const std::string& note) { notes_.push_back(note); };
    observer.on_warning = [this](const std::string& fault) { warnings_.push_back(fault); };
    observer.on_loaded = [this](const std::vector<TokenEntry>& entries) { num_loaded_ += entries.size(); };
    auto store = TokenStore::Load(path_, observer, [this] { return now_; });
    ASSERT_TRUE(store.ok()) << store.status();
    store_ = *std::move(store);
  }

  static std::string Entry(const std::string& name, const std::string& token, Role role,
                           const std::string& more = "") {
    return TokenFileEntry(name, {role}, token) + more + "\n";
  }

  absl::StatusOr<TokenPtr> TokenOf(std::string_view authorization, Role role = Role::kScore) {
    return store_->Authorize(std::vector{authorization}, role);
  }
  absl::Status Authorize(std::string_view authorization, Role role = Role::kScore) {
    return TokenOf(authorization, role).status();
  }

  testing::TempFolder folder_;
  const std::string path_ = folder_.path() / "tokens.toml";
  absl::Time now_ = absl::FromCivil(absl::CivilSecond(2027, 1, 1, 0, 0, 0), absl::UTCTimeZone());
  std::vector<AccessRefusal> refused_;
  std::vector<std::string> let_in_;
  std::vector<std::string> notes_;
  std::vector<std::string> warnings_;
  int num_failed_ = 0;
  std::size_t num_loaded_ = 0;
  std::unique_ptr<TokenStore> store_;
};

TEST_F(TokenStoreTest, LetsInWhomTheFileKnows) {
  Write(Entry("a", "secret-a", Role::kScore) + Entry("b", "secret-b", Role::kAdmin));
  Load();
  const auto token = TokenOf("Bearer secret-a");
  ASSERT_TRUE(token.ok()) << token.status();
  EXPECT_EQ((*token)->entry.name, "a");
  EXPECT_TRUE(Authorize("bearer secret-a").ok()) << "the scheme's case does not matter";
  EXPECT_TRUE(Authorize("Bearer   secret-b", Role::kAdmin).ok());
  EXPECT_THAT(let_in_, ElementsAre("a", "a", "b"));
  EXPECT_TRUE(refused_.empty());
  EXPECT_EQ(num_loaded_, 2);
}

TEST_F(TokenStoreTest, RefusesTheRestByName) {
  Write(Entry("a", "secret-a", Role::kScore) + Entry("old", "secret-old", Role::kScore, "expires = 2026-12-31"));
  Load();
  const absl::Status none = store_->Authorize({}, Role::kScore).status();
  EXPECT_EQ(none.code(), absl::StatusCode::kUnauthenticated);
  EXPECT_THAT(std::string(none.message()), HasSubstr("send the metadata 'authorization: Bearer TOKEN'"));
  const std::string_view twice[] = {"Bearer secret-a", "Bearer secret-a"};
  EXPECT_THAT(std::string(store_->Authorize(twice, Role::kScore).status().message()),
              ::testing::StartsWith("'authorization' was sent 2 times; send the metadata"));
  for (const char* authorization : {"", "Bearer", "Bearer ", "Basic secret-a", "secret-a", "Bearer\tsecret-a"}) {
    EXPECT_EQ(Authorize(authorization).code(), absl::StatusCode::kUnauthenticated) << authorization;
  }
  for (const char* authorization : {"Bearer secret-", "Bearer secret-aa", "Bearer Secret-a", "Bearer secret-a ",
                                    "Bearer 0000"}) {
    const absl::Status status = Authorize(authorization);
    EXPECT_EQ(status.code(), absl::StatusCode::kUnauthenticated) << authorization;
    EXPECT_THAT(std::string(status.message()), HasSubstr("the token is not known here"));
  }
  const absl::Status role = Authorize("Bearer secret-a", Role::kAdmin);
  EXPECT_EQ(role.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(std::string(role.message()), "this call needs the role 'admin'; the token 'a' has: score");
  const absl::Status expired = Authorize("Bearer secret-old");
  EXPECT_EQ(expired.code(), absl::StatusCode::kUnauthenticated);
  EXPECT_EQ(std::string(expired.message()), "the token 'old' expired at 2026-12-31T00:00:00+00:00");
  EXPECT_TRUE(let_in_.empty());
  const std::set<AccessRefusal> reasons(refused_.begin(), refused_.end());
  EXPECT_EQ(reasons.size(), 4);
}

TEST_F(TokenStoreTest, TheHashIsNoToken) {
  const std::string entry = Entry("a", "secret-a", Role::kScore);
  Write(entry);
  Load();
  const std::size_t begin = entry.find("sha256 = \"") + 10;
  EXPECT_EQ(Authorize("Bearer " + entry.substr(begin, 64)).code(), absl::StatusCode::kUnauthenticated);
}

TEST_F(TokenStoreTest, TokensExpireWhileTheServerRuns) {
  Write(Entry("a", "secret-a", Role::kScore, "expires = 2027-01-02"));
  Load();
  const auto token = TokenOf("Bearer secret-a");
  ASSERT_TRUE(token.ok());
  now_ += absl::Hours(24) - absl::Milliseconds(1);
  EXPECT_TRUE(store_->Recheck(**token, Role::kScore).ok());
  now_ += absl::Milliseconds(1);
  EXPECT_EQ(Authorize("Bearer secret-a").code(), absl::StatusCode::kUnauthenticated);
  EXPECT_EQ(store_->Recheck(**token, Role::kScore).code(), absl::StatusCode::kUnauthenticated);
}

TEST_F(TokenStoreTest, FollowsItsFile) {
  Write(Entry("a", "secret-a", Role::kScore) + Entry("b", "secret-b", Role::kScore));
  Load();
  const auto token = TokenOf("Bearer secret-a");
  ASSERT_TRUE(token.ok());
  store_->ReloadIfChanged();
  EXPECT_TRUE(notes_.empty()) << "nothing has changed";
  Write(Entry("b", "secret-b", Role::kScore) + Entry("c", "secret-c", Role::kScore));
  now_ += absl::Seconds(5);
  store_->ReloadIfChanged();
  EXPECT_THAT(notes_, ElementsAre(absl::StrCat("took 2 tokens from ", path_)));
  EXPECT_TRUE(Authorize("Bearer secret-c").ok());
  EXPECT_EQ(Authorize("Bearer secret-a").code(), absl::StatusCode::kUnauthenticated);
  EXPECT_EQ(std::string(store_->Recheck(**token, Role::kScore).message()),
            "the token 'a' was taken out of this server's token file");
  const TokenFileState state = store_->State();
  EXPECT_EQ(state.path, path_);
  EXPECT_EQ(state.num_tokens, 2);
  EXPECT_EQ(state.loaded, now_);
  EXPECT_EQ(state.fault, "");
}

TEST_F(TokenStoreTest, AFileThatReplacesAnotherIsSeen) {
  Write(Entry("a", "secret-a", Role::kScore));
  Load();
  const std::string next = folder_.path() / "next.toml";
  std::ofstream(next) << Entry("a", "secret-x", Role::kScore);  // as long as the first
  std::filesystem::rename(next, path_);
  store_->ReloadIfChanged();
  EXPECT_TRUE(Authorize("Bearer secret-x").ok());
}

TEST_F(TokenStoreTest, ABrokenFileChangesNothing) {
  Write(Entry("a", "secret-a", Role::kScore));
  Load();
  Write("[[token]\n");
  store_->ReloadIfChanged();
  store_->ReloadIfChanged();
  EXPECT_EQ(num_failed_, 1) << "told once";
  EXPECT_THAT(notes_, IsEmpty());
  EXPECT_THAT(warnings_, ElementsAre(HasSubstr("the tokens in force stay: " + path_ + ":1: ")));
  EXPECT_TRUE(Authorize("Bearer secret-a").ok());
  EXPECT_THAT(store_->State().fault, HasSubstr(path_));
  std::filesystem::remove(path_);
  store_->ReloadIfChanged();
  EXPECT_EQ(num_failed_, 2);
  EXPECT_EQ(store_->Reload().code(), absl::StatusCode::kInvalidArgument) << "whoever asks is told";
  EXPECT_TRUE(Authorize("Bearer secret-a").ok());
  Write(Entry("b", "secret-b", Role::kScore));
  store_->ReloadIfChanged();
  EXPECT_EQ(store_->State().fault, "");
  EXPECT_EQ(Authorize("Bearer secret-a").code(), absl::StatusCode::kUnauthenticated);
}

// Makes the process find no file descriptor for a file while it lives.
class NoDescriptors {
 public:
  NoDescriptors() {
    getrlimit(RLIMIT_NOFILE, &before_);
    const rlimit none = {0, before_.rlim_max};
    setrlimit(RLIMIT_NOFILE, &none);
  }
  ~NoDescriptors() { setrlimit(RLIMIT_NOFILE, &before_); }

 private:
  rlimit before_;
};

TEST_F(TokenStoreTest, ATokenThatIsTakenOutWhileFilesCannotBeReadIsRefusedOnceTheyCan) {
  Write(Entry("a", "secret-a", Role::kScore));
  Load();
  Write(Entry("b", "secret-b", Role::kScore));
  {
    const NoDescriptors fault;
    for (int look = 0; look < 3; ++look) store_->ReloadIfChanged();
  }
  EXPECT_EQ(num_failed_, 1) << "told once";
  EXPECT_THAT(warnings_, ElementsAre(HasSubstr("cannot be read: Too many open files")));
  EXPECT_TRUE(Authorize("Bearer secret-a").ok());
  store_->ReloadIfChanged();
  EXPECT_EQ(Authorize("Bearer secret-a").code(), absl::StatusCode::kUnauthenticated);
  EXPECT_TRUE(Authorize("Bearer secret-b").ok());
  EXPECT_EQ(store_->State().fault, "");
}

TEST_F(TokenStoreTest, AFaultThatBecomesAnotherIsTold) {
  Write(Entry("a", "secret-a", Role::kScore));
  Load();
  {
    const NoDescriptors fault;
    store_->ReloadIfChanged();
    EXPECT_TRUE(warnings_.empty()) << "an unchanged file is not read";
    EXPECT_FALSE(store_->Reload().ok());
  }
  std::filesystem::remove(path_);
  store_->ReloadIfChanged();
  EXPECT_THAT(warnings_, ElementsAre(HasSubstr("Too many open files"), HasSubstr("No such file")));
}

TEST_F(TokenStoreTest, WhoElseCanWriteTheFileIsTold) {
  Write(Entry("a", "secret-a", Role::kScore));
  ASSERT_EQ(chmod(path_.c_str(), 0660), 0);
  Load();
  EXPECT_THAT(warnings_, ElementsAre(AllOf(HasSubstr("can be written by its group, "), HasSubstr("chmod g-w"))));
  ASSERT_EQ(chmod(path_.c_str(), 0640), 0);
  store_->ReloadIfChanged();
  EXPECT_EQ(warnings_.size(), 1) << "the group may read it";
  if (chown(path_.c_str(), 12345, 0) != 0) return;  // only root can make another user its owner
  store_->ReloadIfChanged();
  ASSERT_EQ(warnings_.size(), 2);
  EXPECT_THAT(warnings_.back(), HasSubstr("can be written by its owner, user 12345, "));
  EXPECT_TRUE(Authorize("Bearer secret-a").ok());
}

TEST_F(TokenStoreTest, ARoleMayBeTaken) {
  Write(Entry("a", "secret-a", Role::kScore));
  Load();
  const auto token = TokenOf("Bearer secret-a");
  ASSERT_TRUE(token.ok());
  Write(Entry("a", "secret-a", Role::kMetrics));
  ASSERT_TRUE(store_->Reload().ok());
  EXPECT_EQ(store_->Recheck(**token, Role::kScore).code(), absl::StatusCode::kPermissionDenied);
}

TEST_F(TokenStoreTest, AReloadForgetsNoDebt) {
  Write(Entry("a", "secret-a", Role::kScore, "tokens_per_second = 1"));
  Load();
  const auto token = TokenOf("Bearer secret-a");
  ASSERT_TRUE(token.ok());
  EXPECT_TRUE((*token)->quota->Take(1000).ok());
  Write(Entry("a", "secret-new", Role::kScore, "tokens_per_second = 1 # rotated"));
  ASSERT_TRUE(store_->Reload().ok());
  const auto rotated = TokenOf("Bearer secret-new");
  ASSERT_TRUE(rotated.ok());
  EXPECT_FALSE((*rotated)->quota->Take(1).ok());
  Write(Entry("a", "secret-new", Role::kScore, "tokens_per_second = 1000000"));
  ASSERT_TRUE(store_->Reload().ok());
  now_ += absl::Seconds(1);
  EXPECT_TRUE((*rotated)->quota->Take(1).ok()) << "calls that run have the new limits";
}

TEST_F(TokenStoreTest, AServerDoesNotStartWithABrokenFile) {
  Write("[[token]]\n");
  const auto store = TokenStore::Load(path_, {});
  EXPECT_EQ(store.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(store.status().message()), HasSubstr("name: is missing"));
}

}  // namespace
}  // namespace prefscore
