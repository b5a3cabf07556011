#pragma once

#include <atomic>
#include <cstdint>

/// A table from lattice keys to vertex numbers that several threads fill at once.
namespace edgeseg::dense_crf {

class HashTable {
  public:
    static constexpr std::int64_t kEmpty = -1;
    static constexpr int kAbsent = -1;

    /// `slots`, a power of two, at least twice `capacity`.
    HashTable(std::int64_t* keys, std::uint32_t* vertices, std::uint32_t slots, std::uint32_t capacity)
        : keys_(keys), vertices_(vertices), mask_(slots - 1), capacity_(capacity) {}

    /// Clears the slots from begin up to end.
    void clear(std::uint32_t begin, std::uint32_t end) const {
        for (std::uint32_t i = begin; i < end; ++i) keys_[i] = kEmpty;
    }

    /// The slot of a key, which is given a vertex where it is new. Past the capacity slots mean nothing any more.
    std::uint32_t insert(std::int64_t key) {
        for (std::uint32_t slot = home(key);; slot = (slot + 1) & mask_) {
            std::atomic_ref<std::int64_t> there(keys_[slot]);
            std::int64_t found = there.load(std::memory_order_relaxed);
            if (found == key) return slot;
            if (found != kEmpty) continue;
            if (count_.load(std::memory_order_relaxed) >= capacity_) {
                overflowed_.store(true, std::memory_order_relaxed);
                return slot;
            }
            if (there.compare_exchange_strong(found, key, std::memory_order_relaxed)) {
                vertices_[slot] = count_.fetch_add(1, std::memory_order_relaxed);
                return slot;
            }
            if (found == key) return slot;
        }
    }

    /// The vertex in a slot; only once all insertions are done.
    std::uint32_t vertex(std::uint32_t slot) const { return vertices_[slot]; }

    /// The vertex of a key, or `absent`; only once all insertions are done.
    std::uint32_t find(std::int64_t key, std::uint32_t absent) const {
        for (std::uint32_t slot = home(key);; slot = (slot + 1) & mask_) {
            if (keys_[slot] == key) return vertices_[slot];
            if (keys_[slot] == kEmpty) return absent;
        }
    }

    std::int64_t key(std::uint32_t slot) const { return keys_[slot]; }
    std::uint32_t slots() const { return mask_ + 1; }
    int vertices() const { return static_cast<int>(count_.load()); }

    /// Whether more vertices were asked for than there is room for; threads may pass the limit by one each.
    bool overflowed() const { return overflowed_.load() || count_.load() > capacity_; }

  private:
    std::uint32_t home(std::int64_t key) const {
        return static_cast<std::uint32_t>((static_cast<std::uint64_t>(key) * 0x9E3779B97F4A7C15u) >> 32) & mask_;
    }

    std::int64_t* keys_;
    std::uint32_t* vertices_;
    std::uint32_t mask_;
    std::uint32_t capacity_;
    std::atomic<std::uint32_t> count_ = 0;
    std::atomic<bool> overflowed_ = false;
};

}  // namespace edgeseg::dense_crf
