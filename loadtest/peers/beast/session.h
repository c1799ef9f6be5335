// One connection of the Beast peer: reads a request, answers it, in the asynchronous style of
// Beast's own documentation, with its time-out on every step.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/ssl.hpp>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>

namespace peer {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using tcp = asio::ip::tcp;

// Without the type-erased executor of beast::tcp_stream: every worker's loop is an io_context.
using TcpStream = beast::basic_stream<tcp, asio::io_context::executor_type>;
using TlsStream = beast::ssl_stream<TcpStream>;

inline constexpr std::chrono::seconds kTimeout{75};

using Request = http::request<http::string_body>;
using TextResponse = http::response<http::string_body>;
using FileResponse = http::response<http::file_body>;
using AnyResponse = std::variant<TextResponse, FileResponse>;

// The answer to a request, its body taken over where it goes back.
AnyResponse respond(Request&& request, const std::string& root);

template <class Stream>
class Session : public std::enable_shared_from_this<Session<Stream>> {
 public:
  template <class... Args>
  explicit Session(const std::string& root, Args&&... args)
      : root_(root), stream_(std::forward<Args>(args)...) {}

  void start() {
    if constexpr (std::is_same_v<Stream, TlsStream>) {
      beast::get_lowest_layer(stream_).expires_after(kTimeout);
      stream_.async_handshake(asio::ssl::stream_base::server,
                              [self = this->shared_from_this()](beast::error_code error) {
                                if (!error) self->read();
                              });
    } else {
      read();
    }
  }

 private:
  void read() {
    parser_.emplace();
    parser_->body_limit(64 * 1024 * 1024);
    beast::get_lowest_layer(stream_).expires_after(kTimeout);
    http::async_read(stream_, buffer_, *parser_,
                     [self = this->shared_from_this()](beast::error_code error, std::size_t) {
                       if (error == http::error::end_of_stream)
                         self->end();
                       else if (!error)
                         self->answer();
                     });
  }

  void answer() {
    response_ = respond(parser_->release(), root_);
    std::visit(
        [this](auto& response) {
          http::async_write(stream_, response,
                            [self = this->shared_from_this(), keep = response.keep_alive()](
                                beast::error_code error, std::size_t) {
                              if (error) return;
                              if (keep)
                                self->read();
                              else
                                self->end();
                            });
        },
        response_);
  }

  void end() {
    if constexpr (std::is_same_v<Stream, TlsStream>) {
      stream_.async_shutdown([self = this->shared_from_this()](beast::error_code) {});
    } else {
      beast::error_code ignored;
      stream_.socket().shutdown(tcp::socket::shutdown_send, ignored);
    }
  }

  const std::string& root_;
  Stream stream_;
  beast::flat_buffer buffer_;
  std::optional<http::request_parser<http::string_body>> parser_;
  AnyResponse response_;
};

}  // namespace peer
