// Starting a child.
//
// posix_spawn, not fork: the parent may be large, and has threads. The child's descriptors 0, 1 and
// 2 are made of sources that are numbered 3 or more, so that no dup2 overwrites the source of a
// later one; all others are closed in the child, whoever opened them without O_CLOEXEC.
#include <fcntl.h>
#include <fmt/core.h>
#include <spawn.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>

#include <treadle/blocking.h>
#include <treadle/go.h>
#include <treadle/subprocess.h>

#include "subprocess_state.h"

namespace treadle {

using detail::Pollable;

namespace {

class Fd {
 public:
  Fd() noexcept = default;
  explicit Fd(int fd) noexcept : fd_(fd) {}
  Fd(Fd&& o) noexcept : fd_(std::exchange(o.fd_, -1)) {}
  Fd& operator=(Fd o) noexcept {
    std::swap(fd_, o.fd_);
    return *this;
  }
  ~Fd() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const noexcept { return fd_; }
  int release() noexcept { return std::exchange(fd_, -1); }

 private:
  int fd_ = -1;
};

// The same file under a number above the standard ones.
Result<Fd> above_standard(int fd) {
  const int high = ::fcntl(fd, F_DUPFD_CLOEXEC, 3);
  if (high < 0) return fail_errno(errno);
  return Fd(high);
}

struct PipeEnds {
  Fd read, write;
};
Result<PipeEnds> make_pipe() {
  int fds[2];
  if (::pipe2(fds, O_CLOEXEC) != 0) return fail_errno(errno);
  PipeEnds ends{Fd(fds[0]), Fd(fds[1])};
  for (Fd* end : {&ends.read, &ends.write}) {
    if (end->get() > 2) continue;
    auto high = above_standard(end->get());
    if (!high) return fail(high.error());
    *end = std::move(*high);
  }
  return ends;
}

Result<Pollable> parent_end(Fd fd) {
  if (::fcntl(fd.get(), F_SETFL, O_NONBLOCK) != 0) return fail_errno(errno);
  return Pollable::open(fd.release());
}

Result<std::vector<char*>> c_strings(const std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  pointers.reserve(texts.size() + 1);
  for (const std::string& s : texts) {
    if (s.find('\0') != std::string::npos) return fail(Errc::invalid);
    pointers.push_back(const_cast<char*>(s.c_str()));  // posix_spawn does not write to it
  }
  pointers.push_back(nullptr);
  return pointers;
}

struct FileActions {
  FileActions() { ::posix_spawn_file_actions_init(&actions); }
  ~FileActions() { ::posix_spawn_file_actions_destroy(&actions); }
  FileActions(const FileActions&) = delete;
  FileActions& operator=(const FileActions&) = delete;
  // The functions give an errno value; the first one counts.
  void check(int e) noexcept {
    if (error == 0) error = e;
  }
  posix_spawn_file_actions_t actions;
  int error = 0;
};

struct Attributes {
  explicit Attributes(bool own_group) {
    ::posix_spawnattr_init(&attr);
    sigset_t none, reset;
    ::sigemptyset(&none);
    ::sigemptyset(&reset);
    ::sigaddset(&reset, SIGPIPE);  // ignored here, which an exec would keep
    ::posix_spawnattr_setsigmask(&attr, &none);
    ::posix_spawnattr_setsigdefault(&attr, &reset);
    int flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;
    if (own_group) flags |= POSIX_SPAWN_SETPGROUP;  // group 0: its own pid
    ::posix_spawnattr_setflags(&attr, static_cast<short>(flags));
  }
  ~Attributes() { ::posix_spawnattr_destroy(&attr); }
  Attributes(const Attributes&) = delete;
  Attributes& operator=(const Attributes&) = delete;
  posix_spawnattr_t attr;
};

}  // namespace

// What is prepared in the parent for one child.
struct Subprocess::Plan {
  FileActions files;
  std::array<Fd, 3> sources;        // closed once the child has them
  std::array<Pollable, 3> parents;  // our ends of the pipes

  Result<void> redirect(int target, const Redirect& r);
  Result<void> add_pipe(int target);
  Result<void> prepare(const Command& c);
};

Result<void> Subprocess::Plan::add_pipe(int target) {
  auto ends = make_pipe();
  if (!ends) return fail(ends.error());
  const bool to_child = target == 0;
  auto ours = parent_end(std::move(to_child ? ends->write : ends->read));
  if (!ours) return fail(ours.error());
  const auto slot = static_cast<std::size_t>(target);
  parents[slot] = std::move(*ours);
  sources[slot] = std::move(to_child ? ends->read : ends->write);
  files.check(::posix_spawn_file_actions_adddup2(&files.actions, sources[slot].get(), target));
  return {};
}

Result<void> Subprocess::Plan::redirect(int target, const Redirect& r) {
  switch (r.kind_) {
    case Redirect::Kind::inherit: return {};
    case Redirect::Kind::pipe: return add_pipe(target);
    case Redirect::Kind::to_out:
      files.check(::posix_spawn_file_actions_adddup2(&files.actions, 1, target));
      return {};
    case Redirect::Kind::fd: {
      auto high = above_standard(r.fd_);
      if (!high) return fail(high.error());
      Fd& source = sources[static_cast<std::size_t>(target)];
      source = std::move(*high);
      files.check(::posix_spawn_file_actions_adddup2(&files.actions, source.get(), target));
      return {};
    }
    case Redirect::Kind::file:
    case Redirect::Kind::append: break;
  }
  if (r.path_.find('\0') != std::string::npos) return fail(Errc::invalid);
  const int how = r.kind_ == Redirect::Kind::append ? O_APPEND : O_TRUNC;
  const int flags = target == 0 ? O_RDONLY : O_WRONLY | O_CREAT | how;
  files.check(
      ::posix_spawn_file_actions_addopen(&files.actions, target, r.path_.c_str(), flags, 0666));
  return {};
}

Result<void> Subprocess::Plan::prepare(const Command& c) {
  // The output before the error output, which may be the same; the directory after the files.
  if (auto r = redirect(0, c.in); !r) return r;
  if (auto r = redirect(1, c.out); !r) return r;
  if (auto r = redirect(2, c.err); !r) return r;
  if (c.cwd.find('\0') != std::string::npos) return fail(Errc::invalid);
  if (!c.cwd.empty())
    files.check(::posix_spawn_file_actions_addchdir_np(&files.actions, c.cwd.c_str()));
  files.check(::posix_spawn_file_actions_addclosefrom_np(&files.actions, 3));
  if (files.error != 0) return fail_errno(files.error);
  return {};
}

Result<Subprocess> Subprocess::spawn(const Command& command, std::source_location site) {
  if (command.args.empty()) throw Panic("treadle::Subprocess: no program: args is empty");
  if (command.in.kind_ == Redirect::Kind::to_out || command.out.kind_ == Redirect::Kind::to_out)
    throw Panic("treadle::Subprocess: to_out() is for the error output only");
  if (command.grace < Duration::zero())
    throw Panic(fmt::format("treadle::Subprocess: a grace of {} ns", command.grace.count()));
  if (command.context.done()) return fail(command.context.error());
  auto argv = c_strings(command.args);
  if (!argv) return fail(argv.error());
  auto envp = command.env ? c_strings(*command.env) : Result<std::vector<char*>>();
  if (!envp) return fail(envp.error());
  Plan plan;
  if (auto r = plan.prepare(command); !r) return fail(r.error());

  const Attributes attributes(command.own_group);
  pid_t pid = -1;
  const int error = blocking([&] {
    return ::posix_spawnp(&pid, (*argv)[0], &plan.files.actions, &attributes.attr, argv->data(),
                          command.env ? envp->data() : environ);
  });
  if (error != 0) return fail_errno(error);

  Subprocess child;
  child.state_ = std::make_shared<State>(pid, command);
  child.in_ = PipeWriter(std::move(plan.parents[0]));
  child.out_ = PipeReader(std::move(plan.parents[1]));
  child.err_ = PipeReader(std::move(plan.parents[2]));
  go([state = child.state_] { state->supervise(); }, site);
  return child;
}

}  // namespace treadle
