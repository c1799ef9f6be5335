// Conns for tests that care about one or two of their functions.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <utility>

#include <treadle/net/conn.h>

namespace treadle::test {

// Does nothing, and says that it went well. What reads and writes is the test's.
class InertConn : public net::Conn {
 public:
  using Conn::write_all;
  Result<void> wait_readable() override { return {}; }
  void set_read_deadline(Deadline) override {}
  void set_write_deadline(Deadline) override {}
  void ignore_context() override {}
  Result<void> shutdown_write() override { return {}; }
  void close() noexcept override {}
  bool peer_closed() const noexcept override { return false; }
  net::SocketAddress local_address() const override { return {}; }
  net::SocketAddress remote_address() const override { return {}; }
};

// Hands everything on to another one.
class WrappedConn : public net::Conn {
 public:
  explicit WrappedConn(std::unique_ptr<net::Conn> inner) : inner_(std::move(inner)) {}
  using Conn::write_all;
  Result<std::size_t> read(std::span<std::byte> into) override { return inner_->read(into); }
  net::WriteResult write_all(std::span<const iovec> parts) override {
    return inner_->write_all(parts);
  }
  void set_cork(Cork cork) noexcept override { inner_->set_cork(cork); }
  Result<void> wait_readable() override { return inner_->wait_readable(); }
  void set_read_deadline(Deadline d) override { inner_->set_read_deadline(d); }
  void set_write_deadline(Deadline d) override { inner_->set_write_deadline(d); }
  void ignore_context() override { inner_->ignore_context(); }
  Result<void> shutdown_write() override { return inner_->shutdown_write(); }
  void close() noexcept override { inner_->close(); }
  bool peer_closed() const noexcept override { return inner_->peer_closed(); }
  net::SocketAddress local_address() const override { return inner_->local_address(); }
  net::SocketAddress remote_address() const override { return inner_->remote_address(); }

 protected:
  std::unique_ptr<net::Conn> inner_;
};

// Hands everything on, and notes what becomes of the writing side: "write cork write end close ".
class NotingConn final : public WrappedConn {
 public:
  // `notes` must outlive it.
  NotingConn(std::unique_ptr<net::Conn> inner, std::string& notes)
      : WrappedConn(std::move(inner)), notes_(notes) {}
  using Conn::write_all;
  net::WriteResult write_all(std::span<const iovec> parts) override {
    notes_ += "write ";
    return inner_->write_all(parts);
  }
  void set_cork(Cork cork) noexcept override {
    notes_ += cork == Cork::in ? "cork " : "uncork ";
    inner_->set_cork(cork);
  }
  Result<void> shutdown_write() override {
    notes_ += "end ";
    return inner_->shutdown_write();
  }
  void close() noexcept override {
    notes_ += "close ";
    inner_->close();
  }

 private:
  std::string& notes_;
};

}  // namespace treadle::test
