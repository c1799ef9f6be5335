// What the tests of net share.
#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <system_error>

#include <treadle/net/tcp.h>

namespace treadle::test {

struct PairOptions {
  int send_buffer = 0;                  // SO_SNDBUF of both ends; 0: the system's
  int receive_buffer = 0;               // SO_RCVBUF of both ends
  std::string congestion_control = {};  // TCP_CONGESTION of the server's end; empty: the system's
};

// The two ends of one TCP connection over 127.0.0.1.
struct TcpPair {
  std::unique_ptr<net::TcpConn> client;
  std::unique_ptr<net::TcpConn> server;
};
// Throws std::system_error when there is none. Does not park (the handshake is the kernel's).
TcpPair make_tcp_pair(const PairOptions& options = {});

// A listener on 127.0.0.1 with a port of the system's choice. Throws std::system_error.
net::Listener make_listener();

// Bytes that differ from place to place, so that a lost or doubled piece shows.
std::string pattern(std::size_t size, std::uint32_t seed = 1);

// Reads exactly `n` bytes; stops early, with a failure of the test, at the end or an error.
std::string read_exactly(net::Conn& conn, std::size_t n, std::size_t buffer = 16384);
// Reads to the end of the stream.
std::string read_all(net::Conn& conn, std::size_t buffer = 16384);

// Fills the connection until the peer's receive buffer and our send buffer are full, and returns
// how many bytes went in. Leaves no write deadline behind. Parks.
std::size_t fill(net::Conn& conn);

inline std::span<std::byte> writable(std::string& s) {
  return std::as_writable_bytes(std::span(s));
}

// What a read ends with; none when bytes came, or the end.
inline std::error_code read_error(net::Conn& conn) {
  std::string buffer(100, '\0');
  const auto n = conn.read(writable(buffer));
  return n ? std::error_code() : n.error();
}

}  // namespace treadle::test
