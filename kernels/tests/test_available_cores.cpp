/// The shares of CPU time of cgroups as Docker, systemd and Kubernetes lay them out, in folders that stand for / .

#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <string>

#include "parallel/available_cores.h"

namespace {

namespace fs = std::filesystem;
using edgeseg::parallel::available_cores;
using edgeseg::parallel::cores_by_cgroup;

int failures = 0;

struct File {
    const char* path;
    const char* content;
};

void expect(int expected, const char* what, std::initializer_list<File> files) {
    const fs::path root = fs::temp_directory_path() / fs::path("edgeseg_cgroup_test_" + std::to_string(getpid()));
    fs::remove_all(root);
    for (const File& file : files) {
        const fs::path path = root / file.path;
        fs::create_directories(path.parent_path());
        std::ofstream(path) << file.content;
    }
    const int got = cores_by_cgroup(root.string());
    fs::remove_all(root);
    if (got == expected) return;
    ++failures;
    std::printf("%s: %d cores, not %d\n", what, got, expected);
}

constexpr const char* kMountOfV2 = "34 24 0:29 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";
constexpr const char* kMountsOfV1 =
    "30 23 0:26 / /sys/fs/cgroup ro - tmpfs tmpfs ro,mode=755\n"
    "31 30 0:27 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"
    "33 30 0:29 / /sys/fs/cgroup/cpu,cpuacct rw shared:1 master:2 - cgroup cgroup rw,cpu,cpuacct\n";
constexpr const char* kMountOfDockerV1 =
    "33 30 0:29 /docker/ab12 /sys/fs/cgroup/cpu,cpuacct ro master:2 - cgroup cgroup rw,cpu,cpuacct\n";

}  // namespace

int main() {
    expect(0, "no cgroups", {{"proc/self/stat", ""}});
    expect(0, "no limit",
           {{"proc/self/cgroup", "0::/user.slice\n"},
            {"proc/self/mountinfo", kMountOfV2},
            {"sys/fs/cgroup/user.slice/cpu.max", "max 100000\n"}});
    expect(2, "docker --cpus 1.5, v2",
           {{"proc/self/cgroup", "0::/\n"},
            {"proc/self/mountinfo", kMountOfV2},
            {"sys/fs/cgroup/cpu.max", "150000 100000\n"}});
    expect(1, "less than a core",
           {{"proc/self/cgroup", "0::/\n"},
            {"proc/self/mountinfo", kMountOfV2},
            {"sys/fs/cgroup/cpu.max", "1000 100000\n"}});
    expect(3, "the slice above a service",
           {{"proc/self/cgroup", "0::/a.slice/a-b.slice/c.service\n"},
            {"proc/self/mountinfo", kMountOfV2},
            {"sys/fs/cgroup/a.slice/cpu.max", "300000 100000\n"},
            {"sys/fs/cgroup/a.slice/a-b.slice/cpu.max", "max 100000\n"},
            {"sys/fs/cgroup/a.slice/a-b.slice/c.service/cpu.max", "800000 100000\n"}});
    expect(1, "a name that begins like the mount's",
           {{"proc/self/cgroup", "4:cpu,cpuacct:/docker/ab123\n"},
            {"proc/self/mountinfo", kMountOfDockerV1},
            {"sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "100000\n"},
            {"sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n"}});
    expect(4, "v1 on the host",
           {{"proc/self/cgroup", "5:cpuset:/\n4:cpu,cpuacct:/system.slice/x.service\n1:name=systemd:/\n"},
            {"proc/self/mountinfo", kMountsOfV1},
            {"sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n"},
            {"sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n"},
            {"sys/fs/cgroup/cpu,cpuacct/system.slice/x.service/cpu.cfs_quota_us", "200000\n"},
            {"sys/fs/cgroup/cpu,cpuacct/system.slice/x.service/cpu.cfs_period_us", "50000\n"}});
    expect(2, "v1 in a container that sees its own group as the top",
           {{"proc/self/cgroup", "4:cpu,cpuacct:/docker/ab12/init\n0::/\n"},
            {"proc/self/mountinfo", kMountOfDockerV1},
            {"sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "200000\n"},
            {"sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n"}});
    expect(2, "a process outside of the namespace that is mounted",
           {{"proc/self/cgroup", "0::/../../other\n"},
            {"proc/self/mountinfo", kMountOfV2},
            {"sys/fs/cgroup/cpu.max", "200000 100000\n"}});
    expect(5, "a blank in the mount point",
           {{"proc/self/cgroup", "0::/\n"},
            {"proc/self/mountinfo", "34 24 0:29 / /odd\\040place rw - cgroup2 none rw\n"},
            {"odd place/cpu.max", "500000 100000\n"}});
    expect(0, "nonsense",
           {{"proc/self/cgroup", "0:\n::\n\n0::relative\n4:cpu\n"},
            {"proc/self/mountinfo", "1\n \n34 24 0:29 / /sys/fs/cgroup rw - cgroup2\n"},
            {"sys/fs/cgroup/cpu.max", "-5 0\n"}});
    if (available_cores() < 1) {
        ++failures;
        std::printf("available_cores() is below 1\n");
    }
    std::printf(failures ? "%d failures\n" : "all well\n", failures);
    return failures ? 1 : 0;
}
