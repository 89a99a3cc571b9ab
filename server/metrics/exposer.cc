// SPDX-License-Identifier: Apache-2.0
#include "server/metrics/exposer.h"

#include <httplib.h>
#include <sys/socket.h>

#include <chrono>
#include <iterator>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "prometheus/text_serializer.h"
#include "server/util/host_port.h"

namespace prefscore {
namespace {

constexpr int kNumThreads = 8;  // so many scrapes at once; each slow reader holds one for kTimeout at most
constexpr std::chrono::seconds kTimeout(5);
constexpr std::size_t kMaxBodyBytes = 1024;  // a scrape has none

// By default the library lets two servers share a port.
void SetSocketOptions(int descriptor) {
  const int yes = 1;
  setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
}

// At the start of each handshake: what the files hold now.
int ServeCurrentCertificate(SSL* connection, int*, void* files) {
  const std::shared_ptr<const TlsMaterial> material = static_cast<CertificateFiles*>(files)->Current();
  SSL_CTX* const context = material->context.get();
  if (SSL_set_SSL_CTX(connection, context) == nullptr) return SSL_CLIENT_HELLO_ERROR;
  SSL_set_verify(connection, SSL_CTX_get_verify_mode(context), nullptr);
  SSL_set1_verify_cert_store(connection, SSL_CTX_get_cert_store(context));
  return SSL_CLIENT_HELLO_SUCCESS;
}

std::unique_ptr<httplib::Server> MakeServer(const std::shared_ptr<CertificateFiles>& files) {
  if (files == nullptr) return std::make_unique<httplib::Server>();
  return std::make_unique<httplib::SSLServer>([files](SSL_CTX& context) {
    SSL_CTX_set_min_proto_version(&context, TLS1_2_VERSION);
    // A resumed session would keep the certificate that it began with.
    SSL_CTX_set_session_cache_mode(&context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_options(&context, SSL_OP_NO_TICKET);
    SSL_CTX_set_client_hello_cb(&context, ServeCurrentCertificate, files.get());
    return true;
  });
}

std::string TextOf(const MetricsExposer::Sources& sources) {
  std::vector<prometheus::MetricFamily> families;
  for (const auto& source : sources) {
    std::vector<prometheus::MetricFamily> more = source->Collect();
    families.insert(families.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
  }
  return prometheus::TextSerializer().Serialize(families);
}

}  // namespace

absl::StatusOr<std::unique_ptr<MetricsExposer>> MetricsExposer::Start(
    ExposerOptions options, Sources sources) {
  std::unique_ptr<httplib::Server> server = MakeServer(options.files);
  server->set_socket_options(SetSocketOptions);
  server->set_read_timeout(kTimeout);
  server->set_write_timeout(kTimeout);
  server->set_payload_max_length(kMaxBodyBytes);
  server->new_task_queue = [] { return new httplib::ThreadPool(kNumThreads); };  // the server deletes it
  server->Get("/metrics", [files = options.files, may_scrape = options.may_scrape, sources = std::move(sources)](
                              const httplib::Request& request, httplib::Response& response) {
    std::vector<std::string_view> authorizations;
    const auto [begin, end] = request.headers.equal_range("Authorization");
    for (auto header = begin; header != end; ++header) authorizations.push_back(header->second);
    if (may_scrape != nullptr && !may_scrape(authorizations)) {
      response.status = 401;
      response.set_header("WWW-Authenticate", "Bearer");
      response.set_content("a token with the role metrics is needed\n", "text/plain; charset=utf-8");
      return;
    }
    response.set_content(TextOf(sources), "text/plain; version=0.0.4; charset=utf-8");
  });

  std::string host = HostOf(options.address);
  if (host.size() > 2 && host.front() == '[') host = host.substr(1, host.size() - 2);
  int port = 0;
  const bool is_number = absl::SimpleAtoi(options.address.substr(options.address.rfind(':') + 1), &port);
  if (is_number && port == 0) {
    port = server->bind_to_any_port(host);
  } else if (!is_number || !server->bind_to_port(host, port)) {
    port = -1;
  }
  if (port <= 0) {
    return absl::UnavailableError(absl::StrCat("cannot serve metrics on ", options.address,
                                               ": the port is in use or the address is not this machine's"));
  }
  return std::unique_ptr<MetricsExposer>(new MetricsExposer(std::move(server), port));
}

MetricsExposer::MetricsExposer(std::unique_ptr<httplib::Server> server, int port)
    : server_(std::move(server)), port_(port), acceptor_([this] {
        server_->listen_after_bind();
        has_stopped_ = true;
      }) {}

MetricsExposer::~MetricsExposer() {
  while (!server_->is_running() && !has_stopped_) std::this_thread::yield();  // stop does nothing before it runs
  server_->stop();
  acceptor_.join();
}

}  // namespace prefscore
