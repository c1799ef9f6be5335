// What a web server adds: many small files, each asked for once, over a number of connections.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <string>

namespace cold {

// Writes `count` files of `bytes` each into an existing directory, named 000000 and so on, and
// waits until they are on the disk.
void make_files(const std::string& directory, std::size_t count, std::size_t bytes);

// Files 0 to count - 1 of a server on this machine that has `directory` as its root.
struct Asking {
  std::uint16_t port;
  pid_t server;  // whose CPU time is counted
  std::string directory;
  std::size_t count;
  std::size_t connections;
  bool make_cold;  // before the first is asked for
};
// GET /NNNNNN from 127.0.0.1 for each of the files, then the figures of a request.
void get_files(const Asking& asking);

}  // namespace cold
