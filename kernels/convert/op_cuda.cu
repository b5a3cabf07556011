#include <cuda_fp16.h>

#include <type_traits>

#include "convert/op.h"
#include "parallel/for_each.cuh"
#include "parallel/host_device.h"

namespace edgeseg::convert {
namespace {

using parallel::View;

template <class From, class To>
struct Convert {
    const From* from;
    View<To, 3> to;

    __device__ void operator()(int n, int y, int x) const {
        To* at = to.at(n, y, x);
        const float value = read(from[at - to.data]);
        if constexpr (std::is_same_v<To, std::uint8_t>) {
            *at = static_cast<std::uint8_t>((value > 0 ? value < 255 ? value : 255 : 0) + 0.5f);
        } else if constexpr (std::is_same_v<To, __half>) {
            *at = __float2half_rn(value);
        } else {
            *at = value;
        }
    }

  private:
    __device__ static float read(float value) { return value; }
    __device__ static float read(std::uint8_t value) { return value; }
    __device__ static float read(__half value) { return __half2float(value); }
};

template <class From, class To>
void convert(const void* from, const View<To, 3>& to, cudaStream_t stream) {
    parallel::for_each(to.size[0], to.size[1], to.size[2], stream,
                       Convert<From, To>{static_cast<const From*>(from), to});
}

template <class To>
void convert_reals(const void* from, Real type, const View<To, 3>& to, cudaStream_t stream) {
    return type == Real::kHalf ? convert<__half>(from, to, stream) : convert<float>(from, to, stream);
}

template <class To>
View<To, 3> like(const View<std::uint8_t, 3>& view, void* data) {
    return {static_cast<To*>(data), {view.size[0], view.size[1], view.size[2]}};
}

}  // namespace

void to_floats(const void* from, Real type, const View<float, 3>& to, parallel::CudaStream stream) {
    convert_reals(from, type, to, stream);
}

void to_bytes(const void* from, Real type, const View<std::uint8_t, 3>& to, parallel::CudaStream stream) {
    convert_reals(from, type, to, stream);
}

void from_bytes(const View<std::uint8_t, 3>& from, void* to, Real type, parallel::CudaStream stream) {
    if (type == Real::kHalf) return convert<std::uint8_t>(from.data, like<__half>(from, to), stream);
    convert<std::uint8_t>(from.data, like<float>(from, to), stream);
}

}  // namespace edgeseg::convert
