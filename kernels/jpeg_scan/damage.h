#pragma once

#include <cstddef>
#include <cstdint>

namespace edgeseg::jpeg_scan {

// Reads a JPEG's Huffman codes from the first to the last (ITU-T T.81) and says what is wrong with them; nullptr when
// every scan ends where its picture does, or is of a kind that is not looked at: arithmetic coding, lossless,
// hierarchical, or without tables of its own.
//
// Decoders read over damage and fill the picture with grey. This computes no picture, only where codes end: a fraction
// of the time of decoding. Any bytes may be passed; nothing outside [data, data + size) is read.
const char* damage(const std::uint8_t* data, std::size_t size);

}  // namespace edgeseg::jpeg_scan
