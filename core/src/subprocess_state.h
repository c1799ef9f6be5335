// What a Subprocess handle and the goroutine that supervises the child share.
#pragma once

#include <mutex>
#include <optional>

#include <treadle/subprocess.h>
#include <treadle/wait_group.h>

#include "child_exit.h"

namespace treadle {

struct Subprocess::State {
  State(pid_t p, const Command& c)
      : pid(p),
        exit(p),
        context(c.context),
        grace(c.grace),
        target(c.own_group ? rt::ChildExit::Target::group : rt::ChildExit::Target::process) {
    running.add(1);
  }
  void supervise();

  const pid_t pid;
  rt::ChildExit exit;
  const Context context;
  const Duration grace;
  const rt::ChildExit::Target target;

  WaitGroup running;  // until `outcome` is there
  std::optional<Result<ExitStatus>> outcome;
  std::mutex mutex;                  // nothing of treadle is called under it
  std::optional<ExitStatus> status;  // under mutex
};

}  // namespace treadle
