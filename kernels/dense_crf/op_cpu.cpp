#include <algorithm>
#include <cmath>
#include <limits>
#include <new>

#include "dense_crf/isa.h"
#include "dense_crf/lattice_cpu.h"
#include "dense_crf/op.h"
#include "dense_crf/partition.h"
#include "dense_crf/spatial_cpu.h"

namespace edgeseg::dense_crf {
namespace {

/// A run over the images of a batch, one after the other.
class MeanField {
  public:
    MeanField(const Params& params, int most_vertices, int threads, void* memory)
        : p_(params),
          threads_(std::clamp(threads, 1, kMostThreads)),
          stride_(stride_of(isa_, params.probabilities.size[1])),
          tiling_(params.image.size[1], params.image.size[2]),
          carver_(memory),
          lattices_(params.bilateral, params.bilateral_count, params.quality, tiling_, stride_, most_vertices, threads_,
                    carver_),
          spatial_(params, tiling_, stride_, threads_, carver_) {
        carver_.take(unaries_, tiling_.pixels() * stride_);
        const int classes = params.probabilities.size[1];
        if (params.compatibility) carver_.take(compatibility_, static_cast<std::ptrdiff_t>(classes) * stride_);
    }

    std::size_t bytes() const { return carver_.bytes(); }

    bool run() {
        spatial_.prepare();
        prepare_compatibility();
        for (int image = 0; image < p_.image.size[0]; ++image) {
            const auto& size = p_.image.size;
            if (!lattices_.build({p_.image.at(image), {size[1], size[2], size[3]}})) return false;
            infer(image);
        }
        return true;
    }

  private:
    /// The columns of -mu as padded rows.
    void prepare_compatibility() const {
        if (!p_.compatibility) return;
        const int classes = p_.probabilities.size[1];
        for (int from = 0; from < classes; ++from) {
            for (int to = 0; to < stride_; ++to) {
                compatibility_[from * stride_ + to] = to < classes ? -p_.compatibility[to * classes + from] : 0.0f;
            }
        }
    }

    void infer(int image) const {
        each_row(tiling_, threads_, [&](int, int row) {
            isa_.write_unaries(p_, image, tiling_, row, stride_, unaries_ + row * tiling_.pixels_a_row() * stride_);
        });
        const Sweep messages{.params = p_,
                             .image = image,
                             .tiling = tiling_,
                             .stride = stride_,
                             .unaries = unaries_,
                             .runs = lattices_.runs(),
                             .lattices = lattices_.begin(),
                             .lattice_count = lattices_.count(),
                             .scale = lattices_.scale(),
                             .compatibility = compatibility_,
                             .messages = spatial_.messages(),
                             .sums = spatial_.sums(),
                             .grid = spatial_.grid(),
                             .highest = highest_message()};
        if (p_.iterations == 0) {
            Sweep none = messages;
            none.lattice_count = 0;
            none.messages = nullptr;
            return sweep(none, Step::kLast);
        }
        sweep(messages, Step::kFirst);
        for (int iteration = 1; iteration <= p_.iterations; ++iteration) {
            lattices_.blur();
            spatial_.filter(compatibility_);
            sweep(messages, iteration == p_.iterations ? Step::kLast : Step::kMiddle);
        }
    }

    void sweep(const Sweep& sweep, Step step) const {
        each_row(tiling_, threads_, [&](int thread, int row) { isa_.sweep(sweep, step, row, thread); });
    }

    /// Potts messages are weighted means of probabilities, nearly: no more than the sum of the weights.
    float highest_message() const {
        float sum = 0;
        bool known = !p_.compatibility;
        for (int t = 0; t < p_.bilateral_count; ++t) {
            known = known && p_.bilateral[t].weight >= 0;
            sum += p_.bilateral[t].weight;
        }
        for (int t = 0; t < p_.spatial_count; ++t) {
            known = known && p_.spatial[t].weight >= 0;
            sum += p_.spatial[t].weight;
        }
        return known ? sum : std::numeric_limits<float>::infinity();
    }

    const Params& p_;
    const Isa& isa_ = isa();
    int threads_;
    int stride_;
    Tiling tiling_;
    Carver carver_;
    Lattices lattices_;
    Spatial spatial_;
    float* unaries_ = nullptr;
    float* compatibility_ = nullptr;
};

}  // namespace

bool fits(const Params& params) {
    for (int t = 0; t < params.bilateral_count; ++t) {
        float most[kFeatures], per_feature[kFeatures];
        scale_features(params, params.bilateral[t], per_feature, most);
        if (!key_space(most).fits()) return false;
    }
    return true;
}

std::size_t workspace_bytes(const Params& params, int vertices, int threads) {
    return MeanField(params, vertices, threads, nullptr).bytes();
}

int usual_vertices(const Params& params) {
    double share = 0;  // vertices a pixel
    for (int t = 0; t < params.bilateral_count; ++t) {
        const BilateralTerm& term = params.bilateral[t];
        const float* color = term.sigma_color;
        const double sigma_xy = std::sqrt(static_cast<double>(term.sigma_x) * term.sigma_y);
        const double sigma_color = std::cbrt(static_cast<double>(color[0]) * color[1] * color[2]);
        // Fitted to street images, with room to spare: the narrower a term the more, but hardly ever two.
        const double crowded = 0.2 * std::pow(80 / sigma_xy, 0.85) * std::pow(13 / sigma_color, 1.8);
        share = std::max(share, crowded / (1 + crowded / 2));
    }
    const double pixels = static_cast<double>(params.image.size[1]) * params.image.size[2];
    return static_cast<int>(std::clamp(share * pixels, 1024.0, static_cast<double>(kMaxVertices)));
}

int more_vertices(int vertices) {
    if (vertices >= kMaxVertices) throw std::bad_alloc();
    return std::min(kMaxVertices, 2 * vertices);
}

bool run_cpu(const Params& params, void* workspace, int vertices, int threads) {
    return MeanField(params, vertices, threads, workspace).run();
}

}  // namespace edgeseg::dense_crf
