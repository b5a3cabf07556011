#include "parallel/available_cores.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>
#include <sstream>
#include <string_view>
#include <thread>
#include <vector>

#if defined(__linux__)
#include <sched.h>

#include <cerrno>
#endif

namespace edgeseg::parallel {
namespace {

constexpr double kUnlimited = std::numeric_limits<double>::infinity();

/// A line of /proc/self/mountinfo, as far as cgroups need it.
struct Mount {
    std::string root;   // the cgroup that is mounted
    std::string point;  // where
    std::string type;
    std::string options;
};

/// A path in mountinfo: blanks and backslashes in it are octal there.
std::string unescaped(const std::string& text) {
    std::string plain;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const auto digit = [&](std::size_t k) {
            return i + k < text.size() && text[i + k] >= '0' && text[i + k] <= '7';
        };
        if (text[i] == '\\' && digit(1) && digit(2) && digit(3)) {
            plain += static_cast<char>((text[i + 1] - '0') << 6 | (text[i + 2] - '0') << 3 | (text[i + 3] - '0'));
            i += 3;
        } else {
            plain += text[i];
        }
    }
    return plain;
}

bool lists(const std::string& comma_separated, std::string_view wanted) {
    std::istringstream words(comma_separated);
    for (std::string word; std::getline(words, word, ',');) {
        if (word == wanted) return true;
    }
    return false;
}

std::vector<Mount> cgroup_mounts(const std::string& root) {
    std::vector<Mount> mounts;
    std::ifstream file(root + "/proc/self/mountinfo");
    for (std::string line; std::getline(file, line);) {
        // ID, parent, device, root, mount point, options, optional fields, "-", type, source, options of the type.
        std::istringstream words(line);
        std::string word;
        Mount mount;
        words >> word >> word >> word >> mount.root >> mount.point >> word;
        while (words >> word && word != "-") {
        }
        words >> mount.type >> word >> mount.options;
        if (!words || (mount.type != "cgroup" && mount.type != "cgroup2")) continue;
        mount.root = unescaped(mount.root);
        mount.point = unescaped(mount.point);
        mounts.push_back(mount);
    }
    return mounts;
}

/// What one cgroup allows by itself, in cores.
double quota_of(const std::string& folder, bool v2) {
    double quota = -1, period = -1;
    if (v2) {
        std::ifstream(folder + "/cpu.max") >> quota >> period;  // "max" is no number: it stays unlimited
    } else {
        std::ifstream(folder + "/cpu.cfs_quota_us") >> quota;
        std::ifstream(folder + "/cpu.cfs_period_us") >> period;
    }
    return quota > 0 && period > 0 ? quota / period : kUnlimited;
}

/// The least that a cgroup and those above it, as far as they can be seen, allow.
double quota_up_from(const std::string& group, const Mount& mount, const std::string& root) {
    // What is mounted may itself be a cgroup somewhere below the top, as in a container: the rest of the path counts.
    // A process outside of it (".." in the path) is judged by what is mounted.
    std::string below;
    const std::string prefix = mount.root == "/" ? "" : mount.root;
    if (group.starts_with(prefix) && (group.size() == prefix.size() || group[prefix.size()] == '/')) {
        below = group.substr(prefix.size());
    }
    if (below == "/" || below.find("/..") != std::string::npos) below.clear();
    double least = kUnlimited;
    for (;;) {
        least = std::min(least, quota_of(root + mount.point + below, mount.type == "cgroup2"));
        if (below.empty()) return least;
        below.resize(below.rfind('/') == std::string::npos ? 0 : below.rfind('/'));
    }
}

#if defined(__linux__)
/// The cores that the scheduler lets this thread run on; 0 where it does not say.
int cores_by_affinity() {
    for (int most = 1024; most <= 1 << 20; most *= 2) {  // the kernel refuses a set smaller than its own
        cpu_set_t* set = CPU_ALLOC(most);
        if (!set) return 0;
        const bool known = sched_getaffinity(0, CPU_ALLOC_SIZE(most), set) == 0;
        const bool too_small = !known && errno == EINVAL;
        const int count = known ? CPU_COUNT_S(CPU_ALLOC_SIZE(most), set) : 0;
        CPU_FREE(set);
        if (!too_small) return count;
    }
    return 0;
}
#endif

}  // namespace

int cores_by_cgroup(const std::string& root) {
    const std::vector<Mount> mounts = cgroup_mounts(root);
    double least = kUnlimited;
    std::ifstream file(root + "/proc/self/cgroup");
    for (std::string line; std::getline(file, line);) {
        // "4:cpu,cpuacct:/path" for a hierarchy of v1, "0::/path" for the one of v2.
        const std::size_t first = line.find(':');
        const std::size_t second = first == std::string::npos ? first : line.find(':', first + 1);
        if (second == std::string::npos) continue;
        const std::string controllers = line.substr(first + 1, second - first - 1);
        const bool v2 = controllers.empty();
        if (!v2 && !lists(controllers, "cpu")) continue;
        for (const Mount& mount : mounts) {
            if (v2 ? mount.type == "cgroup2" : mount.type == "cgroup" && lists(mount.options, "cpu")) {
                least = std::min(least, quota_up_from(line.substr(second + 1), mount, root));
            }
        }
    }
    return least < 1e6 ? std::max(1, static_cast<int>(std::ceil(least))) : 0;
}

int available_cores() {
    int cores = 0;
#if defined(__linux__)
    static const int by_cgroup = cores_by_cgroup("");
    cores = cores_by_affinity();
#else
    constexpr int by_cgroup = 0;
#endif
    if (cores < 1) cores = static_cast<int>(std::thread::hardware_concurrency());
    if (by_cgroup > 0) cores = std::min(cores, by_cgroup);
    return std::max(1, cores);
}

}  // namespace edgeseg::parallel
