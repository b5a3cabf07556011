#pragma once

namespace edgeseg::parallel {

/// Whether the CPU multiplies bytes and sums the products in one instruction, as quantized networks want: VNNI on x86,
/// the dot product on Arm.
bool has_int8_dot_product();

}  // namespace edgeseg::parallel
