// The process that takes over: the same program, started anew with our sockets.
#pragma once

#include <sys/types.h>

#include <expected>
#include <string>
#include <vector>

#include <treadle/timer.h>

#include "service/inherited.h"

namespace treadle::net::service {

// How this process was started.
struct Program {
  std::string path;  // absolute; a new file that is put there is what the successor runs
  std::vector<std::string> arguments;    // argv, its first one too
  std::vector<std::string> environment;  // "NAME=value", without what was meant for this process
};

// To be called first thing: it remembers where relative names led. The path is the one in argv[0],
// or that argv[0] leads to by PATH, so that a symbolic link to a release is followed anew; if that
// was another file (argv[0] may say anything), the file's own name.
std::expected<Program, std::string> this_program();

// What is said by the end of a process: "exit code 2", "signal 9 (Killed)".
std::string describe_end(int wait_status);

// Starts the program with these sockets and waits until it says that it serves. Its signal mask is
// empty and SIGPIPE acts by default. When it ends before that, or says nothing within `limit`, or
// the current Context ends, it is killed and reaped; the error is a clause. Parks the calling G.
std::expected<pid_t, std::string> start_successor(const Program& program,
                                                  std::vector<InheritedSocket> sockets,
                                                  Duration limit);

// The other side: tells the predecessor that we serve. Never blocks.
void tell_predecessor(int ready_fd) noexcept;

}  // namespace treadle::net::service
