// SPDX-License-Identifier: Apache-2.0
#include "server/metrics/exposer.h"

#include <httplib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "prometheus/text_serializer.h"
#include "server/metrics/bounded_stream.h"
#include "server/metrics/waiting_connections.h"
#include "server/util/host_port.h"
#include "server/util/steady_clock.h"

namespace prefscore {
namespace {

constexpr int kNumThreads = 32;  // so many scrapes at once
constexpr std::size_t kMaxRequestBytes = 16 << 10;
constexpr std::size_t kMaxBodyBytes = 1024;  // a scrape has none

// By default the library lets two servers share a port.
void SetSocketOptions(int descriptor) {
  const int yes = 1;
  setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
}

class Threads : public httplib::TaskQueue {
 public:
  explicit Threads(WaitingConnections& connections) : connections_(connections), pool_(kNumThreads) {}

  void enqueue(std::function<void()> serve_connection) override {
    connections_.OnOpen();
    pool_.enqueue(std::move(serve_connection));
  }

  void shutdown() override {
    connections_.EndAll();
    pool_.shutdown();
  }

 private:
  WaitingConnections& connections_;
  httplib::ThreadPool pool_;
};

// The library's own connections last as long as their peers send a byte now and then, and take headers without end.
class ScrapeServer : public httplib::Server {
 public:
  explicit ScrapeServer(const ExposerOptions& options)
      : files_(options.files), connection_time_(options.connection_time), connections_(kNumThreads) {
    set_socket_options(SetSocketOptions);
    set_payload_max_length(kMaxBodyBytes);
    new_task_queue = [this] { return new Threads(connections_); };  // the library deletes it
  }

  // Once it is bound. By default 5 connections may wait to be accepted; those of more clients are not answered.
  void WidenBacklog() { ::listen(svr_sock_, SOMAXCONN); }

 private:
  bool process_and_close_socket(socket_t socket) override {
    Serve(socket);
    shutdown(socket, SHUT_RDWR);
    close(socket);
    return true;
  }

  void Serve(int socket) {
    const std::shared_ptr<const TlsMaterial> material = files_ == nullptr ? nullptr : files_->Current();
    BoundedStream stream(socket, material == nullptr ? nullptr : material->context.get(),
                         {.end = SteadyNow() + connection_time_, .max_read_bytes = kMaxRequestBytes}, connections_);
    if (!stream.Greet()) return;
    bool is_closed = false;
    // Ranges could ask for the page a thousand times over.
    process_request(stream, /*close_connection=*/true, is_closed,
                    [](httplib::Request& request) { request.ranges.clear(); });
    stream.SayGoodbye();
  }

  const std::shared_ptr<CertificateFiles> files_;
  const absl::Duration connection_time_;
  WaitingConnections connections_;
};

void Refuse(const absl::Status& status, httplib::Response& response) {
  response.status = absl::IsPermissionDenied(status) ? 403 : 401;
  if (response.status == 401) response.set_header("WWW-Authenticate", "Bearer");
  response.set_content(absl::StrCat(std::string(status.message()), "\n"), "text/plain; charset=utf-8");
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
  auto server = std::make_unique<ScrapeServer>(options);
  server->Get("/metrics", [may_scrape = options.may_scrape, sources = std::move(sources)](
                              const httplib::Request& request, httplib::Response& response) {
    if (may_scrape != nullptr) {
      std::vector<std::string_view> authorizations;
      const auto [begin, end] = request.headers.equal_range("Authorization");
      for (auto header = begin; header != end; ++header) authorizations.push_back(header->second);
      if (const absl::Status status = may_scrape(authorizations); !status.ok()) return Refuse(status, response);
    }
    response.set_content(TextOf(sources), "text/plain; version=0.0.4; charset=utf-8");
  });

  const auto host_port = ParseHostPort(options.address);
  int port = -1;
  if (host_port.has_value() && host_port->port == 0) {
    port = server->bind_to_any_port(host_port->host);
  } else if (host_port.has_value() && server->bind_to_port(host_port->host, host_port->port)) {
    port = host_port->port;
  }
  if (port <= 0) {
    return absl::UnavailableError(absl::StrCat("cannot serve metrics on ", options.address,
                                               ": the port is in use or the address is not this machine's"));
  }
  server->WidenBacklog();
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
