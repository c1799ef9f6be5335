// pure: no goroutines
#include "runtime/cgroup.h"

#include <gtest/gtest.h>

#include <string>

#include "support/temporary_tree.h"

namespace treadle::rt {
namespace {

TEST(CgroupCpuMax, IsQuotaOverPeriod) {
  EXPECT_EQ(parse_cpu_max("200000 100000\n"), 2.0);
  EXPECT_EQ(parse_cpu_max("150000 100000"), 1.5);
  EXPECT_EQ(parse_cpu_max("1000 100000"), 0.01);
}

TEST(CgroupCpuMax, MaxAndNonsenseAreNoLimit) {
  for (const char* text :
       {"max 100000\n", "", "max", "100000", "abc 100000", "100000 abc", "-1 100000", "0 100000",
        "100000 0", "100000 -5", "12x 100000", "\n", "  "})
    EXPECT_FALSE(parse_cpu_max(text)) << text;
}

class CgroupTree : public ::testing::Test {
 protected:
  void put(const std::string& directory, const std::string& file, const std::string& text) {
    tree_.make_directory(directory);
    tree_.write((directory.empty() ? "" : directory + "/") + file, text);
  }
  std::optional<double> limit(const std::string& proc_self_cgroup) {
    return cgroup_cpu_limit(proc_self_cgroup, tree_.path(""));
  }
  test::TemporaryTree tree_;
};

TEST_F(CgroupTree, NothingThereIsNoLimit) {
  EXPECT_FALSE(limit("0::/\n"));
  EXPECT_FALSE(limit("0::/some/where\n"));
  EXPECT_FALSE(limit(""));
}

TEST_F(CgroupTree, OwnGroupsLimitCounts) {
  put("app", "cpu.max", "300000 100000\n");
  EXPECT_EQ(limit("0::/app\n"), 3.0);
  EXPECT_FALSE(limit("0::/other\n"));
}

TEST_F(CgroupTree, SmallestOfTheAncestorsCounts) {
  put("a/b/c", "cpu.max", "max 100000\n");
  put("a/b", "cpu.max", "400000 100000\n");
  put("a", "cpu.max", "250000 100000\n");
  EXPECT_EQ(limit("0::/a/b/c\n"), 2.5);
  put("a/b/c", "cpu.max", "50000 100000\n");
  EXPECT_EQ(limit("0::/a/b/c\n"), 0.5);
}

// In a container the path is the host's, of which only the root is mounted.
TEST_F(CgroupTree, RootOfTheMountCountsWhenThePathIsNotThere) {
  put("", "cpu.max", "200000 100000\n");
  EXPECT_EQ(limit("0::/docker/0123abcd\n"), 2.0);
  EXPECT_EQ(limit("0::/\n"), 2.0);
}

TEST_F(CgroupTree, FirstVersionsQuotaCounts) {
  put("cpu/app", "cpu.cfs_quota_us", "150000\n");
  put("cpu/app", "cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(limit("4:memory:/app\n3:cpu:/app\n0::/\n"), 1.5);
  EXPECT_EQ(limit("3:cpu,cpuacct:/app/below\n"), 1.5);
  EXPECT_FALSE(limit("3:cpuset:/app\n"));
  EXPECT_FALSE(limit("3:memory,cpuset:/app\n"));
}

TEST_F(CgroupTree, FirstVersionMayBeMountedUnderItsJointName) {
  put("cpu,cpuacct", "cpu.cfs_quota_us", "80000\n");
  put("cpu,cpuacct", "cpu.cfs_period_us", "40000\n");
  EXPECT_EQ(limit("7:cpu,cpuacct:/docker/x\n"), 2.0);
}

TEST_F(CgroupTree, FirstVersionWithoutQuotaIsNoLimit) {
  put("cpu", "cpu.cfs_quota_us", "-1\n");
  put("cpu", "cpu.cfs_period_us", "100000\n");
  EXPECT_FALSE(limit("3:cpu:/\n"));
}

TEST_F(CgroupTree, LinesThatAreNoneAreSkipped) {
  put("app", "cpu.max", "100000 100000\n");
  EXPECT_EQ(limit("garbage\n:\n::\n1:x\n0::relative\n0::/app\n"), 1.0);
}

TEST(CgroupProcs, AreWithinTheirRange) {
  EXPECT_GE(default_procs(), 1);
  EXPECT_LE(default_procs(), kMaxProcs);
}

}  // namespace
}  // namespace treadle::rt
