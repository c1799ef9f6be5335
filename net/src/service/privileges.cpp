#include "service/privileges.h"

#include <fmt/format.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <filesystem>
#include <iterator>
#include <system_error>
#include <vector>

namespace treadle::net::service {
namespace {

std::string message(int error) { return std::generic_category().message(error); }

std::optional<unsigned> number(const std::string& text) {
  unsigned value = 0;
  const char* end = text.data() + text.size();
  const auto [p, error] = std::from_chars(text.data(), end, value);
  // The highest number means "unchanged" to the system.
  if (text.empty() || error != std::errc{} || p != end || value == ~0U) return std::nullopt;
  return value;
}

// getpwnam_r and its like, with as large a buffer as they want.
template <class Entry, class Call>
std::expected<std::optional<Entry>, int> look_up(std::vector<char>& buffer, const Call& call) {
  constexpr std::size_t kMost = 1 << 20;
  buffer.resize(4096);
  for (;;) {
    Entry entry{};
    Entry* found = nullptr;
    const int error = call(&entry, buffer.data(), buffer.size(), &found);
    if (error == ERANGE && buffer.size() < kMost) {
      buffer.resize(buffer.size() * 2);
      continue;
    }
    if (found != nullptr) return entry;
    // Some systems answer with these where there is just no such name.
    if (error == 0 || error == ENOENT || error == ESRCH || error == EBADF || error == EPERM)
      return std::nullopt;
    return std::unexpected(error);
  }
}

std::expected<Identity, std::string> find_user(const std::string& user) {
  std::vector<char> buffer;
  const auto id = number(user);
  auto entry = look_up<passwd>(buffer, [&](auto... out) {
    return id ? ::getpwuid_r(*id, out...) : ::getpwnam_r(user.c_str(), out...);
  });
  if (!entry)
    return std::unexpected(
        fmt::format("user \"{}\" cannot be looked up: {}", user, message(entry.error())));
  if (*entry) return Identity{(*entry)->pw_uid, (*entry)->pw_gid, (*entry)->pw_name};
  if (id) return Identity{.user = id, .group = *id, .user_name = {}};
  return std::unexpected(fmt::format("unknown user \"{}\"", user));
}

std::expected<gid_t, std::string> find_group(const std::string& name) {
  if (const auto id = number(name)) return *id;
  std::vector<char> buffer;
  auto entry = look_up<struct group>(
      buffer, [&](auto... out) { return ::getgrnam_r(name.c_str(), out...); });
  if (!entry)
    return std::unexpected(
        fmt::format("group \"{}\" cannot be looked up: {}", name, message(entry.error())));
  if (!*entry) return std::unexpected(fmt::format("unknown group \"{}\"", name));
  return (*entry)->gr_gid;
}

bool is_already(const Identity& who) noexcept {
  uid_t r = 0;
  uid_t e = 0;
  uid_t s = 0;
  gid_t rg = 0;
  gid_t eg = 0;
  gid_t sg = 0;
  if (::getresuid(&r, &e, &s) != 0 || ::getresgid(&rg, &eg, &sg) != 0) return false;
  const bool same_user = !who.user || (r == *who.user && e == *who.user && s == *who.user);
  return same_user && rg == who.group && eg == who.group && sg == who.group;
}

// Every set of every capability, so that no exec brings one back, securebits or not.
int drop_capabilities() noexcept {
  if (::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0 && errno != EINVAL)
    return errno;  // EINVAL: a kernel before 4.3 has none
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  const __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {};
  return ::syscall(SYS_capset, &header, none) == 0 ? 0 : errno;
}

// True when a call that must fail by now succeeds.
bool can_go_back(const Identity& who, gid_t former_group) noexcept {
  if (who.user && *who.user != 0 && (::setuid(0) == 0 || ::seteuid(0) == 0)) return true;
  return who.user && *who.user != 0 && former_group != who.group &&
         (::setgid(former_group) == 0 || ::setegid(former_group) == 0);
}

}  // namespace

std::expected<std::optional<Identity>, std::string> find_identity(const std::string& user,
                                                                  const std::string& group) {
  if (user.empty() && group.empty()) return std::nullopt;
  Identity who;
  if (!user.empty()) {
    auto found = find_user(user);
    if (!found) return std::unexpected(found.error());
    who = *std::move(found);
  }
  if (!group.empty()) {
    auto found = find_group(group);
    if (!found) return std::unexpected(found.error());
    who.group = *found;
  }
  return who;
}

std::expected<void, std::string> become(const Identity& who) {
  const auto failed = [](std::string_view what, int error) {
    return std::unexpected(fmt::format("{}: {}", what, message(error)));
  };
  const bool leaves_root = who.user && *who.user != 0;
  const gid_t former_group = ::getegid();
  if (!is_already(who)) {
    const int listed = who.user_name.empty() ? ::setgroups(1, &who.group)
                                             : ::initgroups(who.user_name.c_str(), who.group);
    if (listed != 0) return failed("the groups cannot be changed", errno);
    if (::setresgid(who.group, who.group, who.group) != 0)
      return failed("the group cannot be changed", errno);
    if (who.user && ::setresuid(*who.user, *who.user, *who.user) != 0)
      return failed("the user cannot be changed", errno);
    if (!is_already(who)) return std::unexpected("user and group did not change");
  }
  if (!leaves_root) return {};
  if (const int error = drop_capabilities(); error != 0)
    return failed("capabilities cannot be dropped", error);
  if (can_go_back(who, former_group)) return std::unexpected("privileges could be regained");
  return {};
}

bool has_threads() {
#if defined(__SANITIZE_THREAD__)
  constexpr std::ptrdiff_t kOwn = 2;
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
  constexpr std::ptrdiff_t kOwn = 2;
#else
  constexpr std::ptrdiff_t kOwn = 1;
#endif
#else
  constexpr std::ptrdiff_t kOwn = 1;
#endif
  std::error_code error;
  const std::filesystem::directory_iterator tasks("/proc/self/task", error);
  return !error && std::distance(begin(tasks), end(tasks)) > kOwn;
}

}  // namespace treadle::net::service
