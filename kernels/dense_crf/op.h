#pragma once

#include <cstddef>
#include <cstdint>

#include "parallel/stream.h"
#include "parallel/view.h"

/// Mean-field inference in a fully connected CRF with Gaussian pairwise terms (Krähenbühl & Koltun 2011).
///
/// With P the given probabilities, K_k the Gaussian kernel matrix of term k over all pairs of pixels (each pixel with
/// itself included) and N_k the diagonal of its row sums, every iteration computes, from Q = P on,
///
///     Q_i(c) = softmax_c( log P_i(c) - sum_c' mu(c, c') sum_k w_k (N_k^-1/2 K_k N_k^-1/2 Q)_i(c') ).
///
/// Bilateral terms are filtered in the permutohedral lattice (Adams 2010), spatial ones separably.
namespace edgeseg::dense_crf {

inline constexpr int kMaxClasses = 255;
inline constexpr int kMaxSide = 16384;
inline constexpr int kMaxTerms = 8;           // of either kind
inline constexpr int kMaxVertices = 1 << 28;  // of a lattice: six times as many are still numbered by an int

/// exp(-1/2 (|dx / sigma_x|^2 + |dy / sigma_y|^2 + sum_ch |dcolor_ch / sigma_color_ch|^2)), times weight.
struct BilateralTerm {
    float sigma_x = 80, sigma_y = 80;     // pixels
    float sigma_color[3] = {13, 13, 13};  // levels of 0..255
    float weight = 10;
};

/// exp(-1/2 (|dx / sigma_x|^2 + |dy / sigma_y|^2)), times weight.
struct SpatialTerm {
    float sigma_x = 3, sigma_y = 3;  // pixels
    float weight = 3;
};

/// How near to the exact sums the bilateral filter comes.
enum class Quality : std::uint8_t {
    kFast,      // one lattice, and pixels of nearly one colour go in as one
    kAccurate,  // the mean of several lattices, shifted against each other, where only pixels most alike go in as one
};

struct Params {
    parallel::View<const float, 4> probabilities;  // (N, C, H, W); values under kLeastProbability count as that
    parallel::View<const std::uint8_t, 4> image;   // (N, H, W, 3)
    const BilateralTerm* bilateral = nullptr;
    int bilateral_count = 0;
    const SpatialTerm* spatial = nullptr;
    int spatial_count = 0;
    const float* compatibility = nullptr;  // mu, (C, C) row-major; null: Potts, 1 off the diagonal
    int iterations = 5;
    Quality quality = Quality::kFast;
    // What is written; null data where it is not wanted.
    parallel::View<std::uint8_t, 3> labels;  // (N, H, W)
    parallel::View<float, 4> marginals;      // (N, C, H, W)
};

inline constexpr float kLeastProbability = 1e-5f;

/// Whether the lattice can number the cells of these sigmas at this size of image.
bool fits(const Params& params);

/// The size of the scratch memory of a run with at most `vertices` vertices in any lattice, aligned to 64 bytes.
std::size_t workspace_bytes(const Params& params, int vertices, int threads);

/// A number of vertices that most pictures of this size stay under; at most kMaxVertices.
int usual_vertices(const Params& params);

/// Twice as many, where so many were too few. Throws std::bad_alloc past kMaxVertices.
int more_vertices(int vertices);

/// Returns false, with nothing written, where some lattice has more than `vertices` vertices. Each result depends on
/// the number of threads by rounding alone, and on nothing else.
bool run_cpu(const Params& params, void* workspace, int vertices, int threads);

}  // namespace edgeseg::dense_crf
