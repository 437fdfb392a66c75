// The CIFAR-10 binary format: records of one label byte, then 1024 red, 1024 green and 1024 blue
// bytes.
#include <vector>

#include "byte_stream.hpp"
#include "reader.hpp"

namespace mercer::data {
namespace {

constexpr Index kPixels = 1024, kChannels = 3, kRecord = 1 + kChannels * kPixels;

class CifarReader : public Reader {
 public:
  CifarReader(const std::string& path, Index max_rows) : stream_(path) {
    const Index bytes = stream_.compressed() ? count_bytes(max_rows) : stream_.file_bytes();
    if (bytes % kRecord != 0 || bytes == 0)
      throw InputError(
          "{}: truncated, or not a CIFAR-10 binary file: {} bytes are not a multiple of {}, "
          "the bytes of an image",
          path, bytes, kRecord);
    rows_ = bytes / kRecord;
    stream_.seek(0);
  }

  Contents contents() const override {
    return {.rows = rows_,
            .dimension = kChannels * kPixels,
            .outputs = 1,
            .image = {32, 32, kChannels},
            .classes = true,
            .everywhere = !stream_.compressed()};
  }

  void read(Index first, Index count, double* rows) override {
    std::vector<unsigned char> record(kRecord);
    stream_.seek(first * kRecord);
    for (Index i = 0; i < count; ++i, rows += kRecord) {
      stream_.read_exactly(record.data(), kRecord, fmt::format("image {}", first + i + 1));
      if (record[0] > 9)
        throw InputError(
            "{}: image {} (counted from 1, byte {}) has the label {}: CIFAR-10's labels are 0 to 9",
            stream_.path(), first + i + 1, (first + i) * kRecord, record[0]);
      const unsigned char* planes = record.data() + 1;
      for (Index p = 0; p < kPixels; ++p)
        for (Index c = 0; c < kChannels; ++c) rows[p * kChannels + c] = planes[c * kPixels + p];
      rows[kChannels * kPixels] = record[0];
    }
  }

 private:
  /// Bytes of the uncompressed data, but no more than `max_rows` rows: they must be read for it.
  Index count_bytes(Index max_rows) {
    std::vector<char> buffer(static_cast<std::size_t>(kRecord) * 64);
    const auto size = static_cast<Index>(buffer.size());
    Index bytes = 0;
    while (max_rows < 0 || bytes < max_rows * kRecord) {
      const Index wanted = max_rows < 0 ? size : std::min(size, max_rows * kRecord - bytes);
      const Index got = stream_.read(buffer.data(), wanted);
      bytes += got;
      if (got < wanted) break;
    }
    return bytes;
  }

  ByteStream stream_;
  Index rows_ = 0;
};

}  // namespace

std::unique_ptr<Reader> open_cifar(const Spec& spec, const Request& request) {
  return std::make_unique<CifarReader>(spec.path, request.max_rows);
}

}  // namespace mercer::data
