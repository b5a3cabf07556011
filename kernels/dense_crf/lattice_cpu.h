#pragma once

#include "dense_crf/isa.h"
#include "dense_crf/lattices.h"
#include "dense_crf/layout.h"
#include "dense_crf/partition.h"

namespace edgeseg::dense_crf {

class HashTable;

/// The lattices of all bilateral terms over the points of one image.
class Lattices {
  public:
    Lattices(const BilateralTerm* terms, int count, Quality quality, const Tiling& tiling, int stride,
             int most_vertices, int threads, Carver& carver);

    /// Fills everything for another picture, (H, W, 3). False where a lattice has more vertices than there is room.
    bool build(const parallel::View<const std::uint8_t, 3>& picture);

    /// What was splatted, summed over threads and blurred, becomes each lattice's values. The blurs along the axes do
    /// not quite commute where vertices are absent: `reversed` is the transpose.
    void blur(bool reversed = false) const;

    const Lattice* begin() const { return lattices_; }
    int count() const { return count_; }
    const Run* runs() const { return runs_; }
    const float* const* scale() const { return scale_; }

  private:
    static constexpr int kMost = kMaxTerms * kMostLattices;

    void connect(const Lattice& lattice, const HashTable& table) const;
    void normalise(int l, const HashTable& table) const;
    template <class Body>
    void each_point(int row, const Body& body) const;

    const BilateralTerm* terms_;
    int term_count_;
    Quality quality_;
    const Tiling& tiling_;
    const Isa& isa_ = isa();
    int stride_;
    int most_vertices_;
    int threads_;
    Lattice lattices_[kMost] = {};
    int count_ = 0;
    std::int64_t* keys_[kMost] = {};  // of the hash tables
    std::uint32_t* vertices_[kMost] = {};
    float* scale_[kMaxTerms] = {};
    Run* runs_ = nullptr;
    int* points_ = nullptr;                // of each row of tiles
    float* raw_ = nullptr;                 // (threads, 5, a row's pixels)
    std::int64_t* corner_keys_ = nullptr;  // (threads, a row's pixels, 6)
    float* ones_ = nullptr;                // (threads + 2, vertices + 1): a lattice's values for N
};

}  // namespace edgeseg::dense_crf
