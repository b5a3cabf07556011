#pragma once

#include <string>

namespace edgeseg::parallel {

/// The cores that this process may keep busy, at least 1: those that it is bound to (taskset, cpusets, Slurm), or
/// fewer where a cgroup gives it a share of CPU time (docker --cpus, CPUQuota= of systemd, limits of Kubernetes),
/// rounded up. The binding is asked for each time, the share once. Elsewhere than on Linux: all of the machine.
int available_cores();

/// The share of CPU time, in cores rounded up, that the cgroups (v1 or v2) of this process and those above it allow; 0
/// where none limits it. `root` stands before every path that is read, for tests; it is empty otherwise.
int cores_by_cgroup(const std::string& root);

}  // namespace edgeseg::parallel
