#pragma once

#include <cmath>
#include <cstddef>

#include "dense_crf/op.h"
#include "dense_crf/rows.cuh"
#include "dense_crf/spatial.h"

/// Spatial terms: separable Gaussians on a grid of cells, or of pixels where the Gaussians are too narrow for cells.
namespace edgeseg::dense_crf::gpu {

struct Grid {
    int height, width;
    int step;  // pixels from one to the next: 1 or 2

    explicit Grid(const Params& params) : step(grid_step(params)) {
        height = (params.image.size[1] + step - 1) / step;
        width = (params.image.size[2] + step - 1) / step;
    }
};

/// The Gaussian along one axis of a grid.
struct Axis {
    float variance;  // in steps^2
    int radius;
    int points;      // of the grid
    int size, step;  // pixels: of the image, and of a point
    float* taps;     // (points): the middle one and those after it, in any unit, since norms are in the same
    float* norm;     // (points): N^-1/2

    static Axis of(float sigma, int points, int size, int step) {
        const GridGaussian gaussian(sigma, step, points);
        return {static_cast<float>(gaussian.variance), gaussian.radius, points, size, step, nullptr, nullptr};
    }

    EDGESEG_HOST_DEVICE float tap(int distance) const {
        const auto d = static_cast<float>(distance);
        return expf(-0.5f * d * d / variance);
    }
    EDGESEG_HOST_DEVICE int first(int point) const { return point > radius ? point - radius : 0; }
    EDGESEG_HOST_DEVICE int last(int point) const { return point + radius < points ? point + radius : points - 1; }
};

/// Taps and norms of all axes. They are computed on the device on each run: norms are as many as the grid has rows and
/// columns, too many for the parameters of a kernel, and a copy from host memory would have no place in a graph.
struct SetAxes {
    Axis axes[2 * kMaxTerms];

    EDGESEG_HOST_DEVICE int rows(int axis) const { return axes[axis].points; }

    EDGESEG_HOST_DEVICE void operator()(int axis, int point, int) const {
        const Axis& a = axes[axis];
        a.taps[point] = a.tap(point);
        float sum = 0;
        for (int i = a.first(point); i <= a.last(point); ++i) {
            const int rest = a.size - i * a.step;
            sum += a.tap(i < point ? point - i : i - point) * static_cast<float>(rest < a.step ? rest : a.step);
        }
        a.norm[point] = 1 / sqrtf(sum);
    }
};

/// to = weight * norm * conv(taps, norm * from) along one axis, or that added. Rows are points of the grid, columns
/// quads.
template <class T>
struct FilterAlong {
    Grid grid;
    Axis axis;
    bool along_x;
    float weight;
    bool add;
    int quads;
    const T* from;  // (grid, 4 * quads)
    T* to;

    EDGESEG_HOST_DEVICE int rows(int) const { return grid.height * grid.width; }

    __device__ void operator()(int, int row, int quad) const {
        const int position = along_x ? row % grid.width : row / grid.width;
        const std::ptrdiff_t here = static_cast<std::ptrdiff_t>(row) * quads + quad;
        const std::ptrdiff_t apart = along_x ? quads : static_cast<std::ptrdiff_t>(grid.width) * quads;
        const T* __restrict__ source = from;
        const float* __restrict__ taps = axis.taps;
        const float* __restrict__ norm = axis.norm;
        float4 sum{};
        for (int i = axis.first(position); i <= axis.last(position); ++i) {
            const float tap = taps[i < position ? position - i : i - position] * norm[i];
            sum = sum + tap * load_quad(source, here + (i - position) * apart);
        }
        sum = weight * norm[position] * sum;
        store_quad(add ? load_quad(to, here) + sum : sum, to, here);
    }
};

}  // namespace edgeseg::dense_crf::gpu
