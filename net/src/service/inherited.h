// Sockets that this process was started with: by a service manager (LISTEN_FDS, as sd_listen_fds(3)
// describes), or by its predecessor, which SIGUSR2 told to start it.
//
// The predecessor uses a variable of its own, TREADLE_HANDOVER: LISTEN_PID must hold the pid of the
// process that is meant, which whoever calls posix_spawn does not know yet. In its place each
// socket comes with its inode's number, which no other socket has: a grandchild that inherits the
// variable and not the descriptors finds that they do not fit, and so nothing. Its lines:
//
//   ready <fd>                              a pipe: "READY\n" once the new process serves
//   socket <fd> <inode> <file|-> <address>  the address as configured; file: its file is ours
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace treadle::net::service {

inline constexpr char kHandoverVariable[] = "TREADLE_HANDOVER";

struct InheritedSocket {
  int fd = -1;
  std::string name;         // from LISTEN_FDNAMES, or the address of the predecessor's
  std::uint64_t inode = 0;  // of a predecessor's
  bool owns_file = false;   // of a predecessor's
};

struct Inheritance {
  std::vector<InheritedSocket> sockets;
  bool from_predecessor = false;
  int ready_fd = -1;  // of a predecessor's
};

// From the three variables' texts, empty where they are not set. Nothing when they mean another
// process, or none. The error is a clause that names the variable.
std::expected<Inheritance, std::string> parse_activation(std::string_view pid, std::string_view fds,
                                                         std::string_view names, pid_t self);

// The variable's text and back. The error is a clause.
std::string format_handover(const Inheritance& i);
std::expected<Inheritance, std::string> parse_handover(std::string_view text);
// Whether the descriptors are what the text says they are.
bool is_ours(const Inheritance& i) noexcept;

// A place to listen, for matching: what it is called among LISTEN_FDNAMES, and its address.
struct WantedSocket {
  std::string name;
  std::string address;
};
// For each place the index of its socket, or nothing where it has none. A predecessor's sockets
// belong to the places with the same address, the first to the first where it stands there twice;
// those left over are not wanted any more. A manager's belong to the places whose name they have,
// and all others, in their order, to the places left, in theirs; more of them than places are an
// error: a clause.
std::expected<std::vector<std::optional<std::size_t>>, std::string> match(
    const Inheritance& i, const std::vector<WantedSocket>& wanted);

}  // namespace treadle::net::service
