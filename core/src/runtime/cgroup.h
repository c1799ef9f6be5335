// How many CPUs this process may use.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "runtime/p.h"

namespace treadle::rt {

// The CPUs of the affinity mask, or fewer when the cgroup's CPU limit (v2 cpu.max, v1 cfs quota) is
// lower, rounded up; at least 1, at most kMaxProcs. Reads files: not for hot paths.
int default_procs();

// The limit in CPUs that a cpu.max file's text sets; none for "max" or nonsense.
std::optional<double> parse_cpu_max(std::string_view text);
// The smallest limit from the process's cgroup (as /proc/self/cgroup names it) up to the root of
// the hierarchy mounted at `mount`. Pure but for reading below `mount`.
std::optional<double> cgroup_cpu_limit(std::string_view proc_self_cgroup, const std::string& mount);

}  // namespace treadle::rt
