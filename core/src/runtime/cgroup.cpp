#include "runtime/cgroup.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <sstream>

namespace treadle::rt {

namespace {

std::optional<std::string> slurp(const std::string& path) {
  std::ifstream in(path);
  if (!in) return {};
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

std::optional<double> v1_limit(const std::string& directory) {
  const auto quota = slurp(directory + "/cpu.cfs_quota_us");
  const auto period = slurp(directory + "/cpu.cfs_period_us");
  if (!quota || !period) return {};
  const double q = std::atof(quota->c_str());
  const double p = std::atof(period->c_str());
  if (q <= 0 || p <= 0) return {};
  return q / p;
}

void lower(std::optional<double>& limit, std::optional<double> other) {
  if (other && (!limit || *other < *limit)) limit = other;
}

// The limits of `path` and of every group above it.
std::optional<double> limit_upwards(const std::string& mount, std::string path, bool v2) {
  std::optional<double> limit;
  for (;;) {
    const std::string directory = mount + path;
    if (v2) {
      if (auto text = slurp(directory + "/cpu.max")) lower(limit, parse_cpu_max(*text));
    } else {
      lower(limit, v1_limit(directory));
    }
    if (path.empty() || path == "/") return limit;
    path.resize(path.rfind('/'));
  }
}

bool names_cpu(std::string_view controllers) {
  while (!controllers.empty()) {
    const auto comma = controllers.find(',');
    if (controllers.substr(0, comma) == "cpu") return true;
    if (comma == std::string_view::npos) break;
    controllers.remove_prefix(comma + 1);
  }
  return false;
}

int affinity_cpus() {
  // Machines may have more CPUs than cpu_set_t: grow until the kernel is content.
  for (int cpus = CPU_SETSIZE; cpus <= 1 << 20; cpus *= 2) {
    cpu_set_t* set = CPU_ALLOC(static_cast<unsigned>(cpus));
    if (!set) break;
    const std::size_t size = CPU_ALLOC_SIZE(static_cast<unsigned>(cpus));
    const int ok = ::sched_getaffinity(0, size, set);
    const int count = ok == 0 ? CPU_COUNT_S(size, set) : 0;
    CPU_FREE(set);
    if (count > 0) return count;
  }
  return static_cast<int>(std::max(1L, ::sysconf(_SC_NPROCESSORS_ONLN)));
}

}  // namespace

std::optional<double> parse_cpu_max(std::string_view text) {
  std::istringstream in{std::string(text)};
  std::string quota;
  double period = 0;
  if (!(in >> quota >> period) || quota == "max" || period <= 0) return {};
  char* end = nullptr;
  const double q = std::strtod(quota.c_str(), &end);
  if (*end != '\0' || q <= 0) return {};
  return q / period;
}

std::optional<double> cgroup_cpu_limit(std::string_view proc_self_cgroup,
                                       const std::string& mount) {
  std::optional<double> limit;
  std::istringstream lines{std::string(proc_self_cgroup)};
  for (std::string line; std::getline(lines, line);) {
    // hierarchy-id:controllers:path (cgroups(7)); v2 has no controllers
    const auto first = line.find(':');
    const auto second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const std::string path = line.substr(second + 1);
    if (path.empty() || path[0] != '/') continue;
    if (controllers.empty())
      lower(limit, limit_upwards(mount, path, true));
    else if (names_cpu(controllers))
      for (const char* sub : {"/cpu", "/cpu,cpuacct"})
        lower(limit, limit_upwards(mount + sub, path, false));
  }
  return limit;
}

int default_procs() {
  int n = affinity_cpus();
  if (auto groups = slurp("/proc/self/cgroup"))
    if (auto limit = cgroup_cpu_limit(*groups, "/sys/fs/cgroup"))
      n = static_cast<int>(std::min(static_cast<double>(n), std::ceil(*limit)));
  return std::clamp(n, 1, kMaxProcs);
}

}  // namespace treadle::rt
