// SPDX-License-Identifier: Apache-2.0
#include "server/tls/certificate_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/testing/temp_folder.h"
#include "tests/testing/test_authority.h"

namespace prefscore {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::IssuedCertificate;
using testing::TestAuthority;

const absl::Time kNow = absl::FromUnixSeconds(1'800'000'000);
const absl::Time kExpiry = kNow + absl::Hours(24);

class CertificateFilesTest : public ::testing::Test {
 protected:
  std::string Path(const std::string& name) const { return (folder_.path() / name).string(); }
  void Write(const std::string& name, const std::string& content) const { std::ofstream(Path(name)) << content; }
  void Write(const IssuedCertificate& issued) const {
    Write("certificate.pem", issued.certificate);
    Write("key.pem", issued.key);
  }

  IssuedCertificate Issue(absl::Time expiry = kExpiry) const { return authority_.Issue(kNow - absl::Hours(1), expiry); }

  absl::StatusOr<std::shared_ptr<CertificateFiles>> Open(bool is_mutual = false) {
    return CertificateFiles::Open(
        {Path("certificate.pem"), Path("key.pem"), is_mutual ? Path("ca.pem") : ""},
        {.now = [this] { return now_; },
         .warn = [this](const std::string& text) { warnings_.push_back(text); },
         .note = [this](const std::string& text) { notes_.push_back(text); }});
  }

  std::string Fault(bool is_mutual = false) {
    const absl::Status status = Open(is_mutual).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    return std::string(status.message());
  }

  const testing::TempFolder folder_;
  const TestAuthority authority_;
  absl::Time now_ = kNow;
  std::vector<std::string> warnings_;
  std::vector<std::string> notes_;
};

TEST_F(CertificateFilesTest, TellsWhenTheFirstCertificateOfTheChainEnds) {
  const IssuedCertificate issued = Issue();
  Write(issued);
  const auto files = Open();
  ASSERT_TRUE(files.ok()) << files.status();
  EXPECT_EQ((*files)->Current()->expires_at, kExpiry);
  EXPECT_EQ((*files)->Current()->pem.key, issued.key);
  const IssuedCertificate middle = Issue(kExpiry - absl::Hours(3));
  Write("certificate.pem", issued.certificate + middle.certificate + authority_.certificate());
  EXPECT_EQ((*Open())->Current()->expires_at, kExpiry - absl::Hours(3));
}

TEST_F(CertificateFilesTest, FaultsNameFlagFileAndReason) {
  EXPECT_EQ(Fault(), absl::StrCat("--tls-certificate '", Path("certificate.pem"),
                                  "': cannot be read: No such file or directory"));
  Write(Issue());
  Write("key.pem", Issue().key);
  EXPECT_EQ(Fault(), absl::StrCat("--tls-key '", Path("key.pem"),
                                  "': is not the key of the certificate of --tls-certificate"));
  Write("key.pem", "no key");
  EXPECT_THAT(Fault(), AllOf(HasSubstr("--tls-key '"), HasSubstr("holds no PEM private key, or an encrypted one")));
  std::filesystem::remove(Path("key.pem"));
  std::filesystem::create_directory(Path("key.pem"));
  EXPECT_THAT(Fault(), AllOf(HasSubstr("--tls-key '"), HasSubstr("cannot be read: Is a directory")));
  std::filesystem::remove(Path("key.pem"));

  Write(Issue(kNow));
  EXPECT_THAT(Fault(), AllOf(HasSubstr("--tls-certificate '"), HasSubstr("expired at 2027-01-15 08:00:00 UTC")));
  Write(authority_.Issue(kNow + absl::Seconds(1), kExpiry));
  EXPECT_THAT(Fault(), HasSubstr("is not valid before 2027-01-15 08:00:01 UTC"));
  const IssuedCertificate issued = Issue();
  Write(issued);
  Write("certificate.pem", issued.certificate + "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
  EXPECT_THAT(Fault(), HasSubstr("certificate 2 is broken"));
  Write("certificate.pem", "");
  EXPECT_THAT(Fault(), HasSubstr("holds no PEM certificate"));
  Write("certificate.pem", std::string((4 << 20) + 1, 'x'));
  EXPECT_THAT(Fault(), HasSubstr("is longer than 4194304 bytes"));
}

TEST_F(CertificateFilesTest, AnExpiredCertificateBesideTheOwnOneIsWarnedOfAndNoMore) {
  const IssuedCertificate issued = Issue();
  Write(issued);
  Write("certificate.pem", issued.certificate + authority_.certificate() + Issue(kNow - absl::Seconds(1)).certificate);
  const auto files = Open();
  ASSERT_TRUE(files.ok()) << files.status();
  EXPECT_EQ((*files)->Current()->expires_at, kExpiry) << "what has expired says nothing about when to act";
  ASSERT_EQ(warnings_.size(), 1);
  EXPECT_EQ(warnings_[0],
            absl::StrCat("--tls-certificate '", Path("certificate.pem"),
                         "': certificate 3 expired at 2027-01-15 07:59:59 UTC, and is sent all the same"));
}

TEST_F(CertificateFilesTest, AnEmptyListOfClientAuthoritiesIsAFaultAndLetsNobodyIn) {
  Write(Issue());
  Write("ca.pem", "");
  EXPECT_EQ(Fault(/*is_mutual=*/true), absl::StrCat("--tls-client-ca '", Path("ca.pem"), "': is empty"));
  Write("ca.pem", "# none\n");
  EXPECT_THAT(Fault(/*is_mutual=*/true), AllOf(HasSubstr("--tls-client-ca '"), HasSubstr("no PEM certificate")));
  Write("ca.pem", authority_.certificate());
  const auto files = Open(/*is_mutual=*/true);
  ASSERT_TRUE(files.ok()) << files.status();
  EXPECT_EQ(SSL_CTX_get_verify_mode((*files)->Current()->context.get()),
            SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT);
}

TEST_F(CertificateFilesTest, ReplacedFilesAreTakenAtMostOnceASecond) {
  Write(Issue());
  const auto files = *Open();
  const auto first = files->Current();
  Write(Issue(kExpiry + absl::Hours(24)));
  now_ += absl::Milliseconds(999);
  EXPECT_EQ(files->Current(), first);
  now_ += absl::Milliseconds(1);
  EXPECT_EQ(files->Current()->expires_at, kExpiry + absl::Hours(24));
  const auto second = files->Current();
  now_ += absl::Hours(1);
  EXPECT_EQ(files->Current(), second) << "the same bytes are the same material";
  EXPECT_TRUE(warnings_.empty());
  ASSERT_EQ(notes_.size(), 2);
  EXPECT_EQ(notes_[1], absl::StrCat("the certificate of '", Path("certificate.pem"),
                                    "' is in use; it ends at 2027-01-17 08:00:00 UTC"));
}

TEST_F(CertificateFilesTest, ACertificateAndItsKeyMayBeReplacedOneAfterTheOther) {
  Write(Issue());
  const auto files = *Open();
  const IssuedCertificate next = Issue(kExpiry + absl::Hours(24));
  for (const auto& [name, content] : {std::pair("certificate.pem", next.certificate), std::pair("key.pem", next.key)}) {
    Write(name, content);
    now_ += absl::Seconds(1);
    files->Current();
  }
  EXPECT_EQ(files->Current()->expires_at, kExpiry + absl::Hours(24));
  EXPECT_TRUE(warnings_.empty()) << warnings_.front();
}

TEST_F(CertificateFilesTest, AClockThatIsSetBackDoesNotStopReading) {
  Write(Issue());
  const auto files = *Open();
  Write(Issue(kExpiry + absl::Hours(24)));
  now_ -= absl::Minutes(30);
  EXPECT_EQ(files->Current()->expires_at, kExpiry + absl::Hours(24));
}

TEST_F(CertificateFilesTest, BrokenFilesChangeNothingAndAreWarnedOfOnce) {
  Write(Issue());
  const auto files = *Open();
  const auto first = files->Current();
  Write("key.pem", Issue().key);
  for (int second = 0; second < 3; ++second) {
    now_ += absl::Seconds(1);
    EXPECT_EQ(files->Current(), first);
  }
  ASSERT_EQ(warnings_.size(), 1);
  EXPECT_THAT(warnings_[0], AllOf(HasSubstr("stays in use"), HasSubstr("--tls-key '"), HasSubstr("is not the key")));
  const auto look_twice = [&] {
    for (int look = 0; look < 2; ++look) {
      now_ += absl::Seconds(1);
      files->Current();
    }
  };
  std::filesystem::remove(Path("key.pem"));
  look_twice();
  EXPECT_EQ(files->Current(), first);
  EXPECT_EQ(warnings_.size(), 2) << "another fault";
  Write(Issue(kExpiry + absl::Hours(24)));
  look_twice();
  EXPECT_EQ(files->Current()->expires_at, kExpiry + absl::Hours(24));
  Write("key.pem", "");
  look_twice();
  EXPECT_EQ(warnings_.size(), 3) << "a fault that comes again is told again";
}

}  // namespace
}  // namespace prefscore
