// Becoming another user, for good.
#pragma once

#include <sys/types.h>

#include <expected>
#include <optional>
#include <string>

namespace treadle::net::service {

// Whom to become. A user without a group brings the groups the system lists for him; a group
// without a user leaves the user as he is.
struct Identity {
  std::optional<uid_t> user;
  gid_t group = 0;
  std::string user_name;  // for his further groups; empty: none but `group`
};

// Looks the names up; either may be a number. Nothing when both are empty. The error is a clause,
// `unknown user "x"`. May read files and ask the network (nsswitch): not for goroutines.
std::expected<std::optional<Identity>, std::string> find_identity(const std::string& user,
                                                                  const std::string& group);

// Takes on the identity: groups, group, user, in all three forms of each; drops every capability;
// and tries whether the way back is closed. Nothing changes for a process that is that user
// already. The error is a clause; the process is then good for nothing but to end.
//   To be called while the process has one thread: capabilities belong to threads.
//   Core dumps and debuggers of ordinary users are off from here on, as Linux does it after any
// change of user: memory may hold what only the first user may read.
std::expected<void, std::string> become(const Identity& who);

// Whether the process has more threads than the caller, the sanitizers' own aside.
bool has_threads();

}  // namespace treadle::net::service
