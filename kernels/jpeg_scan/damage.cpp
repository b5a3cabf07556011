#include "jpeg_scan/damage.h"

#include <array>
#include <bit>
#include <cstring>
#include <vector>

namespace edgeseg::jpeg_scan {
namespace {

constexpr const char* kEndsEarly = "its data end before the picture does";
constexpr const char* kNoCode = "its data hold bits that are no code";
constexpr const char* kTooMuch = "its data go on after the picture's end";
constexpr const char* kStrays = "bytes stand where a marker must";
constexpr const char* kRestart = "a restart marker is missing or out of order";

constexpr int kLookahead = 10, kPairLookahead = 12;
constexpr std::size_t kMostBlocks = std::size_t{1} << 25;  // 2 gigapixels of one component, 256 MiB of coefficients
constexpr std::size_t kPadding = 8;                        // bytes after a scan's end that writers are forgiven
constexpr std::size_t kZeros = 1024;  // bytes behind a stretch of data: more than the codes of one block can take

// How a code moves on: its bits and those of the value after it, and the coefficients it stands for.
constexpr std::uint32_t kEndOfBlock = 128;

struct HuffmanTable {
    std::array<std::uint16_t, 1 << kLookahead> fast{};       // length << 8 | symbol; 0 where the code is longer
    std::array<std::uint16_t, 1 << kLookahead> steps{};      // of AC codes: coefficients << 8 | bits; 0 likewise
    std::array<std::uint16_t, 1 << kPairLookahead> pairs{};  // the same of two codes where both are seen
    std::array<std::int32_t, 17> first{}, end{}, offset{};
    std::array<std::uint8_t, 256> symbols{};
    bool defined = false;

    static std::uint32_t coefficients(int symbol) {
        return (symbol & 15) || symbol == 0xF0 ? static_cast<std::uint32_t>(symbol >> 4) + 1 : kEndOfBlock;
    }

    bool build(const std::uint8_t* counts, const std::uint8_t* values, std::size_t total) {
        *this = {};
        for (std::size_t i = 0; i < total; ++i) symbols[i] = values[i];
        std::int32_t code = 0, index = 0;
        for (int length = 1; length <= 16; ++length, code <<= 1) {
            first[length] = code;
            offset[length] = index - code;
            for (int n = 0; n < counts[length - 1]; ++n, ++code, ++index) {
                if (code >= 1 << length) return false;
                if (length > kLookahead) continue;
                const int shift = kLookahead - length, symbol = symbols[index];
                for (int low = 0; low < 1 << shift; ++low) {
                    fast[(code << shift) + low] = static_cast<std::uint16_t>(length << 8 | symbol);
                    steps[(code << shift) + low] =
                        static_cast<std::uint16_t>(coefficients(symbol) << 8 | (length + (symbol & 15)));
                }
            }
            end[length] = code;
        }
        build_pairs();
        defined = true;
        return true;
    }

    void build_pairs() {
        constexpr int kMore = kPairLookahead - kLookahead;
        for (std::uint32_t bits = 0; bits < pairs.size(); ++bits) {
            const std::uint32_t step = steps[bits >> kMore], used = step & 0xFF;
            pairs[bits] = static_cast<std::uint16_t>(step);
            if (!step || step >> 8 == kEndOfBlock || used >= kPairLookahead) continue;
            // What is seen of the second code, with zeros behind it: it counts if it ends before them.
            const std::uint32_t rest = bits << used & (pairs.size() - 1), code = fast[rest >> kMore] >> 8;
            if (code && used + code <= kPairLookahead)
                pairs[bits] = static_cast<std::uint16_t>(step + steps[rest >> kMore]);
        }
    }
};

// The bits of one stretch of coded data, which ends at a marker.
class Bits {
  public:
    // Takes the bytes in [at, size) up to the next marker, without what was stuffed between them.
    void begin(const std::uint8_t* data, std::size_t at, std::size_t size) {
        bytes_.clear();
        for (;;) {
            const void* found = at < size ? std::memchr(data + at, 0xFF, size - at) : nullptr;
            const std::size_t stop =
                found ? static_cast<std::size_t>(static_cast<const std::uint8_t*>(found) - data) : size;
            bytes_.insert(bytes_.end(), data + at, data + stop);
            std::size_t next = stop + 1;
            while (next < size && data[next] == 0xFF) ++next;  // fill bytes
            if (next < size && data[next] == 0) {
                bytes_.push_back(0xFF);
                at = next + 1;
                continue;
            }
            marker_ = next < size ? next - 1 : size;
            break;
        }
        end_ = 8 * bytes_.size();
        at_ = 0;
        bytes_.resize(bytes_.size() + kZeros, 0);
    }

    // The next 57 bits and more, from the highest on; zeros behind the end, as far as one block can reach.
    static std::uint64_t ahead_of(const std::uint8_t* bytes, std::size_t at) {
        std::uint64_t word = 0;
        std::memcpy(&word, bytes + (at >> 3), sizeof word);
        if constexpr (std::endian::native == std::endian::little) word = __builtin_bswap64(word);
        return word << (at & 7);
    }
    std::uint64_t ahead() const { return ahead_of(bytes_.data(), at_); }
    void skip(int count) { at_ += static_cast<std::size_t>(count); }
    int take(int count) {
        const int value = count ? static_cast<int>(ahead() >> (64 - count)) : 0;
        skip(count);
        return value;
    }

    // The next symbol, or -1 where the bits are no code.
    int symbol(const HuffmanTable& table) {
        const std::uint64_t word = ahead();
        if (const std::uint16_t entry = table.fast[word >> (64 - kLookahead)]) {
            skip(entry >> 8);
            return entry & 0xFF;
        }
        for (int length = kLookahead + 1; length <= 16; ++length) {
            const auto code = static_cast<std::int32_t>(word >> (64 - length));
            if (code >= table.first[length] && code < table.end[length]) {
                skip(length);
                return table.symbols[static_cast<std::size_t>(code + table.offset[length]) & 0xFF];
            }
        }
        return -1;
    }

    const std::uint8_t* bytes() const { return bytes_.data(); }
    std::size_t at() const { return at_; }
    void go_to(std::size_t at) { at_ = at; }
    bool overrun() const { return at_ > end_; }

    // How many whole bytes are left, zeros and ones not counted, which some writers pad with.
    std::size_t left() const {
        std::size_t count = 0;
        for (std::size_t i = (at_ + 7) >> 3; i < end_ >> 3; ++i) count += bytes_[i] != 0 && bytes_[i] != 0xFF;
        return count;
    }

    // Where the marker is: at its last 0xFF, or at the end of all data.
    std::size_t marker() const { return marker_; }

  private:
    std::vector<std::uint8_t> bytes_;
    std::size_t at_ = 0, end_ = 0, marker_ = 0;  // bits, bits, bytes
};

struct Component {
    int id = 0, h = 1, v = 1;
    int blocks_x = 0, blocks_y = 0;      // that the picture needs
    std::size_t stride = 0;              // blocks in a row, those that only fill up an MCU included
    std::vector<std::uint64_t> nonzero;  // progressive: bit k of a block is set where coefficient k is not zero
    int dc = 0, ac = 0;
};

class Checker {
  public:
    Checker(const std::uint8_t* data, std::size_t size) : data_(data), size_(size) {}

    const char* run() {
        at_ = 2;
        std::size_t strays = 0;
        while (at_ + 4 <= size_) {
            if (data_[at_] != 0xFF) {
                if (data_[at_] != 0 && ++strays > kPadding) return kStrays;
                ++at_;
                continue;
            }
            const int marker = data_[at_ + 1];
            if (marker == 0xFF) {
                ++at_;
                continue;
            }
            if (marker == 0xD9) return nullptr;
            if (marker == 0 || marker == 1 || (marker >= 0xD0 && marker <= 0xD8)) {
                at_ += 2;
                continue;
            }
            const std::size_t length = word(at_ + 2);
            if (length < 2 || at_ + 2 + length > size_) return kEndsEarly;
            body_ = at_ + 4;
            end_ = at_ + 2 + length;
            at_ = end_;
            if (marker == 0xC4) {
                if (!tables()) return nullptr;
            } else if (marker == 0xC0 || marker == 0xC1 || marker == 0xC2) {
                if (!frame(marker == 0xC2)) return nullptr;
            } else if (marker >= 0xC0 && marker <= 0xCF) {
                return nullptr;  // another kind of coding
            } else if (marker == 0xDD && end_ - body_ >= 2) {
                restart_interval_ = static_cast<int>(word(body_));
            } else if (marker == 0xDA) {
                if (!scan_header()) return nullptr;
                if (const char* wrong = scan()) return wrong;
            }
        }
        return nullptr;
    }

  private:
    std::size_t word(std::size_t at) const { return static_cast<std::size_t>(data_[at]) << 8 | data_[at + 1]; }

    bool tables() {
        while (body_ + 17 <= end_) {
            const int kind = data_[body_] >> 4, slot = data_[body_] & 15;
            std::size_t total = 0;
            for (int i = 1; i <= 16; ++i) total += data_[body_ + i];
            if (kind > 1 || slot > 3 || total > 256 || body_ + 17 + total > end_) return false;
            if (!(kind ? ac_ : dc_)[slot].build(data_ + body_ + 1, data_ + body_ + 17, total)) return false;
            body_ += 17 + total;
        }
        return true;
    }

    bool frame(bool progressive) {
        if (!components_.empty() || end_ - body_ < 6) return false;
        const int height = static_cast<int>(word(body_ + 1)), width = static_cast<int>(word(body_ + 3));
        const std::size_t count = data_[body_ + 5];
        if (height == 0 || width == 0 || count == 0 || count > 4 || end_ - body_ < 6 + 3 * count) return false;
        progressive_ = progressive;
        int h_most = 1, v_most = 1;
        components_.resize(count);
        for (std::size_t i = 0; i < count; ++i) {
            Component& component = components_[i];
            component.id = data_[body_ + 6 + 3 * i];
            component.h = data_[body_ + 7 + 3 * i] >> 4;
            component.v = data_[body_ + 7 + 3 * i] & 15;
            if (component.h < 1 || component.h > 4 || component.v < 1 || component.v > 4) return false;
            h_most = component.h > h_most ? component.h : h_most;
            v_most = component.v > v_most ? component.v : v_most;
        }
        mcus_x_ = (width + 8 * h_most - 1) / (8 * h_most);
        mcus_y_ = (height + 8 * v_most - 1) / (8 * v_most);
        std::size_t blocks = 0;
        for (Component& component : components_) {
            component.blocks_x = ((width * component.h + h_most - 1) / h_most + 7) / 8;
            component.blocks_y = ((height * component.v + v_most - 1) / v_most + 7) / 8;
            component.stride = static_cast<std::size_t>(mcus_x_) * component.h;
            blocks += component.stride * mcus_y_ * component.v;
        }
        if (blocks > kMostBlocks) return false;
        if (progressive) {
            for (Component& component : components_) {
                component.nonzero.assign(component.stride * mcus_y_ * component.v, 0);
            }
        }
        return true;
    }

    bool scan_header() {
        if (components_.empty() || end_ - body_ < 1) return false;
        const std::size_t count = data_[body_];
        if (count < 1 || count > components_.size() || end_ - body_ < 4 + 2 * count) return false;
        chosen_.clear();
        for (std::size_t i = 0; i < count; ++i) {
            const int id = data_[body_ + 1 + 2 * i], slots = data_[body_ + 2 + 2 * i];
            if ((slots >> 4) > 3 || (slots & 15) > 3) return false;
            for (Component& component : components_) {
                if (component.id != id) continue;
                component.dc = slots >> 4;
                component.ac = slots & 15;
                chosen_.push_back(&component);
                break;
            }
        }
        if (chosen_.size() != count) return false;
        first_ = data_[body_ + 1 + 2 * count];
        last_ = data_[body_ + 2 + 2 * count];
        refines_ = (data_[body_ + 3 + 2 * count] >> 4) != 0;
        if (!progressive_) {
            first_ = 0;
            last_ = 63;
            refines_ = false;
        }
        if (first_ > last_ || last_ > 63) return false;
        if (progressive_ && (first_ == 0 ? last_ != 0 : count != 1)) return false;
        for (const Component* component : chosen_) {
            if (first_ == 0 && !refines_ && !dc_[component->dc].defined) return false;
            if (last_ > 0 && !ac_[component->ac].defined) return false;
        }
        return true;
    }

    const char* scan() {
        bits_.begin(data_, at_, size_);
        const bool alone = chosen_.size() == 1;
        const int across = alone ? chosen_[0]->blocks_x : mcus_x_, down = alone ? chosen_[0]->blocks_y : mcus_y_;
        end_of_bands_ = 0;
        int until_restart = restart_interval_, number = 0;
        for (int y = 0; y < down; ++y) {
            for (int x = 0; x < across; ++x) {
                if (restart_interval_ && until_restart-- == 0) {
                    if (bits_.left() > kPadding) return kTooMuch;
                    const std::size_t marker = bits_.marker();
                    if (marker + 1 >= size_ || data_[marker + 1] != 0xD0 + number) return kRestart;
                    number = (number + 1) & 7;
                    bits_.begin(data_, marker + 2, size_);
                    until_restart = restart_interval_ - 1;
                    end_of_bands_ = 0;
                }
                for (Component* component : chosen_) {
                    const int rows = alone ? 1 : component->v, columns = alone ? 1 : component->h;
                    for (int v = 0; v < rows; ++v) {
                        const std::size_t row = (static_cast<std::size_t>(y) * rows + v) * component->stride;
                        for (int h = 0; h < columns; ++h) {
                            const bool read = block(*component, row + static_cast<std::size_t>(x) * columns + h);
                            if (bits_.overrun()) return kEndsEarly;
                            if (!read) return kNoCode;
                        }
                    }
                }
            }
        }
        if (bits_.left() > kPadding) return kTooMuch;
        at_ = bits_.marker();
        return nullptr;
    }

    bool block(Component& component, std::size_t index) {
        if (first_ == 0) {
            if (refines_) {
                bits_.skip(1);
                return true;
            }
            const int size = bits_.symbol(dc_[component.dc]);
            if (size < 0 || size > 16) return false;
            bits_.skip(size);
            if (progressive_) return true;
        }
        const HuffmanTable& table = ac_[component.ac];
        if (!progressive_) return sequential(table);
        return refines_ ? refined(table, component.nonzero[index]) : first_band(table, component.nonzero[index]);
    }

    // The AC coefficients of a block; false where the bits are no code, or of more coefficients than there are.
    bool sequential(const HuffmanTable& table) {
        const std::uint8_t* bytes = bits_.bytes();
        std::size_t at = bits_.at();
        std::uint32_t k = 1;
        while (k < 64) {
            const std::uint64_t word = Bits::ahead_of(bytes, at);
            // The first of a pair stands for 16 coefficients at most: only before the last 16 is a second sure to
            // follow.
            const std::uint32_t step =
                k < 48 ? table.pairs[word >> (64 - kPairLookahead)] : table.steps[word >> (64 - kLookahead)];
            if (step) {
                at += step & 0xFF;
                k += step >> 8;
                continue;
            }
            bits_.go_to(at);
            const int symbol = bits_.symbol(table);
            if (symbol < 0) return false;
            at = bits_.at() + (symbol & 15);
            k += HuffmanTable::coefficients(symbol);
        }
        bits_.go_to(at);
        return k == 64 || k > kEndOfBlock;
    }

    bool first_band(const HuffmanTable& table, std::uint64_t& nonzero) {
        if (end_of_bands_ > 0) {
            --end_of_bands_;
            return true;
        }
        for (int k = first_; k <= last_; ++k) {
            const int symbol = bits_.symbol(table);
            if (symbol < 0) return false;
            const int run = symbol >> 4, size = symbol & 15;
            if (size == 0) {
                if (run == 15) {
                    k += 15;
                    continue;
                }
                end_of_bands_ = (1 << run) + bits_.take(run) - 1;
                return true;
            }
            k += run;
            if (k > last_) return false;
            bits_.skip(size);
            nonzero |= std::uint64_t{1} << k;
        }
        return true;
    }

    bool refined(const HuffmanTable& table, std::uint64_t& nonzero) {
        int k = first_;
        if (end_of_bands_ == 0) {
            for (; k <= last_; ++k) {
                const int symbol = bits_.symbol(table);
                if (symbol < 0) return false;
                int run = symbol >> 4;
                const int size = symbol & 15;
                if (size > 1) return false;
                if (size == 1) {
                    bits_.skip(1);
                } else if (run != 15) {
                    end_of_bands_ = (1 << run) + bits_.take(run);
                    break;
                }
                for (; k <= last_; ++k) {
                    if (nonzero >> k & 1) {
                        bits_.skip(1);
                    } else if (--run < 0) {
                        break;
                    }
                }
                if (size == 1) {
                    if (k > last_) return false;
                    nonzero |= std::uint64_t{1} << k;
                }
            }
        }
        if (end_of_bands_ > 0) {
            // A bit for each coefficient from here on that is not zero yet.
            if (k <= last_) bits_.skip(std::popcount(nonzero >> k << k << (63 - last_)));
            --end_of_bands_;
        }
        return true;
    }

    const std::uint8_t* data_;
    std::size_t size_, at_ = 0, body_ = 0, end_ = 0;
    std::array<HuffmanTable, 4> dc_{}, ac_{};
    Bits bits_;
    std::vector<Component> components_;
    std::vector<Component*> chosen_;
    int mcus_x_ = 0, mcus_y_ = 0, restart_interval_ = 0;
    int first_ = 0, last_ = 63, end_of_bands_ = 0;
    bool progressive_ = false, refines_ = false;
};

}  // namespace

const char* damage(const std::uint8_t* data, std::size_t size) {
    return size < 4 ? kEndsEarly : Checker(data, size).run();
}

}  // namespace edgeseg::jpeg_scan
